import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';

import { AccessStatusEnum, SessionService, UserLifecycleService } from '../../../src/index.js';
import { freshEmail } from '../../support/nest-app.js';
import { untilReceived } from './until-received.js';
import { auth, type Holder, holder, PASSWORD, query, signedIn, useToldApp } from './fixture.js';

let client: Client;
// Before the database is dropped from under it.
afterAll(() => client.end());
const app = useToldApp(undefined);
const told: string[] = [];

beforeAll(async () => {
  client = new Client({ connectionString: app.url });
  await client.connect();
  client.on('notification', ({ payload = '' }) => told.push(payload));
  await client.query('LISTEN nest_auth_revoked');
});

/** What is told by `fn`, each once a transaction. */
async function tellsOf(fn: () => Promise<unknown>): Promise<string[]> {
  told.splice(0);
  await fn();
  await query(app.url, `select pg_notify('nest_auth_revoked', 'end')`);
  await untilReceived(told, 'end');
  return told.slice(0, -1).toSorted();
}

const raw = (sql: string, ...values: unknown[]): Promise<unknown> => query(app.url, sql, values);

describe('the database tells', () => {
  type Change = readonly [what: string, change: (one: Holder) => Promise<unknown>, tags: (one: Holder) => string[]];

  const access = ({ userId, tenantId }: Holder): string[] => [`access:${userId}:${tenantId}`];
  const user = ({ userId }: Holder): string[] => [`user:${userId}`];
  const sessions = ({ userId }: Holder): string[] => [`sessions:${userId}`];
  const tenant = ({ tenantId }: Holder): string[] => [`tenant:${tenantId}`];
  const role = ({ roleId }: Holder): string[] => [`role:${roleId}`];
  const roles = (): string[] => ['roles'];

  const CHANGES: readonly Change[] = [
    [
      'a status',
      ({ userId }) =>
        raw(
          `update nest_auth_users set status = 'inactive', is_active = false, deactivated_at = now() where id = $1`,
          userId,
        ),
      user,
    ],
    [
      'a stamp',
      ({ userId }) => raw('update nest_auth_users set security_stamp = security_stamp + 1 where id = $1', userId),
      user,
    ],
    ['roles of an access', ({ userId, tenantId }) => app.users.setUserAccessRoles(userId, tenantId, []), access],
    [
      'a role less, by raw SQL',
      ({ userId }) => raw('delete from nest_auth_user_access_roles where user_id = $1', userId),
      access,
    ],
    [
      'a suspended access',
      ({ userId, tenantId }) => app.access.setUserAccessStatus(userId, tenantId, AccessStatusEnum.SUSPENDED),
      (one) => [...access(one), ...sessions(one)],
    ],
    ['permissions of a role', ({ roleId }) => app.roles.setRolePermissions(roleId, []), role],
    [
      'a permission less, by raw SQL',
      ({ roleId }) => raw('delete from nest_auth_role_permissions where role_id = $1', roleId),
      role,
    ],
    ['an inactive role', ({ roleId }) => app.roles.updateRole(roleId, { isActive: false }), role],
    [
      'the name of a permission',
      ({ permissionId }) => raw(`update nest_auth_permissions set name = name || '2' where id = $1`, permissionId),
      roles,
    ],
    [
      'an inactive tenant',
      ({ tenantId }) => raw('update nest_auth_tenants set is_active = false where id = $1', tenantId),
      tenant,
    ],
    [
      'a tenant that demands a second factor',
      ({ tenantId }) => app.tenants.updateTenant(tenantId, { secondFactorPolicy: 'required' }),
      tenant,
    ],
    [
      'a permission that is denied to an access, by raw SQL',
      ({ userId, tenantId, permissionId }) =>
        raw(
          `insert into nest_auth_user_access_permissions (user_id, tenant_id, permission_id, guard, effect)
           values ($1, $2, $3, 'portal', 'deny')`,
          userId,
          tenantId,
          permissionId,
        ),
      access,
    ],
    [
      'a role that ends earlier, by raw SQL',
      ({ userId }) => raw('update nest_auth_user_access_roles set expires_at = now() where user_id = $1', userId),
      access,
    ],
    ['a session that was ended', ({ userId }) => app.context.get(SessionService).revokeAllSessions(userId), sessions],
    [
      'a session that is gone',
      ({ userId }) => raw('delete from nest_auth_sessions where user_id = $1', userId),
      sessions,
    ],
  ];

  it.each(CHANGES)('of %s, once', async (_, change, tags) => {
    const one = await signedIn(app);
    expect(await tellsOf(() => change(one))).toEqual(tags(one).toSorted());
  });

  it('of a user who is gone, with all that went along', async () => {
    const one = await signedIn(app);
    const tags = await tellsOf(() => raw('delete from nest_auth_users where id = $1', one.userId));
    expect(tags).toEqual([...access(one), ...sessions(one), ...user(one)].toSorted());
  });

  it('of nothing that was rolled back', async () => {
    const { userId, tenantId } = await holder(app);
    const undone = (): Promise<unknown> =>
      app.users
        .runInTransaction(async () => {
          await app.users.setUserAccessRoles(userId, tenantId, []);
          throw new Error('undo');
        })
        .catch(() => undefined);
    expect(await tellsOf(undone)).toEqual([]);
  });

  const QUIET: readonly (readonly [
    what: string,
    run: (one: Awaited<ReturnType<typeof signedIn>>) => Promise<unknown>,
  ])[] = [
    [
      'a new user with access and roles',
      ({ tenantId, roleId }) => app.users.createUser({ email: freshEmail(), roleIds: [roleId] }, tenantId),
    ],
    [
      'many new users',
      ({ tenantId }) => app.users.createUsers([{ email: freshEmail() }, { email: freshEmail() }], { tenantId }),
    ],
    ['a new access', async ({ userId }) => app.users.ensureUserAccess(userId, app.seed.otherTenantId)],
    ['a sign-in', ({ email, tenantId }) => auth(app).signIn({ email, password: PASSWORD, tenantId })],
    ['a refresh', ({ refreshToken }) => auth(app).refresh(refreshToken)],
    ['a changed address', ({ userId }) => app.users.updateUser(userId, { email: freshEmail() })],
    ['a login that was noted', ({ userId }) => app.context.get(UserLifecycleService).recordLogin(userId)],
    ['a tenant with another name', ({ tenantId }) => app.tenants.updateTenant(tenantId, { name: 'Another' })],
    [
      'sessions that were over anyway',
      ({ userId }) =>
        raw(
          `with old as (select user_id, id from nest_auth_sessions where user_id = $1)
           delete from nest_auth_sessions s using old where s.id = old.id and s.revoked_at is not null`,
          userId,
        ),
    ],
  ];

  it.each(QUIET)('nobody of %s', async (_, run) => {
    const one = await signedIn(app);
    expect(await tellsOf(() => run(one))).toEqual([]);
  });

  it('nobody of ended sessions that are swept away', async () => {
    const { userId } = await signedIn(app);
    const { userId: other } = await signedIn(app);
    await app.context.get(SessionService).revokeAllSessions(userId);
    await raw(`update nest_auth_sessions set idle_expires_at = now() where user_id = $1`, other);
    const sweep = (): Promise<unknown> =>
      raw('delete from nest_auth_sessions where user_id = any($1::uuid[])', [userId, other]);
    expect(await tellsOf(sweep)).toEqual([]);
  });
});
