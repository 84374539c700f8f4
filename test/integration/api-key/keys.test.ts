import { beforeAll, describe, expect, it, jest } from '@jest/globals';
import { v7 as uuidv7 } from 'uuid';

import { IdentityContext, NestAuthEvents } from '../../../src/index.js';
import { dumpTables } from '../../support/tables.js';
import { until } from '../../support/until.js';
import { recordStatements, untilSent } from '../../support/wire.js';
import { withClient } from '../../support/database.js';
import { startNestApp, useNestApp } from '../../support/nest-app.js';
import { query } from '../session/fixture.js';
import {
  account,
  accounts,
  actingAs,
  apiKeys,
  codeOf,
  type Ground,
  keyOf,
  KEYS,
  layGround,
  member,
  PAY,
  READ,
} from './fixture.js';

jest.setTimeout(120_000);

const app = useNestApp({ auth: KEYS });
let ground: Ground;

beforeAll(async () => {
  ground = await layGround(app);
});

const reader = async (): Promise<string> => (await member(app, ground.tenantId, ground.reader)).id;

describe('a key', () => {
  it('says whose it is, for what and where', async () => {
    const userId = await reader();
    const { apiKey, secret } = await keyOf(app, userId, ground.tenantId);
    expect(secret).toMatch(/^nak_[A-Za-z0-9_-]{92}$/);
    expect(apiKey).toMatchObject({
      userId,
      serviceAccountId: null,
      tenantId: ground.tenantId,
      scopes: [READ],
      version: 1,
    });
    expect(await apiKeys(app).authenticateApiKey(secret)).toEqual({
      type: 'api_key',
      kind: 'user',
      keyId: apiKey.id,
      userId,
      serviceAccountId: null,
      tenantId: ground.tenantId,
      scopes: [READ],
      expiresAt: apiKey.expiresAt,
    });
  });

  it('of a service account says the account', async () => {
    const { tenantId } = ground;
    const serviceAccountId = await account(app, tenantId);
    const owner = { serviceAccountId, tenantId };
    const { apiKey, secret } = await apiKeys(app).createApiKey({ owner, name: 'ci', scopes: [READ, PAY, READ] });
    expect(await apiKeys(app).authenticateApiKey(secret)).toEqual({
      type: 'api_key',
      kind: 'service_account',
      keyId: apiKey.id,
      userId: null,
      serviceAccountId,
      tenantId,
      scopes: [READ, PAY],
      expiresAt: apiKey.expiresAt,
    });
  });

  it('SEC-20 has 256 random bits, and is in no table, event or activity', async () => {
    const { tenantId } = ground;
    const userId = await reader();
    const { length } = app.events;
    const made = await keyOf(app, userId, tenantId);
    const rotated = await apiKeys(app).rotateApiKey({ userId }, made.apiKey.id, { overlapSeconds: 60 });
    const owner = { serviceAccountId: await account(app, tenantId), tenantId };
    const ofAccount = await apiKeys(app).createApiKey({ owner, name: 'ci', scopes: [READ] });
    const kept = JSON.stringify([await dumpTables(app.url), app.events.slice(length)]);
    for (const { secret } of [made, rotated, ofAccount]) {
      const bytes = Buffer.from(secret.slice('nak_'.length), 'base64url');
      const random = bytes.subarray(33, 65);
      expect(random).toHaveLength(32);
      for (const form of [secret, random.toString('base64url'), random.toString('hex'), random.toString('base64')]) {
        expect(kept).not.toContain(form);
      }
    }
    expect(new Set([made, rotated, ofAccount].map(({ secret }) => secret.slice(48, 91))).size).toBe(3);
  });

  it('SEC-86 is read as an entity without its hashes', async () => {
    const userId = await reader();
    await keyOf(app, userId, ground.tenantId);
    const { NestAuthApiKey } = await import('../../../src/index.js');
    const [row] = await app.manager.find(NestAuthApiKey, { where: { userId } });
    expect(Object.keys(row ?? {})).not.toEqual(expect.arrayContaining(['secretHash']));
    expect(Object.keys(row ?? {})).not.toEqual(expect.arrayContaining(['previousHash']));
  });

  it('takes one statement to find out, and none for what is no key', async () => {
    const userId = await reader();
    const { apiKey, secret } = await keyOf(app, userId, ground.tenantId);
    await query(app.url, 'update nest_auth_api_keys set last_used_at = now() where id = $1', [apiKey.id]);
    const asked = await recordStatements(() => apiKeys(app).authenticateApiKey(secret));
    expect(asked.statements).toHaveLength(1);
    const last = secret.at(-1) === 'A' ? 'B' : 'A';
    const garbage = [
      '',
      'nak_',
      secret.slice(0, -1),
      `${secret}A`,
      secret.slice(0, -1) + last,
      secret.replace('nak_', 'nax_'),
      `nak_${secret[4] === 'A' ? 'B' : 'A'}${secret.slice(5)}`,
      null as unknown as string,
      { toString: () => secret } as unknown as string,
    ];
    for (const text of garbage) {
      const { statements, result } = await recordStatements(() => codeOf(apiKeys(app).authenticateApiKey(text)));
      expect([result, statements]).toEqual(['API_KEY_INVALID', []]);
    }
  });

  it('SEC-21 is good for the owner and key that it names alone', async () => {
    const [one, two] = [await reader(), await reader()];
    const [first, second] = [await keyOf(app, one, ground.tenantId), await keyOf(app, two, ground.tenantId)];
    // Somebody who knows how a key is made, and the ids of another one, but not its secret.
    const { makeKeyText } = await import('../../../src/api-key/key-text.policy.js');
    const forged = makeKeyText('nak_', { kind: 'user', holderId: one, keyId: first.apiKey.id }).text;
    const other = makeKeyText('nak_', { kind: 'service_account', holderId: ground.tenantId, keyId: second.apiKey.id });
    expect(await codeOf(apiKeys(app).authenticateApiKey(forged))).toBe('API_KEY_INVALID');
    expect(await codeOf(apiKeys(app).authenticateApiKey(other.text))).toBe('API_KEY_INVALID');
    expect(await apiKeys(app).authenticateApiKey(first.secret)).toMatchObject({ userId: one });
  });

  it('is refused without a scope, with one that is no name, and when it ends wrongly', async () => {
    const owner = { userId: await reader(), tenantId: ground.tenantId };
    const make = (over: object): Promise<unknown> =>
      codeOf(apiKeys(app).createApiKey({ owner, name: 'a key', scopes: [READ], ...over }));
    const wrong = [
      { scopes: [] },
      { scopes: undefined },
      { scopes: [''] },
      { scopes: ['in*voices'] },
      { scopes: [{}] },
      { name: '' },
      { expiresAt: new Date(Date.now() - 1) },
      { expiresAt: new Date(Date.now() + 366 * 86_400_000) },
      { expiresAt: 'tomorrow' },
      { expiresAt: new Date(Number.NaN) },
      // Before the calendar of PostgreSQL begins, and after its years have four digits.
      { expiresAt: new Date(-8.64e15) },
      { expiresAt: new Date(8.64e15) },
      { expiresInDays: 0 },
      { expiresInDays: 366 },
      { expiresInDays: 1, expiresAt: new Date(Date.now() + 1_000_000) },
      { owner: {} },
      { owner: null },
      { owner: { userId: owner.userId, serviceAccountId: uuidv7() } },
      { owner: { userId: owner.userId, tenantId: 'x' } },
      { unknown: 1 },
    ];
    for (const over of wrong) expect([over, await make(over)]).toEqual([over, 'VALIDATION_FAILED']);
    expect(await make({})).toBeNull();
    const rotate = (options: unknown) => codeOf(apiKeys(app).rotateApiKey(owner, uuidv7(), options as object));
    for (const options of [null, [], 'now', { expiresAt: new Date(-8.64e15) }]) {
      expect([options, await rotate(options)]).toEqual([options, 'VALIDATION_FAILED']);
    }
  });

  it('ends after 90 days unless it is told, by the clock of the database', async () => {
    const userId = await reader();
    const { apiKey } = await keyOf(app, userId, ground.tenantId);
    const [row] = await query<{ days: number }>(
      app.url,
      `select round(extract(epoch from expires_at - created_at) / 86400)::integer as days from nest_auth_api_keys where id = $1`,
      [apiKey.id],
    );
    expect(row?.days).toBe(90);
  });

  it('is listed the youngest first, page by page', async () => {
    const userId = await reader();
    const made: string[] = [];
    for (let count = 0; count < 3; count += 1) made.unshift((await keyOf(app, userId, ground.tenantId)).apiKey.id);
    const first = await apiKeys(app).listApiKeys({ userId }, { limit: 2 });
    const { nextCursor } = first;
    const second = await apiKeys(app).listApiKeys({ userId }, { limit: 2, after: nextCursor ?? '' });
    expect([...first.items, ...second.items].map(({ id }) => id)).toEqual(made);
    expect(second.nextCursor).toBeNull();
    const others = apiKeys(app).listApiKeys({ userId: await reader() }, { after: nextCursor ?? '' });
    expect(await codeOf(others)).toBe('VALIDATION_FAILED');
  });

  it('SEC-61 is not found, ended or rotated as the key of somebody else, or in another tenant', async () => {
    const { tenantId, otherTenantId } = ground;
    const [userId, other] = [await reader(), await reader()];
    const { apiKey, secret } = await keyOf(app, userId, tenantId);
    const serviceAccountId = await account(app, tenantId);
    const ofAccount = await apiKeys(app).createApiKey({
      owner: { serviceAccountId, tenantId },
      name: 'ci',
      scopes: [READ],
    });
    const tries = [
      [{ userId: other }, apiKey.id],
      [{ userId, tenantId: otherTenantId }, apiKey.id],
      [{ userId, tenantId: null }, apiKey.id],
      [{ serviceAccountId, tenantId }, apiKey.id],
      [{ serviceAccountId, tenantId: otherTenantId }, ofAccount.apiKey.id],
      [{ serviceAccountId: await account(app, tenantId), tenantId }, ofAccount.apiKey.id],
      [{ userId }, ofAccount.apiKey.id],
    ] as const;
    for (const [owner, id] of tries) {
      expect(await codeOf(apiKeys(app).revokeApiKey(owner, id))).toBe('API_KEY_NOT_FOUND');
      expect(await codeOf(apiKeys(app).rotateApiKey(owner, id))).toBe('API_KEY_NOT_FOUND');
    }
    expect((await apiKeys(app).listApiKeys({ userId, tenantId: otherTenantId })).items).toEqual([]);
    await apiKeys(app).authenticateApiKey(secret);
    await apiKeys(app).authenticateApiKey(ofAccount.secret);
  });
});

describe('its use', () => {
  const lastUsed = async (id: string): Promise<string | null> =>
    (
      await query<{ at: string | null }>(
        app.url,
        'select last_used_at::text as at from nest_auth_api_keys where id = $1',
        [id],
      )
    )[0]?.at ?? null;

  it('is noted once a minute, after the caller has committed', async () => {
    const { apiKey, secret } = await keyOf(app, await reader(), ground.tenantId);
    await app.users.runInTransaction(async () => {
      await apiKeys(app).authenticateApiKey(secret);
      expect(await lastUsed(apiKey.id)).toBeNull();
    });
    await until('the use is noted', async () => (await lastUsed(apiKey.id)) !== null);
    const noted = await lastUsed(apiKey.id);
    const { statements } = await recordStatements(async () => {
      for (let count = 0; count < 5; count += 1) await apiKeys(app).authenticateApiKey(secret);
    });
    expect(statements.filter((text) => text.startsWith('update'))).toEqual([]);
    expect(await lastUsed(apiKey.id)).toBe(noted);
    await query(app.url, `update nest_auth_api_keys set last_used_at = now() - interval '61 seconds' where id = $1`, [
      apiKey.id,
    ]);
    await apiKeys(app).authenticateApiKey(secret);
    await until('the next use is noted', async () => ((await lastUsed(apiKey.id)) ?? '') > (noted ?? ''));
  });

  it('never stops a call when it cannot be noted', async () => {
    const { apiKey, secret } = await keyOf(app, await reader(), ground.tenantId);
    await query(
      app.url,
      `create function refuse_note() returns trigger language plpgsql as
         $$ begin if new.id = '${apiKey.id}' then raise exception 'no'; end if; return new; end $$`,
    );
    await query(
      app.url,
      'create trigger refuse_note before update of last_used_at on nest_auth_api_keys for each row execute function refuse_note()',
    );
    let tried = 0;
    const noted = untilSent(/set last_used_at = now\(\)/, 3).then(() => (tried = 3));
    // Each call tries again, when the one before has failed.
    await until('it was tried three times', async () => {
      expect(await codeOf(apiKeys(app).authenticateApiKey(secret))).toBeNull();
      return tried === 3;
    });
    await noted;
    expect(await lastUsed(apiKey.id)).toBeNull();
  });
});

describe('its use, while somebody changes the key', () => {
  it('is noted later: no connection waits for that, in a pool of one', async () => {
    const small = await startNestApp(app.url, { auth: KEYS, pool: 1 });
    const { apiKey, secret } = await keyOf(app, await reader(), ground.tenantId);
    const noted = async (): Promise<boolean> =>
      (await query(app.url, 'select 1 from nest_auth_api_keys where id = $1 and last_used_at is not null', [apiKey.id]))
        .length > 0;
    await withClient(app.url, async (client) => {
      await client.query('begin');
      await client.query('select 1 from nest_auth_api_keys where id = $1 for no key update', [apiKey.id]);
      try {
        const tried = untilSent(/set last_used_at = now\(\)/, 1);
        expect(await codeOf(apiKeys(small).authenticateApiKey(secret))).toBeNull();
        await tried;
        // Waits for the connection, which whoever notes the use has.
        expect(await codeOf(apiKeys(small).authenticateApiKey(secret))).toBeNull();
        expect(await noted()).toBe(false);
      } finally {
        await client.query('rollback');
      }
    });
    await until('the use is noted', async () => {
      await apiKeys(small).authenticateApiKey(secret);
      return noted();
    });
    await small.close();
  });
});

describe('what nobody can give', () => {
  it('SEC-31 a user makes no key for more than the user holds, also without anybody who acts', async () => {
    const { tenantId, otherTenantId } = ground;
    const userId = await reader();
    const make = (scopes: string[], tenant: string | null = tenantId): Promise<unknown> =>
      codeOf(apiKeys(app).createApiKey({ owner: { userId, tenantId: tenant }, name: 'a key', scopes }));
    expect(await make([READ])).toBeNull();
    for (const scopes of [[PAY], [READ, PAY], ['invoices.*'], ['*']]) expect(await make(scopes)).toBe('GRANT_NOT_HELD');
    expect(await make([READ], null)).toBe('GRANT_NOT_HELD');
    expect(await make([READ], otherTenantId)).toBe('ACCESS_NOT_FOUND');
    expect(await make([READ], uuidv7())).toBe('TENANT_NOT_FOUND');
    expect((await apiKeys(app).listApiKeys({ userId })).items).toHaveLength(1);
  });

  it('SEC-31 a user hands nobody a service account that may do more', async () => {
    const { tenantId } = ground;
    const [userId, chief] = [await reader(), (await member(app, tenantId, ground.everything)).id];
    const owner = { serviceAccountId: await account(app, tenantId), tenantId };
    const make = (by: string, scopes: string[]) =>
      actingAs(by, () => apiKeys(app).createApiKey({ owner, name: 'ci', scopes }));
    expect(await codeOf(make(userId, [PAY]))).toBe('GRANT_NOT_HELD');
    expect(await codeOf(make(userId, [READ]))).toBeNull();
    const { apiKey } = await make(chief, [PAY]);
    expect(apiKey.createdBy).toBe(chief);
    // Whoever rotates it would have it.
    const rotate = (by: string) => actingAs(by, () => apiKeys(app).rotateApiKey(owner, apiKey.id));
    expect(await codeOf(rotate(userId))).toBe('GRANT_NOT_HELD');
    expect(await codeOf(rotate(chief))).toBeNull();
  });

  it("nobody is handed another user's key", async () => {
    const { tenantId } = ground;
    const [userId, chief] = [await reader(), (await member(app, tenantId, ground.everything)).id];
    const { apiKey } = await keyOf(app, userId, tenantId);
    const owner = { userId, tenantId };
    const make = () => apiKeys(app).createApiKey({ owner, name: 'a key', scopes: [READ] });
    expect(await codeOf(actingAs(chief, make))).toBe('PERMISSION_DENIED');
    expect(await codeOf(actingAs(chief, () => apiKeys(app).rotateApiKey(owner, apiKey.id)))).toBe('PERMISSION_DENIED');
    const inTheNameOf = () => IdentityContext.run({ actor: { type: 'user', id: userId }, impersonatorId: chief }, make);
    expect(await codeOf(inTheNameOf())).toBe('PERMISSION_DENIED');
    expect(await codeOf(IdentityContext.run({ actor: { type: 'anonymous' } }, make))).toBe('PERMISSION_DENIED');
    expect(await codeOf(actingAs(userId, make))).toBeNull();
    expect(await codeOf(actingAs(userId.toUpperCase(), make))).toBeNull();
    expect(await codeOf(actingAs(chief, () => apiKeys(app).revokeApiKey(owner, apiKey.id)))).toBeNull();
  });

  it('SEC-31 by a key one makes no key, role or grant that goes beyond its scopes or its tenant', async () => {
    const { tenantId, otherTenantId, everything } = ground;
    const chief = (await member(app, tenantId, everything)).id;
    const other = (await member(app, tenantId, ground.reader)).id;
    await app.users.ensureUserAccess(chief, otherTenantId);
    await app.access.addUserAccessRoles(chief, otherTenantId, [everything]);
    const byKey = <T>(scopes: string[], fn: () => Promise<T>): Promise<T> =>
      IdentityContext.run({ actor: { type: 'user', id: chief }, apiKey: { id: uuidv7(), tenantId, scopes } }, fn);
    const key =
      (scopes: string[], tenant: string | null = tenantId) =>
      () =>
        apiKeys(app).createApiKey({ owner: { userId: chief, tenantId: tenant }, name: 'a key', scopes });
    expect(await codeOf(byKey([READ], key([PAY])))).toBe('GRANT_NOT_HELD');
    expect(await codeOf(byKey(['invoices.*'], key(['*'])))).toBe('GRANT_NOT_HELD');
    expect(await codeOf(byKey(['invoices.*'], key([PAY, READ])))).toBeNull();
    expect(await codeOf(byKey(['*'], key([READ], otherTenantId)))).toBe('GRANT_NOT_HELD');
    const grant = () => app.access.grantPermission(other, tenantId, PAY);
    expect(await codeOf(byKey([READ], grant))).toBe('GRANT_NOT_HELD');
    expect(await codeOf(byKey([PAY], grant))).toBeNull();
    const role = () => app.access.addUserAccessRoles(other, tenantId, [everything]);
    expect(await codeOf(byKey(['invoices.*'], role))).toBe('GRANT_NOT_HELD');
    expect(await codeOf(byKey(['*'], role))).toBeNull();
  });

  it('SEC-31, SEC-67 by a key one gets no other one that goes beyond it, also where delegation is off', async () => {
    const { tenantId, otherTenantId, everything, operator } = ground;
    const off = await startNestApp(app.url, { auth: { ...KEYS, access: { delegation: 'off' } } });
    const chief = (await member(app, tenantId, everything)).id;
    await app.users.ensureUserAccess(chief, otherTenantId);
    await app.access.addUserAccessRoles(chief, otherTenantId, [everything]);
    await app.access.setPlatformAccessRoles(chief, [operator]);
    const byKey = (scopes: string[], act: () => Promise<unknown>): Promise<unknown> =>
      codeOf(
        IdentityContext.run({ actor: { type: 'user', id: chief }, apiKey: { id: uuidv7(), tenantId, scopes } }, act),
      );
    const make = (tenant: string | null, scopes: string[]) => () =>
      apiKeys(off).createApiKey({ owner: { userId: chief, tenantId: tenant }, name: 'a key', scopes });
    expect(await byKey(['*'], make(otherTenantId, [READ]))).toBe('GRANT_NOT_HELD');
    expect(await byKey(['*'], make(null, ['tenants.read']))).toBe('GRANT_NOT_HELD');
    expect(await byKey([READ], make(tenantId, [PAY]))).toBe('GRANT_NOT_HELD');
    expect(await byKey(['invoices.*'], make(tenantId, [PAY]))).toBeNull();
    const mine = async (tenant: string | null, scopes: string[]): Promise<string> =>
      (await make(tenant, scopes)()).apiKey.id;
    const [wide, narrow, platform] = [
      await mine(tenantId, ['*']),
      await mine(tenantId, [READ]),
      await mine(null, ['tenants.read']),
    ];
    const rotate = (id: string) => () => apiKeys(off).rotateApiKey({ userId: chief }, id);
    expect(await byKey([READ], rotate(wide))).toBe('GRANT_NOT_HELD');
    expect(await byKey(['*'], rotate(platform))).toBe('GRANT_NOT_HELD');
    expect(await byKey(['invoices.*'], rotate(narrow))).toBeNull();
    const owner = { serviceAccountId: await account(app, tenantId), tenantId };
    const robots = (scopes: string[]) => () => apiKeys(off).createApiKey({ owner, name: 'ci', scopes });
    expect(await byKey([READ], robots([PAY]))).toBe('GRANT_NOT_HELD');
    expect(await byKey([READ], robots([READ]))).toBeNull();
    await off.close();
  });

  it('SEC-31 a service account gives what its key names, and nothing else', async () => {
    const { tenantId, otherTenantId, everything } = ground;
    const other = (await member(app, tenantId, ground.reader)).id;
    await app.users.ensureUserAccess(other, otherTenantId);
    const id = await account(app, tenantId);
    const byKey = <T>(scopes: string[], fn: () => Promise<T>): Promise<T> =>
      IdentityContext.run({ actor: { type: 'service', id }, apiKey: { id: uuidv7(), tenantId, scopes } }, fn);
    const grant = (tenant: string) => () => app.access.grantPermission(other, tenant, PAY);
    expect(await codeOf(byKey([READ], grant(tenantId)))).toBe('GRANT_NOT_HELD');
    expect(await codeOf(byKey([PAY], grant(otherTenantId)))).toBe('GRANT_NOT_HELD');
    expect(await codeOf(byKey([PAY], grant(tenantId)))).toBeNull();
    const role = () => app.access.addUserAccessRoles(other, tenantId, [everything]);
    expect(await codeOf(byKey([READ], role))).toBe('GRANT_NOT_HELD');
    const key = () => apiKeys(app).createApiKey({ owner: { userId: other, tenantId }, name: 'a key', scopes: [READ] });
    expect(await codeOf(byKey(['*'], key))).toBe('PERMISSION_DENIED');
  });
});

describe('SEC-90 what is told', () => {
  it('is one activity and event for every change, with the key by which it was done', async () => {
    const { tenantId } = ground;
    const userId = await reader();
    const { length } = app.events;
    const { apiKey } = await keyOf(app, userId, tenantId);
    await apiKeys(app).rotateApiKey({ userId }, apiKey.id);
    await apiKeys(app).revokeApiKey({ userId }, apiKey.id);
    expect(await codeOf(apiKeys(app).revokeApiKey({ userId }, apiKey.id))).toBe('API_KEY_NOT_FOUND');
    expect(await apiKeys(app).revokeAllApiKeys({ userId })).toBe(0);
    const names = [NestAuthEvents.API_KEY_CREATED, NestAuthEvents.API_KEY_ROTATED, NestAuthEvents.API_KEY_REVOKED];
    expect(app.events.slice(length).map(({ name }) => name)).toEqual(names);
    const told = await query<{ type: string; tenant_id: string; subject_type: string; user_id: string }>(
      app.url,
      'select type, tenant_id, subject_type, user_id from nest_auth_activities where subject_id = $1 order by xid, id',
      [apiKey.id],
    );
    expect(told).toEqual(
      names.map((type) => ({ type, tenant_id: tenantId, subject_type: 'api_key', user_id: userId })),
    );
    const keyId = uuidv7();
    const serviceAccountId = await IdentityContext.run(
      { actor: { type: 'service', id: 'robot' }, apiKey: { id: keyId, tenantId, scopes: ['*'] } },
      () => account(app, tenantId),
    );
    const [made] = await query<{ details: object; actor_id: string }>(
      app.url,
      'select details, actor_id from nest_auth_activities where subject_id = $1',
      [serviceAccountId],
    );
    expect(made).toEqual({ details: { actorApiKeyId: keyId }, actor_id: 'robot' });
  });

  it('does not tell another actor by the key of the one before', async () => {
    const key = { id: uuidv7(), tenantId: ground.tenantId, scopes: [READ] };
    await IdentityContext.run({ actor: { type: 'user', id: uuidv7() }, apiKey: key }, async () => {
      expect(IdentityContext.run({ requestId: 'x' }, () => IdentityContext.current.apiKey)).toEqual(key);
      expect(IdentityContext.run({ actor: { type: 'job' } }, () => IdentityContext.current.apiKey)).toBeUndefined();
    });
  });
});

describe('service accounts', () => {
  it('have a name of their own in their tenant', async () => {
    const { tenantId, otherTenantId } = ground;
    const made = await accounts(app).create({ tenantId, name: 'deploy', description: 'from CI' });
    expect(made).toMatchObject({ name: 'deploy', description: 'from CI', isActive: true, tenantId });
    expect(await codeOf(accounts(app).create({ tenantId, name: 'deploy' }))).toBe('SERVICE_ACCOUNT_ALREADY_EXISTS');
    expect(await codeOf(accounts(app).create({ tenantId: otherTenantId, name: 'deploy' }))).toBeNull();
    expect(await codeOf(accounts(app).create({ tenantId: uuidv7(), name: 'deploy' }))).toBe('TENANT_NOT_FOUND');
    expect(await accounts(app).get(made.id, tenantId)).toEqual(made);
    expect(await accounts(app).get(made.id, otherTenantId)).toBeNull();
    const names = (await accounts(app).list({ tenantId, limit: 100 })).items.map(({ name }) => name);
    expect(names.filter((name) => name === 'deploy')).toHaveLength(1);
  });

  it('of twenty at once with one name one is made', async () => {
    const { tenantId } = ground;
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, () => codeOf(accounts(app).create({ tenantId, name: 'race' }))),
    );
    expect(outcomes.filter((code) => code === null)).toHaveLength(1);
    expect(new Set(outcomes)).toEqual(new Set([null, 'SERVICE_ACCOUNT_ALREADY_EXISTS']));
  });

  it('open nothing while they are disabled, and nothing any more when they are deleted', async () => {
    const { tenantId, otherTenantId } = ground;
    const id = await account(app, tenantId);
    const owner = { serviceAccountId: id, tenantId };
    const { secret } = await apiKeys(app).createApiKey({ owner, name: 'ci', scopes: [READ] });
    const answer = (): Promise<unknown> => codeOf(apiKeys(app).authenticateApiKey(secret));
    expect(await codeOf(accounts(app).disable(id, otherTenantId))).toBe('SERVICE_ACCOUNT_NOT_FOUND');
    expect(await answer()).toBeNull();
    const { length } = app.events;
    expect(await accounts(app).disable(id, tenantId)).toMatchObject({ isActive: false });
    await accounts(app).disable(id, tenantId);
    expect(await answer()).toBe('API_KEY_INVALID');
    expect(await accounts(app).enable(id, tenantId)).toMatchObject({ isActive: true });
    expect(await answer()).toBeNull();
    expect(await codeOf(accounts(app).delete(id, otherTenantId))).toBe('SERVICE_ACCOUNT_NOT_FOUND');
    await accounts(app).delete(id, tenantId);
    expect(await answer()).toBe('API_KEY_INVALID');
    expect(await codeOf(accounts(app).delete(id, tenantId))).toBe('SERVICE_ACCOUNT_NOT_FOUND');
    expect(app.events.slice(length).map(({ name }) => name)).toEqual([
      NestAuthEvents.SERVICE_ACCOUNT_DISABLED,
      NestAuthEvents.SERVICE_ACCOUNT_ENABLED,
      NestAuthEvents.SERVICE_ACCOUNT_DELETED,
    ]);
    expect(
      await query(app.url, 'select 1 from nest_auth_service_account_keys where service_account_id = $1', [id]),
    ).toEqual([]);
  });
});
