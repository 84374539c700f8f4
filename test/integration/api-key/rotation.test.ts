import { beforeAll, describe, expect, it, jest } from '@jest/globals';

import { useNestApp } from '../../support/nest-app.js';
import { race, startRacingProcess } from '../../support/racing-processes.js';
import { query } from '../session/fixture.js';
import { account, apiKeys, codeOf, type Ground, keyOf, KEYS, layGround, member, READ } from './fixture.js';

jest.setTimeout(120_000);

const app = useNestApp({ auth: KEYS });
let ground: Ground;

beforeAll(async () => {
  ground = await layGround(app);
});

const answer = (secret: string): Promise<unknown> => codeOf(apiKeys(app).authenticateApiKey(secret));

async function readersKey() {
  const { id: userId } = await member(app, ground.tenantId, ground.reader);
  const { apiKey, secret } = await keyOf(app, userId, ground.tenantId);
  return { owner: { userId, tenantId: ground.tenantId }, id: apiKey.id, secret, apiKey };
}

describe('a rotation', () => {
  it('kills the old secret at once, and keeps everything else', async () => {
    const { owner, id, secret, apiKey } = await readersKey();
    const rotated = await apiKeys(app).rotateApiKey(owner, id);
    expect(rotated.apiKey).toEqual({ ...apiKey, version: 2 });
    expect([await answer(secret), await answer(rotated.secret)]).toEqual(['API_KEY_INVALID', null]);
  });

  it('of a service account does the same', async () => {
    const { tenantId } = ground;
    const owner = { serviceAccountId: await account(app, tenantId), tenantId };
    const { apiKey, secret } = await apiKeys(app).createApiKey({ owner, name: 'ci', scopes: [READ] });
    const rotated = await apiKeys(app).rotateApiKey(owner, apiKey.id, { overlapSeconds: 60 });
    expect([await answer(secret), await answer(rotated.secret)]).toEqual([null, null]);
    expect(rotated.apiKey.previousExpiresAt).toBeInstanceOf(Date);
  });

  it('keeps the old secret for as long as it is told, by the clock of the database, and has two at most', async () => {
    const { owner, id, secret } = await readersKey();
    const second = await apiKeys(app).rotateApiKey(owner, id, { overlapSeconds: 60 });
    expect([await answer(secret), await answer(second.secret)]).toEqual([null, null]);
    expect(await codeOf(apiKeys(app).rotateApiKey(owner, id, { overlapSeconds: 60 }))).toBe('API_KEY_ROTATION_PENDING');
    expect([await answer(secret), await answer(second.secret)]).toEqual([null, null]);
    await query(app.url, 'update nest_auth_api_keys set previous_expires_at = now() where id = $1', [id]);
    expect([await answer(secret), await answer(second.secret)]).toEqual(['API_KEY_INVALID', null]);
    const third = await apiKeys(app).rotateApiKey(owner, id, { overlapSeconds: 60 });
    expect([await answer(second.secret), await answer(third.secret)]).toEqual([null, null]);
    // Somebody has got hold of it.
    const last = await apiKeys(app).rotateApiKey(owner, id, { overlapSeconds: 0 });
    const all = [secret, second.secret, third.secret, last.secret];
    expect(await Promise.all(all.map(answer))).toEqual(['API_KEY_INVALID', 'API_KEY_INVALID', 'API_KEY_INVALID', null]);
  });

  it('ends with the key, both secrets', async () => {
    const { owner, id, secret } = await readersKey();
    const second = await apiKeys(app).rotateApiKey(owner, id, { overlapSeconds: 60 });
    await apiKeys(app).revokeApiKey(owner, id);
    expect([await answer(secret), await answer(second.secret)]).toEqual(['API_KEY_INVALID', 'API_KEY_INVALID']);
  });

  it('gives it another end if it is told, which is no later than it may be', async () => {
    const { owner, id, apiKey } = await readersKey();
    const { apiKey: renewed } = await apiKeys(app).rotateApiKey(owner, id, { expiresInDays: 200 });
    expect(renewed.expiresAt.getTime()).toBeGreaterThan(apiKey.expiresAt.getTime() + 100 * 86_400_000);
    const late = { expiresAt: new Date(Date.now() + 400 * 86_400_000) };
    expect(await codeOf(apiKeys(app).rotateApiKey(owner, id, late))).toBe('VALIDATION_FAILED');
    expect(await codeOf(apiKeys(app).rotateApiKey(owner, id, { expiresAt: new Date(0) }))).toBe('VALIDATION_FAILED');
    expect((await apiKeys(app).listApiKeys(owner)).items).toMatchObject([{ version: 2, expiresAt: renewed.expiresAt }]);
  });

  it('is refused for another version than the one that was read, and for a key that is over', async () => {
    const { owner, id } = await readersKey();
    await apiKeys(app).rotateApiKey(owner, id, { expectedVersion: 1 });
    expect(await codeOf(apiKeys(app).rotateApiKey(owner, id, { expectedVersion: 1 }))).toBe('STALE_VERSION');
    await query(app.url, 'update nest_auth_api_keys set expires_at = now() where id = $1', [id]);
    expect(await codeOf(apiKeys(app).rotateApiKey(owner, id))).toBe('API_KEY_NOT_FOUND');
  });

  it.each([
    ['with an overlap', { overlapSeconds: 60 }, 'API_KEY_ROTATION_PENDING'],
    ['of one version', { expectedVersion: 1 }, 'STALE_VERSION'],
  ])('SEC-42 %s, twenty at once in two processes, succeeds once', async (_, options, refusal) => {
    const { owner, id, secret } = await readersKey();
    const processes = [0, 1].map(() => startRacingProcess('api-key', app.url, owner, id, options, '10'));
    const answers = (await race<string[]>(processes)).flat();
    const winners = answers.filter((one) => one !== refusal);
    expect([answers.length, winners.length]).toEqual([20, 1]);
    expect(await answer(winners[0] ?? '')).toBeNull();
    expect(await answer(secret)).toBe('overlapSeconds' in options ? null : 'API_KEY_INVALID');
    expect((await apiKeys(app).listApiKeys(owner)).items).toMatchObject([{ version: 2 }]);
  });

  it('without either, twenty at once leave one secret that is good', async () => {
    const { owner, id } = await readersKey();
    const made = await Promise.all(Array.from({ length: 20 }, () => apiKeys(app).rotateApiKey(owner, id)));
    const answers = await Promise.all(made.map(({ secret }) => answer(secret)));
    const good = made.filter((_, index) => answers[index] === null);
    expect(good.map(({ apiKey }) => apiKey.version)).toEqual([21]);
  });

  it('and a revocation at once never leave a key that is good', async () => {
    for (let round = 0; round < 10; round += 1) {
      const { owner, id, secret } = await readersKey();
      const [rotated] = await Promise.all([
        apiKeys(app)
          .rotateApiKey(owner, id, { overlapSeconds: 60 })
          .catch(() => null),
        apiKeys(app).revokeApiKey(owner, id),
      ]);
      expect(await answer(secret)).toBe('API_KEY_INVALID');
      expect(await answer(rotated?.secret ?? '')).toBe('API_KEY_INVALID');
    }
  });
});
