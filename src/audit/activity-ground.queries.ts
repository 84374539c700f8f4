import type { EntityManager } from 'typeorm';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { executeOne, type Statement } from '../transaction/statement.js';

interface Ground {
  /** Of the log's tables, quoted. */
  readonly schema: string;
  readonly owns: boolean;
  /** Row-level security hides rows from this role. */
  readonly limited: boolean;
  readonly protected: boolean;
  readonly now: Date;
}

const GROUND: Statement<Ground> = {
  text: `select quote_ident(n.nspname) as schema, pg_has_role(current_user, c.relowner, 'USAGE') as owns,
      row_security_active(c.oid) and not exists (
        select 1 from pg_roles r
        where r.rolname = coalesce(nullif(current_setting('nest_auth.platform_role', true), ''), 'nest_auth_platform')
          and pg_has_role(current_user, r.oid, 'USAGE')) as limited,
      c.relrowsecurity as protected, now() as now
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.oid = to_regclass('nest_auth_activities')`,
};

/** Refuses to judge the whole log by the part of it that one tenant sees. */
export async function assertSeesAll(manager: EntityManager): Promise<Ground> {
  const ground = await executeOne(manager, GROUND);
  if (!ground.limited) return ground;
  throw new NestAuthError(
    'ROW_SECURITY_REFUSED',
    'The chain goes over the activities of all tenants, and this role sees those of one; call it inside withoutTenant',
  );
}

/** Refuses a role that may not make and drop tables, before PostgreSQL does in the middle of it. */
export async function assertOwnsLog(manager: EntityManager): Promise<Ground> {
  const ground = await executeOne(manager, GROUND);
  if (ground.owns && !ground.limited) return ground;
  const lack = ground.owns ? 'and this one sees one tenant only' : 'and this one does not own nest_auth_activities';
  throw new NestAuthError(
    'AUDIT_OWNER_REQUIRED',
    `Partitions are made and dropped by the role that owns the tables and sees all rows, ${lack}; see docs/audit.md`,
  );
}
