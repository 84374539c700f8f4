import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import type { EntityManager } from 'typeorm';

import {
  generateSessionKeys,
  type ActivityFilter,
  type GetRolesOptions,
  type GetUsersOptions,
  type LifecycleBatchOptions,
  type LifecycleBatchResult,
  RoleGuardEnum,
  UserLifecycleService,
  UserStatisticsService,
  UserStatusEnum,
} from '../../../src/index.js';
import { seedByCopy } from '../../bench/scale/seed.js';
import * as shape from '../../bench/scale/shape.js';
import { seededEmail } from '../../bench/seed.js';
import { PAPER } from '../../contract/external.rows.js';
import { SECRETS } from '../../contract/recovery.rows.js';
import { ROWS, setStage } from '../../contract/rows.js';
import { ON_CLUSTER, useDatabase, withClient } from '../../support/database.js';
import { type NestAppFixture, startNestApp } from '../../support/nest-app.js';
import { problemsOf, type Rules, type Sent, sentBy } from './plan-check.js';
import { ACTIVITIES, endAllLives, giveLives, IN_EACH_STATE, RARE, settle } from './plan-rows.js';

/** More tenants than usual, so that their table is no small one either. */
const SHAPE: shape.Shape = { users: 50_000, tenants: 20_000 };

/** They grow with the code of an application, or with those who administer it, but not with its users. */
const SMALL = [
  'nest_auth_permissions',
  'nest_auth_platform_accesses',
  'nest_auth_platform_access_roles',
  'nest_auth_platform_access_permissions',
  'nest_auth_subscriptions',
];

/** What reads more than it needs, with the reason; everything else must not. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  'users.countUsers': 'it counts all users, and says so',
  'users.getUsersAndCount': 'it counts all users, and says so',
  'tenants.countTenants': 'it counts all tenants, and says so',
  'tenants.getTenantsAndCount': 'it counts all tenants, and says so',
  'users.createUsers':
    'PostgreSQL expects thousands of further logins in every chunk, and joins all there are while they are few',
  'tenants.deleteTenant': 'logins of its realm are looked for in an index that does not begin with the realm',
};

/** What a statement may look at that looks at more than a page of rows. */
interface Allowance {
  /** How the statement begins. */
  readonly statement: string;
  readonly rows: number;
  /** Tables that it may read from end to end. */
  readonly reads?: readonly string[];
}

/** Beside each the reason. */
const ALLOWED: Readonly<Record<string, Allowance>> = {
  // Every holder of the role in the tenant is found before the first of them is known.
  'users.getUsersByRole': { statement: 'select u.id', rows: 30_000 },
  // Exact: the five thousand members of the tenant, each with the status that its user has. They are a tenth of all users,
  // so that going through these may be cheaper.
  'statistics.countUsers': { statement: 'select u.status', rows: 61_000, reads: ['nest_auth_users'] },
  // Exact: the members of a hundred tenants, one of them the largest, and whether each is soft-deleted. Planned for any
  // number of tenants it expects a tenth of all.
  'statistics.countByTenant': {
    statement: 'with page as',
    rows: 11_500,
    reads: ['nest_auth_user_accesses', 'nest_auth_users'],
  },
  // Exact: the roles of the system are on the first page, and everybody holds one of them. Each grant is read once.
  'statistics.countByRole': {
    statement: 'with page as',
    rows: 120_000,
    reads: ['nest_auth_user_access_roles', 'nest_auth_users'],
  },
  // Everything that the guard has is held against what is declared: it grows with the code of an application.
  'registry.plan': { statement: 'select coalesce(( select json_agg', rows: 5_000 },
  'registry.apply': { statement: 'select coalesce(( select json_agg', rows: 5_000 },
  // Exact: the dead letters of every subscriber are counted.
  'feed.getSubscriptions': { statement: 'select name, position_xid', rows: 25_000 },
};

/**
 * A window of a batch: five thousand entries of the index are gone through, whoever is due. Where hardly more than that
 * are left of all users, those may be sorted instead.
 */
const WINDOW: Allowance = { statement: 'with page as', rows: 10_001 };

/** The same, with every access of each user and the tenant that it leads to. */
const WINDOW_WITH_TENANTS: Allowance = { ...WINDOW, rows: 17_001 };

const NORMAL: Rules = { small: SMALL, isSorted: false, mostRows: 1_500 };
const SORTED: Rules = { ...NORMAL, isSorted: true, mostRows: 100 };

/** Everybody has signed in once, after a mistake: a table that is nearly empty is read from end to end whatever there is to read it by. */
const SESSIONS = `
  insert into nest_auth_sessions (user_id, id, realm_id, security_stamp, idle_expires_at, expires_at)
    select id, id, realm_id, 1, now() + interval '7 days', now() + interval '30 days' from nest_auth_users;
  insert into nest_auth_refresh_tokens (user_id, token_hash, session_id)
    select user_id, decode(md5(id::text) || md5(id::text), 'hex'), id from nest_auth_sessions;
  insert into nest_auth_sign_in_failures (subject, network, failures) select id, '192.0.2.1/32', 1 from nest_auth_users;
  insert into nest_auth_sign_in_totals (subject, failures) select id, 1 from nest_auth_users;
  insert into nest_auth_external_flows (token_hash, purpose, provider, sealed, expires_at)
    select decode(md5(id::text) || md5(id::text), 'hex'), 'sign_in', 'paper', 'x', now() + interval '5 minutes' from nest_auth_users;
  insert into nest_auth_second_factors (user_id, kind, realm_id, key_id, sealed, last_step, enabled_at)
    select id, 'totp', realm_id, 'k1', 'x', 1, now() from nest_auth_users;
  insert into nest_auth_second_factor_states (user_id, realm_id) select id, realm_id from nest_auth_users;
  insert into nest_auth_second_factor_challenges (user_id, token_hash, id, realm_id, security_stamp, expires_at)
    select id, decode(md5(id::text) || md5(id::text), 'hex'), id, realm_id, 1, now() + interval '5 minutes' from nest_auth_users;
  insert into nest_auth_second_factor_codes (user_id, challenge_hash, id, realm_id, kind, address, key_id, salt, code_hash)
    select user_id, token_hash, id, realm_id, 'email', 'i', 'k1', 'x', 'x' from nest_auth_second_factor_challenges;
  insert into nest_auth_trusted_devices (user_id, token_hash, id, realm_id, security_stamp, expires_at)
    select id, decode(md5(id::text) || md5(id::text), 'hex'), id, realm_id, 1, now() + interval '30 days' from nest_auth_users;
  insert into nest_auth_one_time_tokens (user_id, purpose, id, form, address, key_id, salt, token_hash, expires_at)
    select id, 'password_reset', id, 'link', coalesce(email, id::text), 'k1', 'x', decode(md5(id::text) || md5(id::text), 'hex'), now() + interval '30 minutes' from nest_auth_users;
  insert into nest_auth_password_history (user_id, id, realm_id, password_hash)
    select id, id, realm_id, 'x' from nest_auth_users;
  insert into nest_auth_invitations (id, tenant_id, realm_id, email, email_norm, role_ids, invited_by, key_id, salt, token_hash, expires_at)
    select gen_random_uuid(), tenant_id, realm_id, 'i', 'i-' || row_number() over (), '{}', user_id, 'k1', 'x', 'x', now() + interval '7 days'
    from nest_auth_user_accesses limit 50000;
  insert into nest_auth_api_keys (user_id, id, realm_id, tenant_id, name, scopes, secret_hash, expires_at)
    select user_id, gen_random_uuid(), realm_id, tenant_id, 'a key', '{x}', decode(md5(user_id::text) || md5(user_id::text), 'hex'),
      now() + interval '90 days' from nest_auth_user_accesses limit 50000;
  insert into nest_auth_service_accounts (tenant_id, id, name)
    select id, id, 'robot' from nest_auth_tenants union all select id, gen_random_uuid(), 'deploy' from nest_auth_tenants;
  insert into nest_auth_service_account_keys (tenant_id, id, service_account_id, name, scopes, secret_hash, expires_at)
    select tenant_id, gen_random_uuid(), id, 'a key', '{x}', decode(md5(id::text) || md5(id::text), 'hex'),
      now() + interval '90 days' from nest_auth_service_accounts;
  insert into nest_auth_rate_limits (key, points, expire)
    select 'signIn:perIp:' || id, 1, extract(epoch from now()) * 1000 + 60000 from nest_auth_users`;

/** Ten receivers were down for a night. */
const DEAD_LETTERS = `
  insert into nest_auth_subscriptions (name, position_xid, position_id)
    select 'webhook:' || n, 1, gen_random_uuid() from generate_series(1, 10) as n;
  insert into nest_auth_dead_letters (subscription, activity_id, xid, type, attempts, error)
    select s.name, gen_random_uuid(), n, 'nest_auth.user.created', 12, 'RefusedByReceiverError: status 503'
    from nest_auth_subscriptions s, generate_series(1, 2000) as n`;

/** Many tenants have a role that inherits from another one of their own, and many accesses have an entry beside their roles. */
const GRANTS = `
  insert into nest_auth_roles (id, tenant_id, owner_tenant_id, guard, name)
    select gen_random_uuid(), tenant_id, owner_tenant_id, guard, 'lead' from nest_auth_roles
    where tenant_id is not null order by tenant_id offset 10000 limit 8000;
  insert into nest_auth_role_parents (role_id, parent_id, role_tenant_id, parent_tenant_id, guard)
    select l.id, r.id, l.owner_tenant_id, r.owner_tenant_id, r.guard from nest_auth_roles r
    join nest_auth_roles l on l.tenant_id = r.tenant_id and l.guard = r.guard and l.name = 'lead' and l.id <> r.id;
  insert into nest_auth_role_graphs (owner_tenant_id) select id from nest_auth_tenants on conflict do nothing;
  insert into nest_auth_permissions (id, guard, name)
    select gen_random_uuid(), 'seeded', 'seeded.' || n from generate_series(1, 1000) as n;
  insert into nest_auth_user_access_permissions (user_id, tenant_id, permission_id, guard, effect, expires_at)
    select a.user_id, a.tenant_id, p.id, p.guard, 'grant', now() + interval '1 year'
    from (select user_id, tenant_id, row_number() over () as n from nest_auth_user_accesses limit 50000) a
    join (select id, guard, row_number() over () as n from nest_auth_permissions where name like 'seeded.%') p
      on p.n = a.n % 1000 + 1`;

const database = useDatabase({ plain: ON_CLUSTER });
let app: NestAppFixture;

beforeAll(async () => {
  const { url } = database;
  const started = await startNestApp(url, {
    auth: {
      session: { keys: generateSessionKeys(), signUp: 'open' },
      secrets: SECRETS,
      twoFactor: { methods: ['totp', 'email'] },
      identityProviders: [PAPER],
      apiKeys: {},
    },
  });
  await seedByCopy(url, SHAPE);
  await withClient(url, async (client) => {
    await giveLives(client);
    await client.query(
      ACTIVITIES(`date_trunc('month', now() at time zone 'utc') at time zone 'utc' + n * interval '1 ms'`),
    );
    await client.query(SESSIONS);
    await client.query(GRANTS);
    await client.query(DEAD_LETTERS);
    await settle(client);
  });
  const admin = await started.roles.createRole({ name: 'operator', guard: RoleGuardEnum.ADMIN, isSystem: true });
  const seed = {
    tenantId: shape.tenantId(0),
    otherTenantId: shape.tenantId(1),
    member: shape.sharedRoleId(0),
    editor: shape.sharedRoleId(1),
    foreign: shape.ownRoleId(1),
    admin: admin.id,
  };
  app = { ...started, url, seed };
}, 180_000);
afterAll(() => app.close());

async function problemsOfCall(call: () => Promise<unknown>, rules: Rules, allowance?: Allowance): Promise<string[]> {
  const sent = await sentBy(call);
  expect(sent.length).toBeGreaterThan(0);
  return problemsOfAll(sent, rules, { allowance });
}

interface Circumstances {
  /** SQL, taken back afterwards. */
  readonly before?: string;
  readonly allowance?: Allowance | undefined;
}

function problemsOfAll(
  sent: readonly Sent[],
  rules: Rules,
  { before = 'select 1', allowance }: Circumstances = {},
): Promise<string[]> {
  const isAllowed = ({ text }: Sent): boolean => allowance !== undefined && text.startsWith(allowance.statement);
  // An allowance that nothing needs any more must go.
  expect(allowance === undefined || sent.some(isAllowed)).toBe(true);
  return withClient(app.url, async (client) => {
    await client.query('begin');
    await client.query(before);
    const problems: string[] = [];
    for (const one of sent) {
      const allowed = isAllowed(one) && allowance !== undefined ? withAllowance(rules, allowance) : rules;
      problems.push(...(await problemsOf(client, one, allowed)));
    }
    await client.query('rollback');
    return problems;
  });
}

function withAllowance(rules: Rules, { rows, reads = [] }: Allowance): Rules {
  return { ...rules, mostRows: rows, small: [...rules.small, ...reads] };
}

const methods = Object.entries(ROWS).flatMap(([service, rows]) =>
  Object.entries(rows).map(([method, row]) => [`${service}.${method}`, row] as const),
);

type Batch = (
  life: UserLifecycleService,
  options: LifecycleBatchOptions,
  manager: EntityManager,
) => Promise<LifecycleBatchResult>;

/** Examined by themselves: the calls of the contract move everybody, and what comes after them finds nobody. */
const BATCHES: Readonly<Record<string, Batch>> = {
  'lifecycle.deactivateInactiveUsers': (life, options, m) => life.deactivateInactiveUsers(options, m),
  'lifecycle.disableDeactivatedUsers': (life, options, m) => life.disableDeactivatedUsers(options, m),
  'lifecycle.softDeleteDisabledUsers': (life, options, m) => life.softDeleteDisabledUsers(options, m),
  'lifecycle.scheduleSoftDeletedUsersForDeletion': (life, options, m) =>
    life.scheduleSoftDeletedUsersForDeletion(options, m),
  'lifecycle.deleteScheduledUsers': (life, options, m) => life.deleteScheduledUsers(options, m),
};

const elsewhere = { ...EXCEPTIONS, ...BATCHES };
const examined = methods.filter(([name, row]) => row.elsewhere === undefined && elsewhere[name] === undefined);

describe('with many users and tenants', () => {
  it.each(examined)(
    '%s reads no table from end to end, whether planned for its values or for any',
    async (name, row) => {
      const stage = await setStage(app);
      expect(await problemsOfCall(() => row.call(app, stage), NORMAL, ALLOWED[name])).toEqual([]);
    },
  );

  it('every exception is a method', () => {
    expect(methods.map(([name]) => name)).toEqual(
      expect.arrayContaining([...Object.keys(elsewhere), ...Object.keys(ALLOWED)]),
    );
    expect(examined.length).toBeGreaterThan(60);
  });
});

const [large, usual] = [shape.tenantId(0), shape.tenantId(77)];

/** What is thrown to take a transaction back. */
const TAKEN_BACK = new Error('taken back');

const batches = Object.entries(BATCHES);

describe.each([
  ['a batch', null, WINDOW],
  ['a batch, where a tenant has grace periods of its own', { pendingDays: 60 }, WINDOW_WITH_TENANTS],
] as const)('%s', (_, periods, window) => {
  beforeAll(async () => {
    // What the contract has left.
    await app.dataSource.query('update nest_auth_tenants set lifecycle = null where lifecycle is not null');
    await app.context.get(UserLifecycleService).setTenantGracePeriods(usual, periods);
  });

  it.each(batches)('%s goes through an index, and moves whom it finds by another', async (_name, batch) => {
    let [moved, rehearsed] = [0, 0];
    const call = async (): Promise<void> => {
      const all = app.dataSource.transaction(async (manager) => {
        const life = app.context.get(UserLifecycleService);
        ({ processed: rehearsed } = await batch(life, { chunkSize: 100, dryRun: true }, manager));
        ({ processed: moved } = await batch(life, { chunkSize: 100 }, manager));
        throw TAKEN_BACK;
      });
      await expect(all).rejects.toBe(TAKEN_BACK);
    };
    expect(await problemsOfCall(call, NORMAL, window)).toEqual([]);
    expect(moved).toBeGreaterThanOrEqual(IN_EACH_STATE);
    expect(rehearsed).toBe(moved);
  });
});

const role = { name: 'role-0', guard: 'portal' };

describe('a list of users', () => {
  it.each<[string, GetUsersOptions]>([
    ['all', {}],
    ['all, newest first', { sortOrder: 'desc' }],
    ['those who are active', { isActive: true }],
    ['the members of a large tenant', { tenantId: large }],
    ['the members of a large tenant, newest first', { tenantId: large, sortOrder: 'desc' }],
    ['the active members of a large tenant', { tenantId: large, isActive: true }],
  ])('of %s sorts nothing and reads little more than it shows, near and far', async (_, options) => {
    let after: string | undefined;
    for (let page = 0; page < 3; page += 1) {
      const next: GetUsersOptions = { ...options, ...(after === undefined ? {} : { after }) };
      expect(await problemsOfCall(() => app.users.getUsersPage(next), SORTED)).toEqual([]);
      after = (await app.users.getUsersPage({ ...next, limit: 200 })).nextCursor ?? '';
    }
  });

  it.each<[string, GetUsersOptions]>([
    ['those who are pending in a tenant', { tenantId: usual, status: UserStatusEnum.PENDING }],
    ['holders of a role in a tenant', { tenantId: usual, role }],
    ['holders of a role of its own', { tenantId: usual, role: { name: 'own', guard: 'portal' } }],
    ['the platform', { platform: true }],
    ['the beginning of an email', { search: seededEmail(4_711).slice(0, 8) }],
    ['an email', { search: seededEmail(4_711) }],
    ['the beginning of a phone number', { search: '+491510000471' }],
    ['an email among the members of a large tenant', { search: seededEmail(4_710), tenantId: large }],
  ])('of %s reads few rows, by an index', async (_, options) => {
    expect(await problemsOfCall(() => app.users.getUsersPage(options), NORMAL)).toEqual([]);
  });
});

it('a list of the holders of an own role in a large tenant looks at no role of another one', async () => {
  const call = (): Promise<unknown> =>
    app.users.getUsersPage({ tenantId: large, role: { name: 'own', guard: 'portal' } });
  // Nobody holds it: each of five thousand members is looked at.
  expect(await problemsOfCall(call, { ...NORMAL, mostRows: 16_000 })).toEqual([]);
});

describe('a list of roles', () => {
  it.each<[string, GetRolesOptions]>([
    ['of the system', {}],
    ['of the system and a tenant', { tenantId: usual }],
    ['of a tenant alone', { tenantId: usual, ownOnly: true }],
    ['of a tenant alone, by guard', { tenantId: usual, ownOnly: true, guard: 'portal' }],
  ])('%s looks at no role of another tenant', async (_, options) => {
    const [{ count }] = await app.dataSource.query<[{ count: number }]>(
      'select count(*)::integer as count from nest_auth_roles where tenant_id is null',
    );
    // The tenant has one; each may be looked at in an index and in the table.
    const mostRows = 2 * (options.ownOnly === true ? 1 : count + 1);
    expect(await problemsOfCall(() => app.roles.getRolesPage(options), { ...NORMAL, mostRows })).toEqual([]);
  });

  it('looks at one role by its name', async () => {
    const call = (): Promise<unknown> => app.roles.getRoleByName('own', 'portal', usual);
    expect(await problemsOfCall(call, { ...NORMAL, mostRows: 2 })).toEqual([]);
  });
});

describe('the activities', () => {
  it.each<[string, ActivityFilter]>([
    ['all', {}],
    ['of a user', { userId: shape.userId(RARE.user) }],
    ['of a tenant', { tenantId: shape.tenantId(RARE.tenant) }],
    ['of a type', { type: RARE.type }],
    ['of some types', { type: [RARE.type, 'crm.unknown'] }],
    ['of an actor', { actorId: RARE.actorId }],
    ['of a time', { from: new Date(Date.now() - 3_600_000), to: new Date() }],
    ['until some time', { to: new Date() }],
  ])('%s are read by an index where there are any', async (_, filter) => {
    const call = (): Promise<unknown> => app.activities.findActivities(filter, { limit: 10 });
    expect(await problemsOfCall(call, { ...NORMAL, mostRows: 200 })).toEqual([]);
  });

  const none = `insert into nest_auth_activities_default select * from nest_auth_activities_default where false`;
  const late = `${ACTIVITIES(`now() + interval '9 years' + n * interval '1 hour'`)}; analyze nest_auth_activities_default`;

  it.each<[string, string, () => Promise<unknown>]>([
    ['which months were dropped', none, () => app.activities.verifyActivities()],
    ['which months were dropped, with late ones', late, () => app.activities.verifyActivities()],
    ['the span of those that no month takes', none, () => app.activities.maintainPartitions()],
    ['the span of those that no month takes, when there are many', late, () => app.activities.maintainPartitions()],
  ])('%s is read by an index where there are any', async (_, before, call) => {
    const sent = (await sentBy(call)).filter(({ text }) => text.includes('max('));
    expect(sent).toHaveLength(1);
    expect(await problemsOfAll(sent, { ...NORMAL, mostRows: 200 }, { before })).toEqual([]);
  });
});

// The check itself: it must say so when an index is missing.
describe('without its index', () => {
  it.each<[string, string, Rules, () => Promise<unknown>]>([
    [
      'a sign-in look-up',
      `drop index nest_auth_users_realm_email_uq, nest_auth_users_email_search_ix;
       alter table nest_auth_identities drop constraint nest_auth_identities_pk`,
      NORMAL,
      () => app.users.getUserByEmail(seededEmail(40_000)),
    ],
    [
      'a search',
      'drop index nest_auth_users_email_search_ix',
      NORMAL,
      () => app.users.getUsers({ search: seededEmail(40_000) }),
    ],
    [
      'a list of members',
      'drop index nest_auth_user_accesses_tenant_ix',
      SORTED,
      () => app.users.getUsersPage({ tenantId: usual }),
    ],
    [
      'a look-up of a permission',
      // With that of the tenant gone too: the few members of a usual tenant are found by it all the same.
      `alter table nest_auth_user_access_roles drop constraint nest_auth_user_access_roles_pk;
       drop index nest_auth_user_access_roles_tenant_ix`,
      NORMAL,
      () => app.access.can(shape.userId(40_007), shape.tenantId(shape.homeOf(40_007, SHAPE)), shape.permissionName(0)),
    ],
    [
      'a list of the holders of a role, in whatever tenant',
      'drop index nest_auth_roles_guard_name_ix',
      // All holders are found before the first of them is known.
      { ...NORMAL, mostRows: 16_000 },
      () => app.users.getUsersPage({ role: { name: 'role-3', guard: 'portal' } }),
    ],
    [
      'a look-up of a role by its name',
      'drop index nest_auth_roles_owner_guard_name_uq',
      { ...NORMAL, mostRows: 2 },
      () => app.roles.getRoleByName('own', 'portal', usual),
    ],
    [
      'whether a tenant has periods of its own',
      'drop index nest_auth_tenants_lifecycle_ix',
      { ...NORMAL, mostRows: 5_001 },
      () => app.context.get(UserLifecycleService).deleteScheduledUsers({ dryRun: true }),
    ],
    [
      'a window of a batch',
      'drop index nest_auth_users_status_ix',
      { ...NORMAL, mostRows: 5_001 },
      () => app.context.get(UserLifecycleService).deleteScheduledUsers({ dryRun: true }),
    ],
    [
      'the months that were dropped',
      'drop index nest_auth_activities_type_ix',
      NORMAL,
      () => app.activities.verifyActivities(),
    ],
  ])('%s is found to read too much', async (_, drop, rules, call) => {
    const sent = await sentBy(call);
    expect(await problemsOfAll(sent, rules)).toEqual([]);
    expect(await problemsOfAll(sent, rules, { before: drop })).not.toEqual([]);
  });
});

// Last: nobody is active any more.
describe('right after everybody has been soft-deleted', () => {
  beforeAll(() => withClient(app.url, endAllLives), 60_000);

  it('a batch run again does not go through all who were moved', async () => {
    const life = app.context.get(UserLifecycleService);
    expect(await problemsOfCall(() => life.deactivateInactiveUsers({ dryRun: true }), NORMAL)).toEqual([]);
  });

  it.each([
    ['statistics.countByTenant', () => app.context.get(UserStatisticsService).countByTenant()],
    ['statistics.countByRole', () => app.context.get(UserStatisticsService).countByRole()],
  ])('%s reads each member once', async (name, call) => {
    expect(await problemsOfCall(call, NORMAL, ALLOWED[name])).toEqual([]);
  });
});
