import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { addAppUsers } from '../../bench/environment.js';
import { Floor } from '../../bench/floor.js';
import { Portal } from '../../bench/portal.js';
import { freshLogin, makeWorld, seedWorld } from '../../bench/seed.js';
import { PREPARED } from '../../support/connection-mode.js';
import { useDatabase, withClient } from '../../support/database.js';

/** The tables that hold rows of a user, and their column with its id. */
const TABLES = [
  ['nest_auth_users', 'id'],
  ['nest_auth_identities', 'user_id'],
  ['nest_auth_user_accesses', 'user_id'],
  ['nest_auth_user_access_roles', 'user_id'],
  ['nest_auth_platform_accesses', 'user_id'],
  ['nest_auth_platform_access_roles', 'user_id'],
  ['app_users', 'auth_user_id'],
] as const;

/** What has happened to the user: single steps are several things. */
const ACTIVITIES = ['nest_auth_activities', 'user_id'] as const;

/** What differs from one creation to the next, however it is made. */
const OWN_VALUES = [
  'id',
  'user_id',
  'auth_user_id',
  'subject_id',
  'xid',
  'created_at',
  'updated_at',
  'occurred_at',
  'activated_at',
  // In single steps the password is a change, and ends what was signed in before.
  'security_stamp',
];
/** In single steps the password is a change of a user that is there already. */
const VERSION = 'version';

describe('what the benchmark compares', () => {
  const ours = useDatabase();
  const theirs = useDatabase();
  const world = makeWorld();
  let portal: Portal;
  let floor: Floor;

  beforeAll(async () => {
    for (const { url } of [ours, theirs]) {
      await addAppUsers(url);
      await seedWorld(url, world);
    }
    portal = await Portal.open(ours.url, { pool: 2, prepared: PREPARED });
    floor = new Floor(theirs.url);
  });
  afterAll(() => Promise.all([portal.close(), floor.close()]));

  const newUser = async () => {
    const password = await portal.passwords.hash('correct horse battery staple');
    const [tenantId = ''] = world.tenantIds;
    const [roleId = ''] = world.roleIds;
    return { ...freshLogin(), password, passwordHash: password.phc, tenantId, roleId };
  };

  test('one call leaves the same rows as the hand-written transaction', async () => {
    const user = await newUser();
    const made = await rowsOf(ours.url, await portal.createInOneCall(user), [...TABLES, ACTIVITIES]);
    const byHand = await rowsOf(theirs.url, await floor.createPortalUser(user), [...TABLES, ACTIVITIES]);

    expect(countsOf(made)).toEqual([1, 2, 1, 1, 0, 0, 1, 1]);
    expect(made).toEqual(byHand);
  });

  test('single steps leave the same rows as the hand-written transaction', async () => {
    const user = await newUser();
    const made = await rowsOf(ours.url, await portal.createStepByStep(user));
    const byHand = await rowsOf(theirs.url, await floor.createPortalUser(user));

    expect(countsOf(made)).toEqual(countsOf(byHand));
    expect(made).toEqual(byHand);
  });

  test('the hand-written questions have the same answers', async () => {
    const user = await newUser();
    const { tenantId } = user;
    const [permission = ''] = world.permissions;
    const mine = await portal.createInOneCall(user);
    const other = await floor.createPortalUser(user);

    const permissions = await portal.access.getPermissions(mine, tenantId);
    expect(permissions).toHaveLength(20);
    expect((await floor.getPermissions(other, tenantId)).toSorted()).toEqual(permissions);
    expect((await floor.getBarePermissions(other, tenantId)).toSorted()).toEqual(permissions);
    for (const name of [permission, 'documents:unknown']) {
      expect(await floor.can(other, tenantId, name)).toBe(await portal.access.can(mine, tenantId, name));
    }
  });
});

type Rows = Record<string, unknown>[];

/** Everything a user has, by table. */
function rowsOf(
  url: string,
  userId: string,
  tables: readonly (readonly [table: string, column: string])[] = TABLES,
): Promise<Rows[]> {
  return withClient(url, async (client) => {
    const found: Rows[] = [];
    for (const [table, column] of tables) {
      const { rows } = await client.query<{ row: Record<string, unknown> }>(
        `select to_jsonb(t) - $2::text[] as row from ${table} t where ${column} = $1 order by 1`,
        [userId, [...OWN_VALUES, VERSION]],
      );
      found.push(rows.map(({ row }) => row));
    }
    return found;
  });
}

function countsOf(rows: readonly Rows[]): number[] {
  return rows.map(({ length }) => length);
}
