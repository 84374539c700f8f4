import type { EntityManager } from 'typeorm';
import { activity, audited } from '../audit/audited-statement.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { rememberOrigin } from '../transaction/entity-origin.js';
import { NestAuthTenant } from '../tenant/tenant.entity.js';
import { execute, executeOne, type Statement } from '../transaction/statement.js';
import type { LifecycleGracePeriods } from './lifecycle.types.js';

const GROUND: Statement<{ tenants: boolean; spread: boolean }> = {
  text: `select exists (select 1 from nest_auth_tenants where lifecycle is not null) as tenants,
    to_regprocedure('citus_version()') is not null as spread`,
};

/**
 * What a batch has to know before it begins: whether periods have to be looked up by user at all, and whether users may
 * be on several nodes, whose rows no statement can lock.
 */
export function readBatchGround(manager: EntityManager): Promise<{ tenants: boolean; spread: boolean }> {
  return executeOne(manager, GROUND);
}

const READ: Statement<{ lifecycle: LifecycleGracePeriods | null }> = {
  text: 'select lifecycle from nest_auth_tenants where id = $1',
};

/** Null for a tenant without periods of its own, undefined for no such tenant. */
export async function readTenantPeriods(
  manager: EntityManager,
  tenantId: string,
): Promise<LifecycleGracePeriods | null | undefined> {
  const [row] = await execute(manager, READ, [tenantId]);
  return row?.lifecycle;
}

type TenantRow = Pick<
  NestAuthTenant,
  'id' | 'name' | 'slug' | 'description' | 'isActive' | 'metadata' | 'version' | 'createdAt' | 'updatedAt'
>;

const COLUMNS = (t: string): string =>
  `${t}.id, ${t}.name, ${t}.slug, ${t}.description, ${t}.is_active as "isActive", ${t}.metadata, ${t}.version,
    ${t}.created_at as "createdAt", ${t}.updated_at as "updatedAt"`;

const WRITE = audited<TenantRow & { changed: boolean }>(
  undefined,
  `with held as (select id, lifecycle from nest_auth_tenants where id = $1 for no key update),
    changed as (
      update nest_auth_tenants t set lifecycle = $2::jsonb, version = t.version + 1, updated_at = now()
      from held where t.id = held.id and held.lifecycle is distinct from $2::jsonb
      returning t.id, t.name, t.slug, t.description, t.is_active, t.metadata, t.version, t.created_at, t.updated_at),
    ${activity({
      type: NestAuthEvents.TENANT_UPDATED,
      from: 'changed join held on held.id = changed.id',
      tenantId: 'changed.id',
      subjectType: 'tenant',
      subjectId: 'changed.id',
      before: `jsonb_build_object('lifecycle', held.lifecycle)`,
      after: `jsonb_build_object('lifecycle', $2::jsonb)`,
      details: `jsonb_build_object('version', changed.version)`,
    })}
    select ${COLUMNS('changed')}, true as changed from changed
    union all
    select ${COLUMNS('t')}, false from nest_auth_tenants t join held on held.id = t.id
      where not exists (select 1 from changed)`,
  ([row]) => row?.changed === true,
);

/** Stores the tenant's own periods; null for no such tenant. */
export async function writeTenantPeriods(
  manager: EntityManager,
  tenantId: string,
  periods: LifecycleGracePeriods | null,
): Promise<{ tenant: NestAuthTenant; changed: boolean } | null> {
  const [row] = await execute(manager, WRITE, [tenantId, periods === null ? null : JSON.stringify(periods)]);
  if (row === undefined) return null;
  const { changed, ...values } = row;
  return { tenant: rememberOrigin(Object.assign(new NestAuthTenant(), values), manager), changed };
}
