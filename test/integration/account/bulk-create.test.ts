import { describe, expect, it } from '@jest/globals';
import { v4 as uuidv4 } from 'uuid';

import type { CreateUserInput, NestAuthUser } from '../../../src/index.js';
import { freshEmail, freshPhone, outcomesOf, times, useNestApp } from '../../support/nest-app.js';
import { brokenUsers, countRows, dumpTables } from '../../support/tables.js';
import { recordStatements } from '../../support/wire.js';

const app = useNestApp({ pool: 20, auth: { password: { maxQueued: 8, maxConcurrent: 2 } } });

const codesOf = (rows: readonly { error?: { code: string } }[]) => rows.map(({ error }) => error?.code ?? 'made');

describe('createUsers', () => {
  it('creates 2,000 rows but for the bad ones, and says of each in order what became of it', async () => {
    const { tenantId, member, foreign, admin } = app.seed;
    const taken = await app.users.createUser({ email: freshEmail(), phone: freshPhone() });
    const google = { provider: 'google', providerId: uuidv4() };
    await app.users.createUser({ identities: [google] });
    const twice = freshEmail();
    const bad: [CreateUserInput, string][] = [
      [{}, 'VALIDATION_FAILED'],
      [{ email: 'no email' }, 'VALIDATION_FAILED'],
      [{ email: freshEmail(), passwordHash: 'x' } as CreateUserInput, 'VALIDATION_FAILED'],
      [null as unknown as CreateUserInput, 'VALIDATION_FAILED'],
      [{ email: taken.email?.toUpperCase() ?? '' }, 'EMAIL_ALREADY_EXISTS'],
      [{ phone: taken.phone }, 'PHONE_ALREADY_EXISTS'],
      [{ email: freshEmail(), phone: taken.phone }, 'PHONE_ALREADY_EXISTS'],
      [{ email: freshEmail(), identities: [google] }, 'IDENTITY_ALREADY_EXISTS'],
      [{ email: twice }, 'made'],
      [{ email: twice.toUpperCase() }, 'EMAIL_ALREADY_EXISTS'],
      [{ email: freshEmail(), roleIds: [uuidv4()] }, 'ROLE_NOT_FOUND'],
      [{ email: freshEmail(), roleIds: [foreign] }, 'ROLE_SCOPE_MISMATCH'],
      [{ email: freshEmail(), roleIds: [admin] }, 'ROLE_SCOPE_MISMATCH'],
      [{ email: freshEmail(), platformRoleIds: [member] }, 'ROLE_SCOPE_MISMATCH'],
      [{ email: freshEmail(), platformRoleIds: [admin] }, 'made'],
      [{ email: freshEmail(), password: 'correct horse battery staple', roleIds: [member, member] }, 'made'],
    ];
    const good = times(2_000 - bad.length, () => ({ email: freshEmail(), roleIds: [member] }));
    // Spread, so that bad rows stand in every chunk.
    const rows = [...good];
    bad.forEach(([input], index) => rows.splice(index * 120, 0, input as (typeof good)[number]));
    const progress: number[] = [];
    const { length } = app.events;
    const result = await app.users.createUsers(rows, {
      tenantId,
      chunkSize: 300,
      onProgress: (done) => void progress.push(done),
    });
    const refused = bad.filter(([, code]) => code !== 'made').length;
    expect(result).toMatchObject({ created: 2_000 - refused, refused });
    expect(result.rows.map(({ index }) => index)).toEqual(times(2_000, (index) => index));
    expect(bad.map((_, index) => codesOf(result.rows)[index * 120])).toEqual(bad.map(([, code]) => code));
    expect(progress).toEqual([300, 600, 900, 1_200, 1_500, 1_800, 2_000]);
    expect(app.events).toHaveLength(length + result.created);
    expect(await countRows(app.url, 'nest_auth_user_accesses', 'tenant_id = $1', [tenantId])).toBe(result.created);
    expect(await brokenUsers(app.url)).toEqual([]);
  }, 60_000);

  it('makes users equal to those that createUser makes', async () => {
    const input = () => ({ email: freshEmail(), phone: freshPhone(), metadata: { a: 1 }, isActive: false });
    const one = await app.users.createUser(input(), app.seed.tenantId);
    const { rows } = await app.users.createUsers([input()], { tenantId: app.seed.tenantId });
    const made = rows[0]?.user as NestAuthUser;
    expect(await app.users.getUserById(made.id)).toEqual(made);
    const same = { id: '', email: '', phone: '', createdAt: null, updatedAt: null };
    expect(Object.assign(one, same)).toEqual(Object.assign(made, same));
  });

  it('hashes more passwords than may wait at once', async () => {
    const rows = times(24, () => ({ email: freshEmail(), password: 'correct horse battery staple' }));
    await expect(app.users.createUsers(rows)).resolves.toMatchObject({ created: 24 });
  });

  it('says in a dry run what would be refused, and writes and announces nothing', async () => {
    const { email } = await app.users.createUser({ email: freshEmail() });
    const before = await dumpTables(app.url);
    const { length } = app.events;
    const rows = [{ email: freshEmail() }, { email }, {}, { email: freshEmail(), roleIds: [app.seed.foreign] }];
    const result = await app.users.createUsers(rows, { tenantId: app.seed.tenantId, dryRun: true });
    expect(codesOf(result.rows)).toEqual(['made', 'EMAIL_ALREADY_EXISTS', 'VALIDATION_FAILED', 'ROLE_SCOPE_MISMATCH']);
    expect(result).toMatchObject({ created: 0, refused: 3 });
    expect(result.rows.filter(({ user }) => user !== undefined)).toEqual([]);
    await app.users.runInTransaction(async () => {
      await app.users.createUsers(rows, { tenantId: app.seed.tenantId, dryRun: true });
    });
    expect(await dumpTables(app.url)).toEqual(before);
    expect(app.events).toHaveLength(length);
  });

  it('joins the caller as a whole, and is undone with it', async () => {
    const before = await dumpTables(app.url);
    const { length } = app.events;
    const undo = new Error('undo');
    const flow = app.users.runInTransaction(async () => {
      await app.users.createUsers(
        times(10, () => ({ email: freshEmail() })),
        { chunkSize: 3 },
      );
      throw undo;
    });
    await expect(flow).rejects.toBe(undo);
    expect(await dumpTables(app.url)).toEqual(before);
    expect(app.events).toHaveLength(length);
  });

  it('run twice at once in opposite order makes each row once, and no deadlock escapes', async () => {
    for (let round = 0; round < 5; round += 1) {
      const rows = times(200, () => ({ email: freshEmail(), phone: freshPhone() }));
      const { result, statements } = await recordStatements(() =>
        outcomesOf([
          app.users.createUsers(rows, { chunkSize: 50 }),
          app.users.createUsers(rows.toReversed(), { chunkSize: 50 }),
        ]),
      );
      const { won, errors } = result;
      // One transaction a chunk: none had to be run again after a deadlock.
      expect(statements.filter((text) => text.startsWith('START TRANSACTION'))).toHaveLength(8);
      expect(errors).toEqual([]);
      expect(won.reduce((sum, { created }) => sum + created, 0)).toBe(200);
      const codes = new Set(won.flatMap((one) => codesOf(one.rows)));
      expect([...codes].toSorted()).toEqual(['EMAIL_ALREADY_EXISTS', 'made']);
    }
    expect(await brokenUsers(app.url)).toEqual([]);
  }, 60_000);

  it('with one provider account in many rows of two imports at once gives it to one user', async () => {
    for (let round = 0; round < 5; round += 1) {
      const identities = [{ provider: 'google', providerId: uuidv4() }];
      const { won, errors } = await outcomesOf(
        times(8, () => app.users.createUsers([{ email: freshEmail(), identities }, { email: freshEmail() }])),
      );
      expect(errors).toEqual([]);
      expect(won.reduce((sum, { created }) => sum + created, 0)).toBe(9);
    }
    expect(await brokenUsers(app.url)).toEqual([]);
  });

  it('is refused as a whole for wrong options, an unknown tenant and what is no list', async () => {
    const rows = [{ email: freshEmail() }];
    for (const options of [
      { chunkSize: 0 },
      { chunkSize: 5_001 },
      { chunkSize: 1.5 },
      { dryRun: 'yes' },
      { batch: 5 },
    ]) {
      await expect(app.users.createUsers(rows, options as never)).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    }
    await expect(app.users.createUsers(null as never)).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    await expect(app.users.createUsers(rows, { tenantId: uuidv4() })).rejects.toMatchObject({
      code: 'TENANT_NOT_FOUND',
    });
    await expect(app.users.createUsers(rows, { context: null as never })).rejects.toMatchObject({
      code: 'VALIDATION_FAILED',
    });
    await expect(app.users.createUsers([])).resolves.toEqual({ created: 0, refused: 0, rows: [] });
  });
});
