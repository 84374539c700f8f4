import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { type ExternalFlow, type ExternalIdentity, IdentityContext } from '../../../src/index.js';
import { outcomesOf, type NestApp, startNestApp, times, useNestApp } from '../../support/nest-app.js';
import { paperCallback, paperProvider, somebodyElsewhere } from '../../support/paper-provider.js';
import { dumpTables } from '../../support/tables.js';
import { recordStatements } from '../../support/wire.js';
import { person, query, signedIn } from '../session/fixture.js';
import { byProviders, external } from './fixture.js';

const settings = byProviders([paperProvider('paper', { signUp: true }), paperProvider('other', { signUp: true })], {
  externalSignIn: {
    redirectTargets: ['/app/', '/welcome', 'https://portal.example.com/', 'https://shop.example.com/in'],
  },
});
const app = useNestApp({ auth: settings });

let serial = 0;
const somebody = (): ExternalIdentity => somebodyElsewhere(`subject-${(serial += 1)}`);
const back = (flow: ExternalFlow, who = somebody(), provider = 'paper') => ({
  provider,
  url: paperCallback(flow, who),
  flowToken: flow.flowToken,
});
const INVALID = { code: 'EXTERNAL_SIGN_IN_INVALID' };
const flowsLeft = () => query(app.url, 'select provider from nest_auth_external_flows');

beforeEach(() => query(app.url, 'delete from nest_auth_external_flows'));

describe('a sign-in that was begun', () => {
  it('is completed by the same browser, with two statements for somebody who is known', async () => {
    const who = somebody();
    await external(app).completeSignIn(back(await external(app).beginSignIn('paper'), who));
    const begun = await recordStatements(() => external(app).beginSignIn('paper'));
    expect(begun.statements).toHaveLength(1);
    const { statements, result } = await recordStatements(() =>
      external(app).completeSignIn(back(begun.result, who), { ip: '203.0.113.9', userAgent: 'Firefox' }),
    );
    // The flow, the account, and what every sign-in is.
    expect(statements).toHaveLength(3);
    expect(result).toMatchObject({ account: 'known', redirectTo: null });
    const [session] = await query(app.url, 'select host(ip) as ip, user_agent from nest_auth_sessions where id = $1', [
      result.sessionId,
    ]);
    expect(session).toEqual({ ip: '203.0.113.9', user_agent: 'Firefox' });
  });

  it('SEC-22 is completed once, also when fifty come at once', async () => {
    const flow = await external(app).beginSignIn('paper');
    const who = somebody();
    const { won, codes } = await outcomesOf(times(50, () => external(app).completeSignIn(back(flow, who))));
    expect(won).toHaveLength(1);
    expect(codes).toEqual({ EXTERNAL_SIGN_IN_INVALID: 49 });
    await expect(external(app).completeSignIn(back(flow, who))).rejects.toMatchObject(INVALID);
  });

  it('is worth nothing in another browser: a stolen callback, and one that is put upon somebody', async () => {
    const [mine, theirs] = [await external(app).beginSignIn('paper'), await external(app).beginSignIn('paper')];
    const stolen = { ...back(theirs), flowToken: mine.flowToken };
    await expect(external(app).completeSignIn(stolen)).rejects.toMatchObject(INVALID);
    await expect(external(app).completeSignIn({ ...back(theirs), flowToken: undefined })).rejects.toMatchObject(
      INVALID,
    );
    // It was mine that was used up by that; theirs goes on.
    await expect(external(app).completeSignIn(back(mine))).rejects.toMatchObject(INVALID);
    await expect(external(app).completeSignIn(back(theirs))).resolves.toBeDefined();
  });

  it.each<[unknown]>([[''], [null], ['A'.repeat(43)], [`${'A'.repeat(42)}=`], [{}], [42]])(
    'has no token like %p',
    async (token) => {
      const flow = await external(app).beginSignIn('paper');
      const answer = { ...back(flow), flowToken: token as string };
      await expect(external(app).completeSignIn(answer)).rejects.toMatchObject(INVALID);
    },
  );

  it('is over when the person took too long, by the clock of the database', async () => {
    const flow = await external(app).beginSignIn('paper');
    const [row] = await query<{ seconds: number }>(
      app.url,
      'select extract(epoch from expires_at - created_at)::integer as seconds from nest_auth_external_flows order by created_at desc limit 1',
    );
    expect(row).toEqual({ seconds: 600 });
    await query(app.url, `update nest_auth_external_flows set expires_at = now() - interval '1 millisecond'`);
    await expect(external(app).completeSignIn(back(flow))).rejects.toMatchObject(INVALID);
    expect(await flowsLeft()).toEqual([]);
  });

  it('is not completed at another provider, whatever its answer is (mix-up)', async () => {
    const flow = await external(app).beginSignIn('paper');
    await expect(external(app).completeSignIn(back(flow, somebody(), 'other'))).rejects.toMatchObject(INVALID);
    expect(await flowsLeft()).toEqual([]);
  });

  it('SEC-21 links nothing, and what was begun to link signs nobody in', async () => {
    const session = await signedIn(app);
    const [flow, link] = [await external(app).beginSignIn('paper'), await external(app).beginLink('paper', session)];
    await expect(external(app).completeLink(back(flow), session)).rejects.toMatchObject(INVALID);
    await expect(external(app).completeSignIn(back(link))).rejects.toMatchObject(INVALID);
    expect(await external(app).getLinkedIdentities(session.userId)).toEqual([]);
  });

  it('SEC-20 leaves nothing in the database that helps whoever has a copy of it', async () => {
    const { url, flowToken } = await external(app).beginSignIn('paper');
    const all =
      JSON.stringify(await dumpTables(app.url)) +
      JSON.stringify(
        await query(
          app.url,
          `
      select encode(sealed, 'escape') as sealed, encode(token_hash, 'base64') as hash from nest_auth_external_flows`,
        ),
      );
    expect(all).not.toContain(flowToken);
    expect(all).not.toContain(new URL(url).searchParams.get('state'));
    expect(all).not.toContain('kept');
  });

  it('is gone when nobody came back in time', async () => {
    await external(app).beginSignIn('paper');
    await query(app.url, `update nest_auth_external_flows set expires_at = now() - interval '1 second'`);
    await external(app).beginSignIn('other');
    expect(await external(app).removeExpiredFlows()).toBe(1);
    expect(await external(app).removeExpiredFlows()).toBe(0);
    expect(await flowsLeft()).toEqual([{ provider: 'other' }]);
  });
});

describe('SEC-33: where somebody goes afterwards', () => {
  it.each([
    '/app/',
    '/app/orders?page=2#top',
    '/welcome',
    '/welcome?first=1',
    'https://portal.example.com/',
    'https://portal.example.com/orders',
    'https://shop.example.com/in?now',
  ])('may be %s', async (redirectTo) => {
    const flow = await external(app).beginSignIn('paper', { redirectTo });
    await expect(external(app).completeSignIn(back(flow))).resolves.toMatchObject({ redirectTo });
  });

  it.each([
    '/admin',
    '/app/../admin',
    '/app/%2e%2e/admin',
    '/welcome/more',
    '//evil.example/app/',
    '/\\evil.example/app/',
    '/app/\\..\\..\\evil',
    '\\\\evil.example',
    'https://evil.example/',
    'https://portal.example.com.evil.example/',
    'https://portal.example.com@evil.example/',
    'http://portal.example.com/',
    'https://portal.example.com:8443/',
    'https://shop.example.com/in/side',
    'javascript:alert(1)',
    'http://this-application.invalid/app/',
    ' /app/',
    '/app/\n/evil',
    '',
    'app',
  ])('is never %j', async (redirectTo) => {
    await expect(external(app).beginSignIn('paper', { redirectTo })).rejects.toMatchObject({
      code: 'VALIDATION_FAILED',
      details: { issues: [{ path: 'redirectTo' }] },
    });
  });

  it('is nothing that a request says: only the query of a callback is read', async () => {
    const flow = await external(app).beginSignIn('paper');
    const { url } = back(flow);
    const spoofed = { ...back(flow), url: `https://evil.example${url}` };
    await expect(external(app).completeSignIn(spoofed)).resolves.toMatchObject({ redirectTo: null });
  });
});

describe('what is refused before anybody is asked', () => {
  it.each<[string, () => Promise<unknown>, string]>([
    ['a provider that is not configured', () => external(app).beginSignIn('google'), 'PROVIDER_NOT_FOUND'],
    ['a provider by a name of objects', () => external(app).beginSignIn('constructor'), 'PROVIDER_NOT_FOUND'],
    ['an unknown field', () => external(app).beginSignIn('paper', { userId: 'x' } as object), 'VALIDATION_FAILED'],
    ['a tenant that is no id', () => external(app).beginSignIn('paper', { tenantId: 'acme' }), 'VALIDATION_FAILED'],
    [
      'a tenant for a link',
      () =>
        external(app).beginLink('paper', { userId: app.seed.tenantId, sessionId: app.seed.tenantId }, {
          tenantId: app.seed.tenantId,
        } as object),
      'VALIDATION_FAILED',
    ],
    ['nobody’s session', () => external(app).beginLink('paper', {} as never), 'VALIDATION_FAILED'],
    [
      'a callback that is too long',
      () => external(app).completeSignIn({ provider: 'paper', url: 'x'.repeat(9_000), flowToken: 'x' }),
      'VALIDATION_FAILED',
    ],
    ['no answer', () => external(app).completeSignIn(null as never), 'VALIDATION_FAILED'],
  ])('%s', async (_, call, code) => {
    await expect(call()).rejects.toMatchObject({ code });
  });
});

describe('in a transaction of the caller', () => {
  it('all is rolled back with it', async () => {
    const flow = await external(app).beginSignIn('paper');
    const before = await dumpTables(app.url);
    const events = app.events.length;
    const undo = new Error('undo');
    const failing = app.users.runInTransaction(async () => {
      await external(app).completeSignIn(back(flow));
      throw undo;
    });
    await expect(failing).rejects.toBe(undo);
    expect(await dumpTables(app.url)).toEqual(before);
    expect(app.events).toHaveLength(events);
  });
});

describe('a link', () => {
  it('adds the account to the user of the session, tells it, and lets them in from then on', async () => {
    const session = await signedIn(app);
    const who = somebody();
    const flow = await external(app).beginLink('paper', session, { redirectTo: '/app/settings' });
    const events = app.events.length;
    const actor = { type: 'user', id: session.userId } as never;
    const linked = await IdentityContext.run({ actor }, () => external(app).completeLink(back(flow, who), session));
    expect(linked).toMatchObject({ identity: { provider: 'paper' }, redirectTo: '/app/settings' });
    expect(app.events.slice(events)).toMatchObject([{ user: { id: session.userId }, changed: ['identities'] }]);
    const again = await external(app).completeSignIn(back(await external(app).beginSignIn('paper'), who));
    expect(again).toMatchObject({ account: 'known', userId: session.userId });
  });

  it('is refused for an account of somebody else, and leaves it there', async () => {
    const who = somebody();
    const owner = await external(app).completeSignIn(back(await external(app).beginSignIn('paper'), who));
    const session = await signedIn(app);
    const flow = await external(app).beginLink('paper', session);
    await expect(external(app).completeLink(back(flow, who), session)).rejects.toMatchObject({
      code: 'IDENTITY_ALREADY_EXISTS',
    });
    expect(await external(app).getLinkedIdentities(owner.userId)).toHaveLength(1);
  });

  it('is refused in another session, and when the session is over', async () => {
    const [mine, theirs] = [await signedIn(app), await signedIn(app)];
    const first = await external(app).beginLink('paper', mine);
    await expect(external(app).completeLink(back(first), theirs)).rejects.toMatchObject(INVALID);
    const second = await external(app).beginLink('paper', mine);
    await query(app.url, `update nest_auth_sessions set expires_at = now() where id = $1`, [mine.sessionId]);
    await expect(external(app).completeLink(back(second), mine)).rejects.toMatchObject({
      code: 'ACCESS_TOKEN_INVALID',
    });
    expect(await external(app).getLinkedIdentities(mine.userId)).toEqual([]);
  });

  it('SEC-28 makes no email verified', async () => {
    const session = await signedIn(app);
    const who = { ...somebody(), email: session.email, emailVerified: true };
    await external(app).completeLink(back(await external(app).beginLink('paper', session), who), session);
    expect(await app.users.getUserById(session.userId)).toMatchObject({ emailVerifiedAt: null });
  });
});

describe('an account that is taken away', () => {
  const withAccounts = async (count: number): Promise<{ id: string; ids: string[] }> => {
    const providers = ['paper', 'other'].slice(0, count);
    const { id } = await app.users.createUser({
      identities: providers.map((provider) => ({ provider, providerId: `taken-${(serial += 1)}` })),
    });
    const linked = await external(app).getLinkedIdentities(id);
    return { id, ids: providers.map((name) => linked.find(({ provider }) => provider === name)?.providerId ?? '') };
  };

  it('lets nobody in any more', async () => {
    const { id } = await person(app);
    const user = await app.users.getUserById(id);
    await user?.findOrCreateIdentity('paper', 'https://paper.example unlinked');
    const events = app.events.length;
    expect(await external(app).unlink(id, 'paper', 'https://paper.example unlinked')).toBe(true);
    expect(app.events.slice(events)).toMatchObject([{ user: { id }, changed: ['identities'] }]);
    expect(await external(app).unlink(id, 'paper', 'https://paper.example unlinked')).toBe(false);
    const flow = await external(app).beginSignIn('paper');
    const came = await external(app).completeSignIn(back(flow, somebodyElsewhere('unlinked')));
    expect(came.userId).not.toBe(id);
  });

  it('is not the last way in', async () => {
    const { id, ids } = await withAccounts(1);
    await expect(external(app).unlink(id, 'paper', ids[0] ?? '')).rejects.toMatchObject({
      code: 'LAST_SIGN_IN_METHOD',
    });
    expect(await external(app).getLinkedIdentities(id)).toHaveLength(1);
  });

  it('is not the last way in because of an account at a provider that is not configured', async () => {
    const { id } = await app.users.createUser({
      email: `someone-${(serial += 1)}@example.com`,
      identities: [
        { provider: 'paper', providerId: `p-${serial}` },
        { provider: 'retired', providerId: `r-${serial}` },
      ],
    });
    await expect(external(app).unlink(id, 'paper', `p-${serial}`)).rejects.toMatchObject({
      code: 'LAST_SIGN_IN_METHOD',
    });
    await expect(external(app).unlink(id, 'retired', `r-${serial}`)).resolves.toBe(true);
  });

  it('leaves one of two, also when both go at once', async () => {
    for (let round = 0; round < 10; round += 1) {
      const { id, ids } = await withAccounts(2);
      const { won, codes } = await outcomesOf([
        external(app).unlink(id, 'paper', ids[0] ?? ''),
        external(app).unlink(id, 'other', ids[1] ?? ''),
      ]);
      expect(won).toEqual([true]);
      expect(codes).toEqual({ LAST_SIGN_IN_METHOD: 1 });
    }
  });

  it('is nobody else’s', async () => {
    const { ids } = await withAccounts(2);
    const { id } = await person(app);
    expect(await external(app).unlink(id, 'paper', ids[0] ?? '')).toBe(false);
  });
});

describe('without any provider', () => {
  let bare: NestApp;
  beforeAll(async () => {
    bare = await startNestApp(app.url);
  });
  afterAll(() => bare.close());

  it('nothing begins', async () => {
    expect(external(bare).getProviders()).toEqual([]);
    await expect(external(bare).beginSignIn('paper')).rejects.toMatchObject({ code: 'PROVIDER_NOT_FOUND' });
  });
});
