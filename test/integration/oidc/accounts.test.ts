import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import {
  AuthService,
  type ExternalIdentity,
  type ExternalSignInResult,
  externalAccountId,
  NestAuthEvents,
  TenantModeEnum,
  type UserHooks,
} from '../../../src/index.js';
import { freshEmail, type NestApp, outcomesOf, startNestApp, times, useNestApp } from '../../support/nest-app.js';
import { paperCallback, paperProvider, somebodyElsewhere } from '../../support/paper-provider.js';
import { dumpTables, untilSomebodyWaits } from '../../support/tables.js';
import { lifecycle, person, query, sessions } from '../session/fixture.js';
import { byProviders, external } from './fixture.js';

const hooks: { -readonly [Name in keyof UserHooks]: UserHooks[Name] } = {};
const PROVIDERS = [
  paperProvider('closed', { trustsEmail: true }),
  paperProvider('open', { signUp: true }),
  paperProvider('trusted', { signUp: true, trustsEmail: true }),
  paperProvider('linking', { signUp: true, trustsEmail: true, linkVerifiedEmail: true }),
];
const app = useNestApp({
  auth: byProviders(PROVIDERS, {
    user: {
      beforeCreate: (...given) => hooks.beforeCreate?.(...given),
      afterCreate: (...given) => hooks.afterCreate?.(...given),
    },
  }),
});

beforeEach(() => {
  delete hooks.beforeCreate;
  delete hooks.afterCreate;
});

let serial = 0;
const somebody = (about: Partial<ExternalIdentity> = {}): ExternalIdentity =>
  somebodyElsewhere(`account-${(serial += 1)}`, about);

async function comeBy(
  provider: string,
  who: ExternalIdentity,
  tenantId?: string,
  where: Pick<NestApp, 'context'> = app,
): Promise<ExternalSignInResult> {
  const flow = await external(where).beginSignIn(provider, { tenantId });
  return external(where).completeSignIn({ provider, url: paperCallback(flow, who), flowToken: flow.flowToken });
}

const lastActivity = async (): Promise<unknown> =>
  (
    await query(app.url, 'select type, user_id, details from nest_auth_activities order by xid desc, id desc limit 1')
  )[0];
const REFUSED = { code: 'INVALID_CREDENTIALS', details: {} };

describe('an account that nobody has', () => {
  it('is refused where nobody signs up by it, and the log says why', async () => {
    const before = (await query(app.url, 'select id from nest_auth_users')).length;
    await expect(comeBy('closed', somebody({ email: freshEmail(), emailVerified: true }))).rejects.toMatchObject(
      REFUSED,
    );
    expect(await lastActivity()).toMatchObject({
      type: NestAuthEvents.USER_LOGIN_FAILED,
      details: { reason: 'unknown_identity' },
    });
    expect(app.events.at(-1)).toMatchObject({ name: NestAuthEvents.USER_LOGIN_FAILED, reason: 'unknown_identity' });
    expect(await query(app.url, 'select id from nest_auth_users')).toHaveLength(before);
  });

  it('becomes a user, without the email of a provider that is not trusted', async () => {
    const email = freshEmail();
    const events = app.events.length;
    const { account, user } = await comeBy('open', somebody({ email, emailVerified: true }));
    expect({ account, email: user.email }).toEqual({ account: 'created', email: null });
    expect(app.events.slice(events).map(({ name }) => name)).toEqual([
      NestAuthEvents.USER_CREATED,
      NestAuthEvents.USER_LOGGED_IN,
    ]);
    expect(app.events[events]).toMatchObject({ context: { source: 'social' } });
    expect(await app.users.emailExists(email)).toBe(false);
  });

  it('becomes a user with a verified email, where the provider is trusted and says so', async () => {
    const email = `Anna.${freshEmail()}`;
    const { user } = await comeBy('trusted', somebody({ email, emailVerified: true }));
    expect(user).toMatchObject({ email, emailVerifiedAt: expect.any(Date), status: 'active' });
    const unverified = await comeBy('trusted', somebody({ email: freshEmail(), emailVerified: false }));
    expect(unverified.user).toMatchObject({ email: null, emailVerifiedAt: null });
  });

  it('SEC-08 becomes a user who cannot sign in by a password, and is answered as others are', async () => {
    const email = freshEmail();
    await comeBy('trusted', somebody({ email, emailVerified: true }));
    await expect(app.context.get(AuthService).signIn({ email, password: 'anything' })).rejects.toMatchObject(REFUSED);
    expect(await lastActivity()).toMatchObject({ details: { reason: 'no_password' } });
  });

  it('SEC-29 is not the account with the same subject at another provider, or of another issuer', async () => {
    const who = somebody();
    const [first, second] = [await comeBy('open', who), await comeBy('trusted', who)];
    const third = await comeBy('open', { ...who, issuer: 'https://elsewhere.example' });
    expect(new Set([first.userId, second.userId, third.userId]).size).toBe(3);
    expect(await comeBy('open', who)).toMatchObject({ account: 'known', userId: first.userId });
  });

  it('is one user when twenty come at once, by two applications, with the email or without', async () => {
    const other = await startNestApp(app.url, { auth: byProviders(PROVIDERS) });
    try {
      for (const about of [{}, { email: freshEmail(), emailVerified: true }]) {
        const who = somebody(about);
        const { won, codes } = await outcomesOf([
          ...times(10, () => comeBy('trusted', who)),
          ...times(10, () => comeBy('trusted', who, undefined, other)),
        ]);
        expect(codes).toEqual({});
        expect(new Set(won.map(({ userId }) => userId)).size).toBe(1);
        expect(won.filter(({ account }) => account === 'created')).toHaveLength(1);
        const found = await query(app.url, 'select user_id from nest_auth_identities where provider_id = $1', [
          externalAccountId(who.issuer, who.subject),
        ]);
        expect(found).toHaveLength(1);
      }
    } finally {
      await other.close();
    }
  });

  it.each<[string, Partial<ExternalIdentity>]>([
    ['without a subject', { subject: '' }],
    ['with a subject that is no text', { subject: 42 as never }],
    ['with a subject that is too long', { subject: 'x'.repeat(256) }],
    ['with an issuer that could hide a subject', { issuer: 'https://paper.example x' }],
    ['without an issuer', { issuer: undefined as never }],
  ])('is refused %s', async (_, about) => {
    await expect(comeBy('open', somebody(about))).rejects.toMatchObject({ code: 'EXTERNAL_SIGN_IN_INVALID' });
  });

  it('may have the longest issuer and subject that there can be', async () => {
    const who = somebody({ issuer: `https://${'i'.repeat(180)}.example`, subject: 's'.repeat(255) });
    const { userId } = await comeBy('open', who);
    await expect(comeBy('open', who)).resolves.toMatchObject({ account: 'known', userId });
    await expect(comeBy('open', { ...who, subject: `${'s'.repeat(254)}t` })).resolves.toMatchObject({
      account: 'created',
    });
  });
});

describe('a sign-up by a provider and the code of the host', () => {
  it('is undone by a hook that throws, as a whole', async () => {
    const undo = new Error('no');
    hooks.afterCreate = () => {
      throw undo;
    };
    const who = somebody({ email: freshEmail(), emailVerified: true });
    const before = await dumpTables(app.url);
    const events = app.events.length;
    await expect(comeBy('trusted', who)).rejects.toBe(undo);
    expect(await dumpTables(app.url)).toEqual(before);
    expect(app.events).toHaveLength(events);
    delete hooks.afterCreate;
    await expect(comeBy('trusted', who)).resolves.toMatchObject({ account: 'created' });
  });

  it('runs it in the transaction that makes the user', async () => {
    let seen: unknown;
    hooks.afterCreate = async (user, input, manager, { source }) => {
      const rows: unknown[] = await manager.query('select 1 from nest_auth_identities where user_id = $1', [user.id]);
      seen = {
        inside: manager.queryRunner?.isTransactionActive,
        identities: rows.length,
        source,
        input: Object.keys(input),
      };
    };
    await comeBy('open', somebody());
    expect(seen).toEqual({ inside: true, identities: 1, source: 'social', input: ['identities'] });
  });

  it('keeps a user whom a hook has made wait, and lets them in when they are active', async () => {
    hooks.beforeCreate = (input) => ({ ...input, isActive: false });
    const who = somebody();
    await expect(comeBy('open', who)).rejects.toMatchObject(REFUSED);
    const [row] = await query<{ user_id: string }>(
      app.url,
      'select user_id from nest_auth_identities where provider_id = $1',
      [externalAccountId(who.issuer, who.subject)],
    );
    const id = row?.user_id ?? '';
    await expect(comeBy('open', who)).rejects.toMatchObject(REFUSED);
    await lifecycle(app).activateById(id);
    await expect(comeBy('open', who)).resolves.toMatchObject({ account: 'known', userId: id });
  });

  it('SEC-28 marks no other email as verified than the one that the provider has', async () => {
    const another = freshEmail();
    hooks.beforeCreate = (input) => ({ ...input, email: another });
    const { user } = await comeBy('trusted', somebody({ email: freshEmail(), emailVerified: true }));
    expect(user).toMatchObject({ email: another, emailVerifiedAt: null });
  });
});

describe('SEC-28: an email that a user has already', () => {
  it.each(['trusted', 'linking', 'closed'])(
    'brings nobody in who has it verified at %s, when the user has not: not in, and not into what they set up before',
    async (provider) => {
      // Somebody has registered with the email of the victim, and knows the password.
      const { id, email } = await person(app);
      const victim = somebody({ email, emailVerified: true });
      await expect(comeBy(provider, victim)).rejects.toMatchObject({ code: 'LINK_REQUIRED' });
      expect(await external(app).getLinkedIdentities(id)).toEqual([]);
      expect(await sessions(app).getSessions(id)).toEqual([]);
      expect(await app.users.getUserById(id)).toMatchObject({ emailVerifiedAt: null });
      expect(await lastActivity()).toMatchObject({ user_id: id, details: { reason: 'link_required' } });
    },
  );

  it('brings nobody in who has not verified it, and tells nothing about it', async () => {
    const { id, email } = await person(app);
    await app.users.verifyUser(id);
    const { userId } = await comeBy('linking', somebody({ email, emailVerified: false }));
    expect(userId).not.toBe(id);
    const untrusted = await comeBy('open', somebody({ email, emailVerified: true }));
    expect(untrusted).toMatchObject({ account: 'created', user: { email: null } });
  });

  it('is linked where both sides have verified it and the provider links, with an activity and an event', async () => {
    const { id, email } = await person(app);
    await app.users.verifyUser(id);
    await expect(comeBy('trusted', somebody({ email, emailVerified: true }))).rejects.toMatchObject({
      code: 'LINK_REQUIRED',
    });
    const who = somebody({ email: email.toUpperCase(), emailVerified: true });
    const events = app.events.length;
    const { account, userId } = await comeBy('linking', who);
    expect({ account, userId }).toEqual({ account: 'linked', userId: id });
    expect(app.events.slice(events).map(({ name }) => name)).toEqual([
      NestAuthEvents.USER_UPDATED,
      NestAuthEvents.USER_LOGGED_IN,
    ]);
    const activities = await query<{ type: string; after: { identities?: { provider: string }[] } }>(
      app.url,
      'select type, after from nest_auth_activities where user_id = $1 order by xid desc, id desc limit 2',
      [id],
    );
    expect(activities.map(({ type }) => type).toSorted()).toEqual(
      [NestAuthEvents.USER_LOGGED_IN, NestAuthEvents.USER_UPDATED].toSorted(),
    );
    await expect(comeBy('linking', who)).resolves.toMatchObject({ account: 'known', userId: id });
  });

  it('is not linked when the user takes the proof back at the same moment', async () => {
    const { id, email } = await person(app);
    await app.users.verifyUser(id);
    const who = somebody({ email, emailVerified: true });
    let coming: Promise<unknown> | undefined;
    const other = await startNestApp(app.url, { auth: byProviders(PROVIDERS) });
    try {
      await app.users.runInTransaction(async (manager) => {
        await app.users.unverifyUser(id, 'email', manager);
        coming = outcomesOf([comeBy('linking', who, undefined, other)]);
        await untilSomebodyWaits(app.url);
      });
      expect(await coming).toMatchObject({ codes: { LINK_REQUIRED: 1 } });
    } finally {
      await other.close();
    }
    expect(await external(app).getLinkedIdentities(id)).toEqual([]);
  });

  it('is not linked to a user who is not active', async () => {
    const { id, email } = await person(app);
    await app.users.verifyUser(id);
    await lifecycle(app).deactivateById(id);
    await expect(comeBy('linking', somebody({ email, emailVerified: true }))).rejects.toMatchObject(REFUSED);
    expect(await external(app).getLinkedIdentities(id)).toEqual([]);
  });

  it('is linked once when twenty come at once', async () => {
    const { id, email } = await person(app);
    await app.users.verifyUser(id);
    const who = somebody({ email, emailVerified: true });
    const { won, codes } = await outcomesOf(times(20, () => comeBy('linking', who)));
    expect(codes).toEqual({});
    expect(won.map(({ userId }) => userId)).toEqual(Array.from({ length: 20 }, () => id));
    expect(await external(app).getLinkedIdentities(id)).toHaveLength(1);
  });
});

describe('SEC-45: an account that is known', () => {
  it.each<[string, (id: string) => Promise<unknown>]>([
    ['inactive', (id) => lifecycle(app).deactivateById(id)],
    ['disabled', (id) => lifecycle(app).disableById(id)],
    [
      'deleted',
      async (id) => {
        await lifecycle(app).disableById(id);
        await lifecycle(app).softDeleteById(id);
      },
    ],
  ])('lets nobody in who is %s', async (_, change) => {
    const who = somebody();
    const flow = await external(app).beginSignIn('closed');
    const { id } = await person(app);
    const user = await app.users.getUserById(id);
    await user?.findOrCreateIdentity('closed', externalAccountId(who.issuer, who.subject));
    await change(id);
    const answer = { provider: 'closed', url: paperCallback(flow, who), flowToken: flow.flowToken };
    await expect(external(app).completeSignIn(answer)).rejects.toMatchObject(REFUSED);
    expect(await query(app.url, 'select 1 from nest_auth_sessions where user_id = $1', [id])).toEqual([]);
  });
});

describe('SEC-60: the tenant of a sign-in by a provider', () => {
  it('is one in which the person is a member, or the sign-in is refused', async () => {
    const who = somebody();
    const { userId } = await comeBy('open', who);
    await expect(comeBy('open', who, app.seed.tenantId)).rejects.toMatchObject(REFUSED);
    expect(await lastActivity()).toMatchObject({ user_id: userId, details: { reason: 'no_access_to_tenant' } });
    await app.users.ensureUserAccess(userId, app.seed.tenantId);
    await expect(comeBy('open', who, app.seed.tenantId)).resolves.toMatchObject({ tenantId: app.seed.tenantId });
  });

  it('makes nobody its member by being named: such a sign-up leaves no user', async () => {
    const before = (await query(app.url, 'select id from nest_auth_users')).length;
    await expect(comeBy('open', somebody(), app.seed.tenantId)).rejects.toMatchObject(REFUSED);
    expect(await query(app.url, 'select id from nest_auth_users')).toHaveLength(before);
  });

  describe('in ISOLATED tenancy', () => {
    let isolated: NestApp;
    beforeAll(async () => {
      isolated = await startNestApp(app.url, {
        auth: byProviders(PROVIDERS, { tenant: { mode: TenantModeEnum.ISOLATED } }),
      });
    });
    afterAll(() => isolated.close());

    it('is a part of who somebody is, and of their email', async () => {
      const { tenantId, otherTenantId } = app.seed;
      const who = somebody({ email: freshEmail(), emailVerified: true });
      await expect(external(isolated).beginSignIn('linking')).rejects.toMatchObject({ code: 'TENANT_REQUIRED' });
      const here = await comeBy('linking', who, tenantId, isolated);
      const there = await comeBy('linking', who, otherTenantId, isolated);
      expect([here, there]).toMatchObject([
        { account: 'created', tenantId },
        { account: 'created', tenantId: otherTenantId },
      ]);
      expect(here.userId).not.toBe(there.userId);
      await expect(comeBy('linking', who, tenantId, isolated)).resolves.toMatchObject({
        account: 'known',
        userId: here.userId,
      });
    });
  });
});
