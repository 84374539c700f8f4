import type { EntityManager } from 'typeorm';
import { activity, audited } from '../audit/audited-statement.js';
import { changedMetadata } from '../audit/changed-values.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { executeOne, type Statement } from '../transaction/statement.js';
import type { CreateUserContext } from './account.types.js';
import { tenantOfRealm } from './user-change.queries.js';
import type { PreparedUser } from './user-input.policy.js';

/** Everything that one creation writes. */
export interface NewUser extends PreparedUser {
  readonly id: string;
  readonly realmId: string;
  readonly tenantId: string | null;
  readonly passwordHash: string | null;
  /** Also gives platform access, with `platformRoleIds`. */
  readonly platform: boolean;
  /** Why and by whom; told by the activity. */
  readonly context: CreateUserContext;
}

/** What the statement answers; nothing was written unless `created_at` is set. */
export interface CreateUserRow {
  readonly tenant_ok: boolean;
  readonly roles_ok: boolean;
  readonly platform_roles_ok: boolean;
  readonly created_at: Date | null;
  readonly identities: number;
  readonly transaction_id: string | null;
}

/**
 * The parts that a creation has. Each combination is a text of its own, because one text with optional parts gets a
 * generic plan while the tables are small and keeps it when they are not.
 */
interface Shape {
  readonly email: boolean;
  readonly phone: boolean;
  readonly tenant: boolean;
  readonly roles: 'none' | 'one' | 'many';
  readonly platform: 'none' | 'bare' | 'roles';
  readonly extraIdentities: number;
  /** Inside a transaction of the caller, where a failed statement would take everything down. */
  readonly joined: boolean;
}

const statements = new Map<string, Statement<CreateUserRow>>();

/** Shapes with more provider accounts than this are not prepared by name: they are rare, and names must be bounded. */
const MAX_NAMED_IDENTITIES = 1;

/**
 * Creates a user with identities, access, roles and platform access in one statement, or nothing.
 *
 * Conflicts on email and phone never raise. By itself (`joined: false`), a race for a provider account raises and
 * undoes the statement; in a caller's transaction it leaves `identities` short instead, and the caller of this
 * function must delete the user again: a statement cannot take back what it has inserted.
 */
export function insertUser(manager: EntityManager, user: NewUser, joined: boolean): Promise<CreateUserRow> {
  const shape = shapeOf(user, joined);
  return executeOne(manager, statementOf(shape), valuesOf(user, shape));
}

/** How many identities a complete creation makes. */
export function identityCount(user: NewUser): number {
  return Number(user.emailNorm !== null) + Number(user.phone !== null) + user.identities.length;
}

function shapeOf(user: NewUser, joined: boolean): Shape {
  return {
    email: user.emailNorm !== null,
    phone: user.phone !== null,
    tenant: user.tenantId !== null,
    roles: user.roleIds.length === 0 ? 'none' : user.roleIds.length === 1 ? 'one' : 'many',
    platform: !user.platform ? 'none' : user.platformRoleIds.length === 0 ? 'bare' : 'roles',
    extraIdentities: user.identities.length,
    joined,
  };
}

function statementOf(shape: Shape): Statement<CreateUserRow> {
  const key = Object.values(shape).join('_');
  let found = statements.get(key);
  if (found === undefined) {
    const text = createUserSql(shape);
    // A user that is short of an identity is taken back at once, so it is no change that could be half kept.
    const complete = Number(shape.email) + Number(shape.phone) + shape.extraIdentities;
    const changes = ([row]: readonly CreateUserRow[]): boolean =>
      row?.created_at != null && row.identities === complete;
    const name = shape.extraIdentities <= MAX_NAMED_IDENTITIES ? `create_user_${key}` : undefined;
    found = audited(name, text, changes);
    statements.set(key, found);
  }
  return found;
}

/** Numbers the parameters; the order is that of `valuesOf`. */
function valuesOf(user: NewUser, shape: Shape): unknown[] {
  return [
    user.id,
    user.realmId,
    user.passwordHash,
    user.isActive ? 'active' : 'pending',
    user.isActive,
    JSON.stringify(user.metadata),
    jsonOrNull(contextDetails(user.context)),
    ...(shape.email ? [user.email, user.emailNorm] : []),
    ...(shape.phone ? [user.phone] : []),
    ...(shape.tenant ? [user.tenantId] : []),
    ...(shape.roles === 'one' ? [user.roleIds[0]] : []),
    ...(shape.roles === 'many' ? [user.roleIds] : []),
    ...(shape.platform === 'roles' ? [user.platformRoleIds] : []),
    ...user.identities.flatMap(({ provider, providerId, metadata }) => [
      provider,
      providerId,
      JSON.stringify(metadata),
    ]),
  ];
}

/** What the activity tells about the reason of a creation: nothing when nothing was said. */
export function contextDetails({ source, actorId }: CreateUserContext): object | null {
  return source === undefined && actorId === undefined ? null : { source, actorId };
}

function jsonOrNull(value: object | null): string | null {
  return value === null ? null : JSON.stringify(value);
}

function createUserSql(shape: Shape): string {
  let last = 7;
  const next = (): string => `$${(last += 1)}`;
  const [email, emailNorm] = shape.email ? [next(), next()] : ['null::text', 'null::text'];
  const phone = shape.phone ? next() : 'null::text';
  const tenant = shape.tenant ? `${next()}::uuid` : '';
  const roles = shape.roles === 'none' ? '' : next();
  const platformRoles = shape.platform === 'roles' ? next() : '';
  const extras = Array.from({ length: shape.extraIdentities }, () => ({
    provider: next(),
    id: next(),
    metadata: next(),
  }));

  const identities = [
    ...(shape.email ? [`('email', ${emailNorm}, '{}'::jsonb)`] : []),
    ...(shape.phone ? [`('phone', ${phone}, '{}'::jsonb)`] : []),
    ...extras.map(({ provider, id, metadata }) => `(${provider}::text, ${id}::text, ${metadata}::jsonb)`),
  ].join(', ');
  const taken = extras.map(
    ({ provider, id }) =>
      `and not exists (select 1 from nest_auth_identities where provider_id = ${id} and provider = ${provider} and realm_id = $2)`,
  );
  // FOR KEY SHARE: a role or tenant deleted meanwhile reads as missing here instead of failing a foreign key later.
  const parts = [
    ...(shape.tenant
      ? [`tenant as (select id from nest_auth_tenants where id = ${tenant} and is_active for key share)`]
      : []),
    ...(shape.roles === 'none' ? [] : [`role as (${roleSql(shape.roles, roles, tenant)})`]),
    ...(platformRoles === ''
      ? []
      : [
          `platform_role as (select id, owner_tenant_id, guard from nest_auth_roles
            where id = any(${platformRoles}::uuid[]) and guard = 'admin' and is_active for key share)`,
        ]),
    `gate as (select
        ${shape.tenant ? 'exists (select 1 from tenant)' : 'true'} as tenant_ok,
        ${shape.roles === 'none' ? 'true' : `(select count(*) from role) = ${shape.roles === 'one' ? '1' : `cardinality(${roles}::uuid[])`}`} as roles_ok,
        ${platformRoles === '' ? 'true' : `(select count(*) from platform_role) = cardinality(${platformRoles}::uuid[])`} as platform_roles_ok)`,
    `person as (
      insert into nest_auth_users (id, realm_id, email, email_norm, phone, password_hash, status, is_active, metadata, activated_at)
      select $1::uuid, $2::uuid, ${email}, ${emailNorm}, ${phone}, $3::text, $4::text, $5::boolean, $6::jsonb,
        case when $5::boolean then now() end
      from gate where tenant_ok and roles_ok and platform_roles_ok ${taken.join(' ')}
      on conflict do nothing
      returning id, created_at)`,
    `identity as (
      insert into nest_auth_identities (realm_id, user_id, provider, provider_id, metadata)
      select $2::uuid, person.id, login.provider, login.provider_id, login.metadata
      from person, (values ${identities}) as login (provider, provider_id, metadata)
      ${shape.joined ? 'on conflict do nothing' : ''}
      returning 1)`,
    ...accessSql(shape, tenant),
    ...platformSql(shape),
    activity({
      type: NestAuthEvents.USER_CREATED,
      // A user that is short of an identity is taken back at once, and nothing has happened.
      from: `person where (select count(*) from identity) = ${Number(shape.email) + Number(shape.phone) + shape.extraIdentities}`,
      userId: 'person.id',
      tenantId: shape.tenant ? tenant : tenantOfRealm('$2::uuid'),
      subjectType: 'user',
      after: `jsonb_strip_nulls(jsonb_build_object(${[
        `'email', ${email}::text`,
        `'phone', ${phone}::text`,
        `'status', $4::text`,
        ...(shape.roles === 'none' ? [] : [`'roleIds', (select jsonb_agg(id) from role)`]),
        ...(platformRoles === '' ? [] : [`'platformRoleIds', (select jsonb_agg(id) from platform_role)`]),
        ...(extras.length === 0
          ? []
          : [`'providers', jsonb_build_array(${extras.map(({ provider }) => `${provider}::text`).join(', ')})`]),
      ].join(', ')})) || ${changedMetadata('$6::jsonb', `'{}'::jsonb`)}`,
      details: '$7::jsonb',
    }),
  ];
  return `with ${parts.join(',\n    ')}
    select tenant_ok, roles_ok, platform_roles_ok,
      (select created_at from person) as created_at,
      (select count(*) from identity)::integer as identities,
      pg_current_xact_id_if_assigned()::text as transaction_id
    from gate`;
}

function roleSql(roles: 'one' | 'many', parameter: string, tenant: string): string {
  const ids = roles === 'one' ? `id = ${parameter}::uuid` : `id = any(${parameter}::uuid[])`;
  return `select id, owner_tenant_id, guard from nest_auth_roles
    where ${ids} and is_active and guard <> 'admin' and owner_tenant_id in ('${NIL_UUID}', ${tenant}) for key share`;
}

function accessSql({ tenant: hasTenant, roles }: Shape, tenant: string): string[] {
  if (!hasTenant) return [];
  const access = `access as (
      insert into nest_auth_user_accesses (user_id, tenant_id, realm_id, is_default)
      select id, ${tenant}, $2::uuid, true from person)`;
  const granted = `access_role as (
      insert into nest_auth_user_access_roles (user_id, tenant_id, role_id, role_tenant_id, guard)
      select person.id, ${tenant}, role.id, role.owner_tenant_id, role.guard from person, role)`;
  return roles === 'none' ? [access] : [access, granted];
}

function platformSql({ platform }: Shape): string[] {
  if (platform === 'none') return [];
  const access = `platform_access as (
      insert into nest_auth_platform_accesses (user_id, realm_id) select id, $2::uuid from person)`;
  const granted = `platform_access_role as (
      insert into nest_auth_platform_access_roles (user_id, role_id, role_tenant_id, guard)
      select person.id, r.id, r.owner_tenant_id, r.guard from person, platform_role r)`;
  return platform === 'bare' ? [access] : [access, granted];
}
