import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { SessionService, UserLifecycleService } from '../../../src/index.js';
import { type Holder, holder, keys, NEVER_OLD, query, signedIn, useToldApp } from './fixture.js';
import { type OtherProcess, startOther } from '../../support/revocation-processes.js';

jest.setTimeout(120_000);

/** This process does not keep anything: what is measured is the other one. */
const app = useToldApp({ cache: false });

const RIGHTS: readonly (readonly [what: string, take: (one: Holder) => Promise<unknown>])[] = [
  ['a role', ({ userId, tenantId }) => app.users.setUserAccessRoles(userId, tenantId, [])],
  ['the permission of a role', ({ roleId }) => app.roles.setRolePermissions(roleId, [])],
  ['the tenant', ({ tenantId }) => app.tenants.updateTenant(tenantId, { isActive: false })],
  ['the user', ({ userId }) => app.context.get(UserLifecycleService).disableById(userId)],
  [
    'a role, by raw SQL',
    ({ userId }) => query(app.url, 'delete from nest_auth_user_access_roles where user_id = $1', [userId]),
  ],
];

type SignedIn = Awaited<ReturnType<typeof signedIn>>;

const SESSIONS: readonly (readonly [what: string, end: (one: SignedIn) => Promise<unknown>])[] = [
  ['a session', ({ userId, sessionId }) => app.context.get(SessionService).revokeSession(userId, sessionId)],
  ['the user', ({ userId }) => app.context.get(UserLifecycleService).disableById(userId)],
  [
    'the password, by raw SQL',
    ({ userId }) =>
      query(app.url, 'update nest_auth_users set security_stamp = security_stamp + 1 where id = $1', [userId]),
  ],
];

describe.each([
  // What is told is seen long before it would be too old.
  ['is told to the others by LISTEN/NOTIFY', { ...NEVER_OLD, listen: true }],
  ['is seen by others without LISTEN within the bound', {}],
])('SEC-45 what one process takes away %s', (how, revocation) => {
  let others: OtherProcess[] = [];

  beforeAll(async () => {
    others = await Promise.all([startOther(app.url, keys, revocation), startOther(app.url, keys, revocation)]);
  });
  afterAll(() => others.forEach((other) => other.stop()));

  /** Both others allow it first, and both refuse it afterwards. */
  async function measure(what: string, one: Holder, token: string | undefined, take: () => Promise<unknown>) {
    const { userId, tenantId, permission } = one;
    const watched = { userId, tenantId, ...(token === undefined ? { permission } : { token }) };
    let arrived = 0;
    let taken: Promise<unknown> | undefined;
    let all: () => void = () => undefined;
    const bothAllow = new Promise<void>((resolve) => (all = resolve));
    const once = async (): Promise<unknown> => {
      arrived += 1;
      if (arrived === others.length) all();
      await bothAllow;
      return (taken ??= take());
    };
    const ms = await Promise.all(others.map((other) => other.refusesAfter(watched, once)));
    process.stdout.write(`revoked ${what}: refused elsewhere after ${ms.join(' and ')} ms (${how})\n`);
    return ms;
  }

  it.each(RIGHTS)('takes away %s', async (what, take) => {
    const one = await holder(app);
    const ms = await measure(what, one, undefined, () => take(one));
    expect(Math.max(...ms)).toBeLessThan(NEVER_OLD.maxStaleMs);
  });

  it.each(SESSIONS)('ends %s', async (what, end) => {
    const one = await signedIn(app);
    const ms = await measure(what, one, one.accessToken, () => end(one));
    expect(Math.max(...ms)).toBeLessThan(NEVER_OLD.maxStaleMs);
  });
});
