import { v7 as uuidv7 } from 'uuid';
import { NIL_UUID } from '../../src/index.js';
import { withClient } from './environment.js';

/** What is in a database before any user: the same ids in each, so that all can be asked the same. */
export interface World {
  readonly tenantIds: readonly string[];
  /** System roles of the portal, each with permissions of its own. */
  readonly roleIds: readonly string[];
  readonly permissions: readonly string[];
}

const TENANTS = 100;
const ROLES = 3;
const PERMISSIONS_PER_ROLE = 20;

/** Of those that have all roles; they are spread over all users. */
const USERS_WITH_ALL_ROLES = 1_000;

export function makeWorld(): World {
  return {
    tenantIds: Array.from({ length: TENANTS }, () => uuidv7()),
    roleIds: Array.from({ length: ROLES }, () => uuidv7()),
    permissions: Array.from({ length: ROLES * PERMISSIONS_PER_ROLE }, (_, index) => `documents:action-${index}`),
  };
}

/** Writes tenants, roles and permissions. */
export async function seedWorld(url: string, { tenantIds, roleIds, permissions }: World): Promise<void> {
  await withClient(url, async (client) => {
    await client.query(
      `insert into nest_auth_tenants (id, name, slug)
       select id, 'Tenant ' || n, 'tenant-' || n from unnest($1::uuid[]) with ordinality as t (id, n)`,
      [tenantIds],
    );
    await client.query(
      `insert into nest_auth_roles (id, guard, name, is_system)
       select id, 'portal', 'role-' || n, true from unnest($1::uuid[]) with ordinality as r (id, n)`,
      [roleIds],
    );
    await client.query(
      `with permission as (
         insert into nest_auth_permissions (id, guard, name)
         select gen_random_uuid(), 'portal', name from unnest($1::text[]) as p (name)
         returning id, name)
       insert into nest_auth_role_permissions (role_id, permission_id, guard)
       select ($3::uuid[])[1 + (array_position($1::text[], name) - 1) / $2::integer], id, 'portal' from permission`,
      [permissions, PERMISSIONS_PER_ROLE, roleIds],
    );
  });
}

/** Version 7, as the application makes them: a time that grows with `i`, and digits that look like chance. */
const USER_ID = `create function pg_temp.user_id(i integer) returns uuid language sql immutable as $$
  select (lpad(to_hex(1700000000000 + i), 12, '0') || '7' || substr(md5(i::text), 1, 3)
    || '8' || substr(md5(i::text), 4, 15))::uuid $$`;

const EMAIL = `'user' || i || '@example.com'`;
const PHONE = `'+49151' || lpad(i::text, 8, '0')`;

/** `$1` users, `$2` tenants, `$3` roles, `$4` every how many-th user has them all. */
const USERS = [
  `insert into nest_auth_users (id, realm_id, email, email_norm, phone)
   select pg_temp.user_id(i), '${NIL_UUID}', ${EMAIL}, ${EMAIL}, ${PHONE} from generate_series(1, $1::integer) i`,
  `insert into nest_auth_identities (realm_id, user_id, provider, provider_id)
   select '${NIL_UUID}', pg_temp.user_id(i), 'email', ${EMAIL} from generate_series(1, $1::integer) i`,
  `insert into nest_auth_identities (realm_id, user_id, provider, provider_id)
   select '${NIL_UUID}', pg_temp.user_id(i), 'phone', ${PHONE} from generate_series(1, $1::integer) i`,
  `insert into nest_auth_user_accesses (user_id, tenant_id, realm_id, is_default)
   select pg_temp.user_id(i), ($2::uuid[])[1 + i % cardinality($2::uuid[])], '${NIL_UUID}', true
   from generate_series(1, $1::integer) i`,
  `insert into nest_auth_user_access_roles (user_id, tenant_id, role_id, role_tenant_id, guard)
   select pg_temp.user_id(i), ($2::uuid[])[1 + i % cardinality($2::uuid[])], role, '${NIL_UUID}', 'portal'
   from generate_series(1, $1::integer) i, unnest($3::uuid[]) with ordinality as r (role, n)
   where n = 1 or i % $4::integer = 0`,
  `insert into app_users (id, auth_user_id, display_name)
   select pg_temp.user_id(i), pg_temp.user_id(i), 'User ' || i from generate_series(1, $1::integer) i`,
];

/** Users with logins, an access, a role and a row of the host each; some with all roles. */
export async function seedUsers(url: string, { tenantIds, roleIds }: World, count: number): Promise<void> {
  const every = Math.max(1, Math.floor(count / USERS_WITH_ALL_ROLES));
  const values = [count, tenantIds, roleIds, every];
  await withClient(url, async (client) => {
    await client.query(USER_ID);
    // What is written is right by construction, and checking millions of foreign keys takes minutes.
    await client.query(`set session_replication_role = replica`);
    for (const text of USERS) {
      const used = Math.max(...[...text.matchAll(/\$(\d)/g)].map(([, digit]) => Number(digit)));
      await client.query(text, values.slice(0, used));
    }
    await client.query('vacuum analyze');
    await client.query('checkpoint');
  });
}

/** The nth user's email, from 1. */
export function seededEmail(index: number): string {
  return `user${index}@example.com`;
}

/** Users with all roles, and the tenant they have them in. */
export async function readBusyUsers(url: string, { roleIds }: World): Promise<{ userId: string; tenantId: string }[]> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ userId: string; tenantId: string }>(
      `select user_id as "userId", tenant_id as "tenantId" from nest_auth_user_access_roles where role_id = $1`,
      [roleIds.at(-1)],
    );
    return rows;
  });
}

let serial = 0;

/** Logins that nobody has, in any database of this run. */
export function freshLogin(): { email: string; phone: string } {
  serial += 1;
  return { email: `new${serial}@example.com`, phone: `+49151${10_000_000 + serial}` };
}
