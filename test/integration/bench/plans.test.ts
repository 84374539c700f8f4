import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Client } from 'pg';
import { addAppUsers } from '../../bench/environment.js';
import { Portal } from '../../bench/portal.js';
import {
  freshLogin,
  makeWorld,
  readBusyUsers,
  seededEmail,
  seedUsers,
  seedWorld,
  type World,
} from '../../bench/seed.js';
import { PREPARED } from '../../support/connection-mode.js';
import { ON_CLUSTER, useDatabase, withClient } from '../../support/database.js';
import { recordStatements } from '../../support/wire.js';

const USERS = 20_000;

/** Every question goes to the database. */
const UNCACHED = { revocation: { cache: false } };

/** The tables that grow with the users; the others are small, and reading all of a small table is right. */
const LARGE = [
  'nest_auth_users',
  'nest_auth_identities',
  'nest_auth_user_accesses',
  'nest_auth_user_access_roles',
  'nest_auth_platform_accesses',
  'nest_auth_platform_access_roles',
];

/** What hosts call all the time, by the statements that are prepared under a name. */
type Calls = Record<string, (portal: Portal) => Promise<unknown>>;

function callsOf({ tenantIds, roleIds }: World, userId: string, memberOf: string): Calls {
  const [tenantId = ''] = tenantIds;
  const [roleId = '', other = ''] = roleIds;
  const email = seededEmail(1);
  return {
    'createUser with a role': ({ users }) => users.createUser({ ...freshLogin(), roleIds: [roleId] }, tenantId),
    'createUser with several roles': ({ users }) =>
      users.createUser({ ...freshLogin(), roleIds: [roleId, other] }, tenantId),
    'createUser without a role': ({ users }) => users.createUser(freshLogin(), tenantId),
    'createUser without a tenant': ({ users }) => users.createUser(freshLogin()),
    'createUser with an email only': ({ users }) => users.createUser({ email: freshLogin().email }, tenantId),
    'createUser in a transaction': ({ users }) =>
      users.runInTransaction((manager) =>
        users.createUser({ ...freshLogin(), roleIds: [roleId] }, tenantId, {}, manager),
      ),
    createPlatformUser: ({ users }) => users.createPlatformUser(freshLogin()),
    getUserById: ({ users }) => users.getUserById(userId),
    getUserByEmail: ({ users }) => users.getUserByEmail(email),
    'getUserByEmail in a tenant': ({ users }) => users.getUserByEmail(email, memberOf),
    getUserByPhone: ({ users }) => users.getUserByPhone('+4915110000001'),
    getPermissions: ({ access }) => access.getPermissions(userId, memberOf),
    getPlatformPermissions: ({ access }) => access.getPlatformPermissions(userId),
    can: ({ access }) => access.can(userId, memberOf, 'documents:action-1'),
    canAll: ({ access }) => access.canAll(userId, memberOf, ['documents:action-1', 'documents:action-2']),
    canOnPlatform: ({ access }) => access.canOnPlatform(userId, 'documents:action-1'),
    getRoles: ({ access }) => access.getRoles(userId, memberOf),
    isUserInTenant: ({ users }) => users.isUserInTenant(userId, memberOf),
    setUserAccessRoles: ({ users }) => users.setUserAccessRoles(userId, memberOf, [other]),
  };
}

describe('the plans of named statements', () => {
  const full = useDatabase({ plain: ON_CLUSTER });
  const empty = useDatabase({ plain: ON_CLUSTER });
  const world = makeWorld();
  let portal: Portal;
  let calls: Calls;

  beforeAll(async () => {
    for (const { url } of [full, empty]) {
      await addAppUsers(url);
      await seedWorld(url, world);
    }
    await seedUsers(full.url, world, USERS);
    await withClient(full.url, seedPlatform);
    const [busy] = await readBusyUsers(full.url, world);
    calls = callsOf(world, busy?.userId ?? '', busy?.tenantId ?? '');
    portal = await Portal.open(full.url, { pool: 1, prepared: PREPARED, auth: UNCACHED });
  }, 120_000);
  afterAll(() => portal.close());

  test('read no large table as a whole, whatever the values', async () => {
    expect(await wholeReads(full.url, calls, portal)).toEqual([]);
  });

  test('are no worse when they are made while the tables are empty', async () => {
    expect(await wholeReads(empty.url, calls, portal)).toEqual([]);
  });

  test('are made a few times and then kept', async () => {
    const kept = ['createUser with a role', 'getUserByEmail', 'getPermissions', 'can'];
    const fresh = await Portal.open(full.url, { pool: 1, auth: UNCACHED });
    try {
      for (let call = 0; call < 12; call += 1) {
        for (const name of kept) await calls[name]?.(fresh);
      }
      const rows = await fresh.users.runInTransaction((manager) =>
        manager.query<{ name: string; generic: number; custom: number }[]>(
          `select name, generic_plans::integer as generic, custom_plans::integer as custom
           from pg_prepared_statements where name like 'nest_auth_%'`,
        ),
      );
      expect(rows).toHaveLength(kept.length);
      for (const { generic, custom } of rows) {
        expect(custom).toBeLessThanOrEqual(5);
        expect(generic).toBeGreaterThan(0);
      }
    } finally {
      await fresh.close();
    }
  });
});

/** Gives everybody access to the platform, with a role. */
async function seedPlatform(client: Client): Promise<void> {
  await client.query(`insert into nest_auth_roles (id, guard, name, is_system)
    values (gen_random_uuid(), 'admin', 'operator', true)`);
  await client.query(
    `insert into nest_auth_platform_accesses (user_id, realm_id) select id, realm_id from nest_auth_users`,
  );
  await client.query(`insert into nest_auth_platform_access_roles (user_id, role_id, role_tenant_id, guard)
    select u.id, r.id, r.owner_tenant_id, r.guard from nest_auth_users u, nest_auth_roles r where r.guard = 'admin'`);
  await client.query('vacuum analyze');
}

/** Calls with a plan that reads a large table from end to end. */
async function wholeReads(url: string, calls: Calls, portal: Portal): Promise<string[]> {
  const found: string[] = [];
  await withClient(url, async (client) => {
    await client.query('set plan_cache_mode = force_generic_plan');
    for (const [name, call] of Object.entries(calls)) {
      const { statements } = await recordStatements(() => call(portal));
      const ours = statements.filter((text) => text.includes('nest_auth_'));
      expect(ours).not.toEqual([]);
      for (const text of ours) {
        const plan = await genericPlanOf(client, text);
        for (const table of LARGE.filter((large) => new RegExp(`Seq Scan on ${large}\\b`).test(plan))) {
          found.push(`${name}: ${table}`);
        }
      }
    }
  });
  return found;
}

/** The plan that is made without looking at the values. */
async function genericPlanOf(client: Client, text: string): Promise<string> {
  const count = Math.max(0, ...[...text.matchAll(/\$(\d+)/g)].map(([, digits]) => Number(digits)));
  const values = Array.from({ length: count }, () => 'null').join(', ');
  await client.query(`prepare examined as ${text}`);
  try {
    const { rows } = await client.query<Record<'QUERY PLAN', string>>(
      `explain (costs off) execute examined${count === 0 ? '' : ` (${values})`}`,
    );
    return rows.map((row) => row['QUERY PLAN']).join('\n');
  } finally {
    await client.query('deallocate examined');
  }
}
