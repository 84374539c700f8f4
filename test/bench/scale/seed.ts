import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { from as copyFrom } from 'pg-copy-streams';
import { NIL_UUID } from '../../../src/index.js';
import { withClient } from '../environment.js';
import { seededEmail } from '../seed.js';
import * as shape from './shape.js';
import type { Shape } from './shape.js';

/** What is copied into a table: the fields of each row, in the order of the columns. */
interface Copy {
  readonly table: string;
  readonly columns: readonly string[];
  readonly rows: () => Iterable<readonly string[]>;
}

export interface Seeded {
  readonly seconds: number;
  /** By table. */
  readonly rows: Readonly<Record<string, number>>;
}

/** Sent in one piece: a call for each row would cost more than the row. */
const CHUNK_LENGTH = 65_536;
const HOST_TABLE = 'app_users';
/** COPY of one table keeps one processor of the server busy. */
const AT_ONCE = 3;

/**
 * Writes everything with COPY: the same rows whenever it is called with the same number of users.
 *
 * @param options - `host: false` leaves out the host's own rows, for a database without its table.
 */
export async function seedByCopy(url: string, of: Shape, options: { readonly host?: boolean } = {}): Promise<Seeded> {
  const started = performance.now();
  const all = [...usersOf(of, 1, of.users), ...worldOf(of)];
  const queue = all.filter(({ table }) => table !== HOST_TABLE || options.host !== false);
  const rows: Record<string, number> = {};
  const work = async (): Promise<void> => {
    for (let copy = queue.shift(); copy !== undefined; copy = queue.shift()) {
      rows[copy.table] = (rows[copy.table] ?? 0) + (await send(url, copy));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  await withClient(url, async (client) => {
    await client.query('vacuum (analyze)');
    await client.query('checkpoint');
  });
  return { seconds: (performance.now() - started) / 1_000, rows };
}

/** Users from `first` to `last` with their logins, accesses and roles, and without a row of the host. */
export async function addUsers(url: string, of: Shape, first: number, last: number): Promise<void> {
  for (const copy of usersOf(of, first, last)) if (copy.table !== HOST_TABLE) await send(url, copy);
}

async function send(url: string, { table, columns, rows }: Copy): Promise<number> {
  return withClient(url, async (client) => {
    // What is written is right by construction, and checking millions of foreign keys takes minutes.
    await client.query('set session_replication_role = replica');
    const target = client.query(copyFrom(`copy ${table} (${columns.join(', ')}) from stdin`));
    await pipeline(Readable.from(chunksOf(rows()), { objectMode: false }), target);
    return target.rowCount;
  });
}

function* chunksOf(rows: Iterable<readonly string[]>): Generator<string> {
  let chunk = '';
  for (const fields of rows) {
    chunk += `${fields.join('\t')}\n`;
    if (chunk.length < CHUNK_LENGTH) continue;
    yield chunk;
    chunk = '';
  }
  if (chunk !== '') yield chunk;
}

function* each<T>(first: number, last: number, make: (index: number) => readonly T[]): Generator<T> {
  for (let index = first; index <= last; index += 1) yield* make(index);
}

const phoneOf = (user: number): string => `+49151${String(user).padStart(8, '0')}`;

function usersOf(of: Shape, first: number, last: number): Copy[] {
  const rows = (make: (user: number) => readonly (readonly string[])[]) => () => each(first, last, make);
  return [
    {
      table: 'nest_auth_users',
      columns: ['id', 'realm_id', 'email', 'email_norm', 'phone'],
      rows: rows((user) => [[shape.userId(user), NIL_UUID, seededEmail(user), seededEmail(user), phoneOf(user)]]),
    },
    {
      table: 'nest_auth_identities',
      columns: ['realm_id', 'user_id', 'provider', 'provider_id'],
      rows: rows((user) => [
        [NIL_UUID, shape.userId(user), 'email', seededEmail(user)],
        [NIL_UUID, shape.userId(user), 'phone', phoneOf(user)],
      ]),
    },
    {
      table: 'nest_auth_user_accesses',
      columns: ['user_id', 'tenant_id', 'realm_id', 'is_default'],
      rows: rows((user) => accessesOf(user, of)),
    },
    {
      table: 'nest_auth_user_access_roles',
      columns: ['user_id', 'tenant_id', 'role_id', 'role_tenant_id', 'guard'],
      rows: rows((user) => rolesOf(user, of)),
    },
    {
      table: HOST_TABLE,
      columns: ['id', 'auth_user_id', 'display_name'],
      rows: rows((user) => [[shape.userId(user), shape.userId(user), `User ${user}`]]),
    },
  ];
}

function accessesOf(user: number, of: Shape): string[][] {
  const [id, second] = [shape.userId(user), shape.secondOf(user, of)];
  const home = [id, shape.tenantId(shape.homeOf(user, of)), NIL_UUID, 't'];
  return second === null ? [home] : [home, [id, shape.tenantId(second), NIL_UUID, 'f']];
}

function rolesOf(user: number, of: Shape): string[][] {
  const [id, second] = [shape.userId(user), shape.secondOf(user, of)];
  const role = shape.sharedRoleId(shape.roleOf(user));
  const home = [id, shape.tenantId(shape.homeOf(user, of)), role, NIL_UUID, 'portal'];
  if (second === null) return [home];
  const tenant = shape.tenantId(second);
  return [home, [id, tenant, shape.ownRoleId(second), tenant, 'portal']];
}

/** Tenants, roles and permissions. */
function worldOf({ tenants }: Shape): Copy[] {
  const [lastTenant, lastRole] = [tenants - 1, shape.SHARED_ROLES - 1];
  const nothing = '\\N';
  return [
    {
      table: 'nest_auth_tenants',
      columns: ['id', 'name', 'slug'],
      rows: () => each(0, lastTenant, (tenant) => [[shape.tenantId(tenant), `Tenant ${tenant}`, `tenant-${tenant}`]]),
    },
    {
      table: 'nest_auth_roles',
      columns: ['id', 'tenant_id', 'owner_tenant_id', 'guard', 'name', 'is_system'],
      rows: function* () {
        yield* each(0, lastRole, (n) => [[shape.sharedRoleId(n), nothing, NIL_UUID, 'portal', `role-${n}`, 't']]);
        yield* each(0, lastTenant, (n) => {
          const owner = shape.tenantId(n);
          return [[shape.ownRoleId(n), owner, owner, 'portal', 'own', 'f']];
        });
      },
    },
    {
      table: 'nest_auth_permissions',
      columns: ['id', 'guard', 'name'],
      rows: () => each(0, shape.PERMISSIONS - 1, (n) => [[shape.permissionId(n), 'portal', shape.permissionName(n)]]),
    },
    {
      table: 'nest_auth_role_permissions',
      columns: ['role_id', 'permission_id', 'guard'],
      rows: function* () {
        const granted = (role: string, permissions: readonly number[]): string[][] =>
          permissions.map((permission) => [role, shape.permissionId(permission), 'portal']);
        yield* each(0, lastRole, (n) => granted(shape.sharedRoleId(n), shape.permissionsOf(n)));
        yield* each(0, lastTenant, (n) => granted(shape.ownRoleId(n), shape.permissionsOfOwn(n)));
      },
    },
  ];
}
