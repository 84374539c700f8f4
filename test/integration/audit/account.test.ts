import { describe, expect, it } from '@jest/globals';
import argon2 from 'argon2';
import type { EntityManager } from 'typeorm';
import { v4 as uuidv4 } from 'uuid';

import {
  ActorTypeEnum,
  IdentityContext,
  type IdentityInput,
  NestAuthIdentity,
  NestAuthTenant,
  NestAuthUser,
  type NestAuthUser as User,
} from '../../../src/index.js';
import { withClient } from '../../support/database.js';
import { freshEmail, freshPhone, outcomesOf, times, useNestApp } from '../../support/nest-app.js';
import { countRows, untilSomebodyWaits } from '../../support/tables.js';

/** It is about who is told to have done it, and not about what they may give. */
const app = useNestApp({ auth: { access: { delegation: 'off' } } });

interface Line {
  readonly id: string;
  readonly type: string;
  readonly actor_type: string;
  readonly actor_id: string | null;
  readonly impersonator_id: string | null;
  readonly user_id: string | null;
  readonly tenant_id: string | null;
  readonly subject_type: string;
  readonly subject_id: string | null;
  readonly before: Record<string, unknown> | null;
  readonly after: Record<string, unknown> | null;
  readonly details: Record<string, unknown> | null;
  readonly ip: string | null;
  readonly user_agent: string | null;
  readonly request_id: string | null;
}

/** Every activity about a user, in the order of the transactions and, within one, of writing. */
async function linesOf(userId: string): Promise<Line[]> {
  const { rows } = await withClient(app.url, (client) =>
    client.query<Line>('select * from nest_auth_activities where user_id = $1 order by xid, id', [userId]),
  );
  return rows;
}

async function lastOf({ id }: { id: string }): Promise<Line> {
  return (await linesOf(id)).at(-1) as Line;
}

const countAll = () => countRows(app.url, 'nest_auth_activities');

/** What changed, on both sides, and how many activities there are about the user. */
async function told(user: { id: string }): Promise<unknown> {
  const lines = await linesOf(user.id);
  const { type, before, after } = lines.at(-1) as Line;
  return { type, before, after, count: lines.length };
}

const UPDATED = 'nest_auth.user.updated';
const moment = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const newUser = (more: object = {}): Promise<User> =>
  app.users.createUser({ email: freshEmail(), phone: freshPhone(), ...more });

describe('the activity of a creation', () => {
  it('tells who was made by whom, in which tenant, with which roles and why', async () => {
    const { tenantId, member, editor } = app.seed;
    const actorId = uuidv4();
    const facts = {
      actor: { type: ActorTypeEnum.USER, id: actorId },
      impersonatorId: uuidv4(),
      ip: '192.0.2.7',
      userAgent: 'test/1',
      requestId: 'r-1',
    };
    const email = freshEmail();
    const user = await IdentityContext.run(facts, () =>
      app.users.createUser(
        {
          email,
          password: 'correct horse battery staple',
          isActive: false,
          metadata: { plan: 'gold', apiKey: 'k-1', none: null },
          identities: [{ provider: 'google', providerId: uuidv4() }],
          roleIds: [member, editor],
        },
        tenantId,
        { source: 'invitation', actorId },
      ),
    );
    const lines = await linesOf(user.id);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({
      type: 'nest_auth.user.created',
      actor_type: 'user',
      actor_id: actorId,
      impersonator_id: facts.impersonatorId,
      tenant_id: tenantId,
      subject_type: 'user',
      subject_id: user.id,
      before: null,
      after: {
        email,
        status: 'pending',
        providers: ['google'],
        metadata: { plan: 'gold', apiKey: '[redacted]' },
      },
      details: { source: 'invitation', actorId },
      ip: '192.0.2.7',
      user_agent: 'test/1',
      request_id: 'r-1',
    });
    expect(((lines[0] as Line).after as { roleIds: string[] }).roleIds.toSorted()).toEqual([member, editor].toSorted());
  });

  it('tells the system and no reason where nothing was said', async () => {
    const user = await newUser();
    expect(await linesOf(user.id)).toMatchObject([
      {
        actor_type: 'system',
        actor_id: null,
        tenant_id: null,
        after: { email: user.email, phone: user.phone, status: 'active' },
        details: null,
        ip: null,
        request_id: null,
      },
    ]);
  });

  it('is one a user that createUsers has made, and none for a row that was refused', async () => {
    const taken = await newUser();
    const { tenantId, member } = app.seed;
    const before = await countAll();
    const rows = [
      { email: freshEmail(), roleIds: [member], metadata: { a: 1, pin: 1234 } },
      { email: taken.email },
      { identities: [{ provider: 'google', providerId: uuidv4() }] },
      {},
    ];
    const result = await app.users.createUsers(rows, { tenantId });
    expect(result).toMatchObject({ created: 2, refused: 2 });
    expect(await countAll()).toBe(before + 2);
    const made = result.rows.flatMap(({ user }) => (user === undefined ? [] : [user]));
    expect(await lastOf(made[0] as User)).toMatchObject({
      type: 'nest_auth.user.created',
      tenant_id: tenantId,
      after: {
        email: made[0]?.email,
        status: 'active',
        roleIds: [member],
        metadata: { a: 1, pin: '[redacted]' },
      },
      details: { source: 'import' },
    });
    expect((await lastOf(made[1] as User)).after).toEqual({ status: 'active', providers: ['google'] });
    await app.users.createUsers([{ email: freshEmail() }], { dryRun: true });
    expect(await countAll()).toBe(before + 2);
  });

  it('is one where 50 at once want the same email', async () => {
    const email = freshEmail();
    const before = await countAll();
    const { won } = await outcomesOf(times(50, () => app.users.createUser({ email })));
    expect(won).toHaveLength(1);
    expect(await countAll()).toBe(before + 1);
  });

  it('is one where several at once want the same provider account, alone and in transactions', async () => {
    const before = await countAll();
    const identities = [{ provider: 'google', providerId: uuidv4() }];
    const more = [{ provider: 'google', providerId: uuidv4() }];
    const wants = [
      () => app.users.createUser({ email: freshEmail(), identities }),
      () => app.users.runInTransaction(() => app.users.createUser({ email: freshEmail(), identities: more })),
      () => app.users.createUsers([{ email: freshEmail(), identities: more }]),
    ];
    await outcomesOf(times(30, (index) => (wants[index % 3] as () => Promise<unknown>)()));
    const made = await countRows(app.url, 'nest_auth_identities', 'provider_id = any($1)', [
      [identities, more].flatMap((list) => list.map(({ providerId }) => providerId)),
    ]);
    expect(made).toBe(2);
    expect(await countAll()).toBe(before + 2);
  });
});

describe('the activity of a change', () => {
  it.each<[string, (user: User) => Promise<unknown>, (user: User) => { before: unknown; after: unknown }]>([
    [
      'of the status',
      ({ id }) => app.users.updateUserStatus(id, false),
      () => ({ before: { status: 'active', isActive: true }, after: { status: 'inactive', isActive: false } }),
    ],
    [
      'of metadata, by the keys that were touched, without secrets at any depth',
      ({ id }) =>
        app.users.updateUserMetadata(id, { kept: 1, gone: null, came: [2], secret: 'new', nested: { token: 'n' } }),
      () => ({
        before: { metadata: { gone: 1, came: null, secret: '[redacted]', nested: null } },
        after: { metadata: { gone: null, came: [2], secret: '[redacted]', nested: '[redacted]' } },
      }),
    ],
    [
      'of a password',
      (user) => user.setPassword('another horse of the same colour'),
      () => ({ before: null, after: { password: 'changed' } }),
    ],
    [
      'of a password to none',
      (user) => user.setPassword(null),
      () => ({ before: null, after: { password: 'removed' } }),
    ],
    [
      'of a proof',
      ({ id }) => app.users.verifyUser(id, 'phone'),
      () => ({ before: { phoneVerifiedAt: null }, after: { phoneVerifiedAt: moment } }),
    ],
    [
      'of the email, with the proof that goes with it',
      async (user) => {
        await app.users.verifyUser(user.id);
        await app.users.updateUser(user.id, { email: `new-${user.email ?? ''}`, metadata: { kept: 2 } });
      },
      (user) => ({
        before: { email: user.email, emailVerifiedAt: moment, metadata: { kept: 1 } },
        after: { email: `new-${user.email ?? ''}`, emailVerifiedAt: null, metadata: { kept: 2 } },
      }),
    ],
    [
      'of the phone to none',
      (user) => user.updatePhone(null),
      (user) => ({ before: { phone: user.phone }, after: { phone: null } }),
    ],
  ])('%s tells the values that went and those that came', async (_what, change, expected) => {
    const user = await newUser({ metadata: { kept: 1, gone: 1, secret: 'old' } });
    const wanted = expected(Object.assign(new NestAuthUser(), user));
    const { length } = await linesOf(user.id);
    await change(user);
    const { before, after, type, details } = await lastOf(user);
    expect({ type, before, after }).toEqual({ type: UPDATED, ...wanted });
    expect((await linesOf(user.id)).length).toBeGreaterThan(length);
    // Where to tell the user of another password stands in the activity.
    const addressed = Object.keys(wanted.after ?? {}).includes('password') ? { email: user.email } : {};
    expect(details).toEqual({ version: (await app.users.getUserById(user.id))?.version, ...addressed });
  });

  it('of identities tells those that came and went', async () => {
    const user = await newUser();
    const [first, second] = [uuidv4(), uuidv4()];
    const google = (providerId: string, more: object = {}) => ({ provider: 'google', providerId, ...more });
    await user.findOrCreateIdentity('google', first);
    expect(await told(user)).toEqual({
      type: UPDATED,
      before: { identities: [] },
      after: { identities: [google(first)] },
      count: 2,
    });
    await user.findOrCreateIdentity('google', first);
    await user.updateOrCreateIdentity('google', { metadata: {} });
    await user.updateOrCreateIdentity('google', { providerId: first });
    expect(await told(user)).toMatchObject({ count: 2 });
    await user.updateOrCreateIdentity('google', { metadata: { hd: 'a', accessToken: 't' } });
    expect(await told(user)).toMatchObject({
      before: { identities: [google(first, { metadata: { hd: null, accessToken: null } })] },
      after: { identities: [google(first, { metadata: { hd: 'a', accessToken: '[redacted]' } })] },
      count: 3,
    });
    await user.updateOrCreateIdentity('google', { providerId: second, metadata: { hd: 'b' } });
    expect(await told(user)).toMatchObject({
      before: { identities: [google(first, { metadata: { hd: 'a', accessToken: '[redacted]' } })] },
      after: { identities: [google(second, { metadata: { hd: 'b', accessToken: '[redacted]' } })] },
      count: 4,
    });
  });

  it('of a deleted user tells what there was', async () => {
    const user = await newUser({ metadata: { plan: 'gold', token: 't' } });
    await app.users.deleteUser(user.id);
    expect(await told(user)).toEqual({
      type: 'nest_auth.user.deleted',
      before: {
        email: user.email,
        phone: user.phone,
        status: 'active',
        isActive: true,
        metadata: { plan: 'gold', token: '[redacted]' },
      },
      after: null,
      count: 2,
    });
  });

  it('of an identity that was missing is written and announced', async () => {
    const user = await newUser();
    await withClient(app.url, (client) =>
      client.query('delete from nest_auth_identities where user_id = $1', [user.id]),
    );
    const { length } = app.events;
    await user.findOrCreateIdentity('email', user.email ?? '');
    expect(app.events.slice(length)).toMatchObject([{ name: UPDATED, changed: ['identities'] }]);
    expect(await told(user)).toMatchObject({ after: { identities: [{ provider: 'email' }] }, count: 2 });
  });

  it('is not there when nothing changes, when it is refused, and for a better hash of the same password', async () => {
    const user = await newUser({ password: await app.passwords.hash('same'), metadata: { a: 1 } });
    const other = await newUser();
    const { length } = await linesOf(user.id);
    await app.users.updateUserStatus(user.id, true);
    await app.users.updateUserMetadata(user.id, { a: 1, b: null });
    await app.users.updateUser(user.id, { email: user.email, phone: user.phone });
    await app.users.unverifyUser(user.id);
    const weak = await argon2.hash('same', { memoryCost: 4_096, timeCost: 2 });
    await withClient(app.url, (client) =>
      client.query('update nest_auth_users set password_hash = $2 where id = $1', [user.id, weak]),
    );
    expect(await user.validatePassword('same')).toBe(true);
    expect(await countRows(app.url, 'nest_auth_users', 'id = $1 and password_hash <> $2', [user.id, weak])).toBe(1);
    const refusals = [
      () => app.users.updateUser(user.id, { email: other.email }),
      () => app.users.updateUser(user.id, { isActive: false, expectedVersion: 99 }),
      () => app.users.updateUserMetadata(user.id, { large: 'x'.repeat(65_530) }),
    ];
    for (const refused of refusals) await expect(refused()).rejects.toMatchObject({ code: expect.any(String) });
    expect(await linesOf(user.id)).toHaveLength(length);
  });
});

describe('activities of changes that race', () => {
  it.each<[string, (id: string, index: number) => Promise<unknown>, string]>([
    ['metadata', (id, index) => app.users.updateUserMetadata(id, { turn: index }), 'metadata'],
    ['emails', (id) => app.users.updateUser(id, { email: freshEmail() }), 'email'],
    ['the status', (id, index) => app.users.updateUserStatus(id, index % 2 === 0), 'status'],
    [
      'proofs',
      (id, index) => (index % 2 === 0 ? app.users.verifyUser(id) : app.users.unverifyUser(id)),
      'emailVerifiedAt',
    ],
  ])('of %s form an unbroken chain: what one found is what the one before left', async (_what, change, field) => {
    const user = await newUser({ metadata: { turn: -1 } });
    await Promise.all(times(40, (index) => change(user.id, index)));
    const lines = (await linesOf(user.id)).slice(1);
    lines.sort((a, b) => Number(a.details?.['version']) - Number(b.details?.['version']));
    expect(lines.length).toBeGreaterThan(1);
    lines.forEach((line, index) => {
      expect(line.details).toEqual({ version: index + 2 });
    });
    const found = lines.slice(1).map(({ before }) => before?.[field]);
    expect(found).toEqual(lines.slice(0, -1).map(({ after }) => after?.[field]));
    const now = (await app.users.getUserById(user.id)) as unknown as Record<string, unknown>;
    expect(lines.at(-1)?.after?.[field]).toEqual(JSON.parse(JSON.stringify(now[field])));
  });

  it('of replaced accounts form one too', async () => {
    const user = await newUser();
    await Promise.all(times(20, () => user.updateOrCreateIdentity('google', { providerId: uuidv4() })));
    const sides = (await linesOf(user.id))
      .slice(1)
      .map(({ before, after }) => [before, after].map((side) => JSON.stringify(side)));
    // Each account came once, and each but the last went once.
    expect(sides).toHaveLength(20);
    const came = new Set(sides.map(([, after]) => after));
    const went = new Set(sides.map(([before]) => before));
    expect([came.size, went.size]).toEqual([20, 20]);
    expect([...came].filter((one) => !went.has(one))).toHaveLength(1);
  });
});

describe('an activity and its transaction', () => {
  const everything = async (user: User, m?: EntityManager): Promise<void> => {
    await app.users.createUser({ email: freshEmail() }, null, {}, m);
    await app.users.createUsers([{ email: freshEmail() }], {}, m);
    await app.users.updateUser(user.id, { email: freshEmail() }, m);
    await app.users.updateUserMetadata(user.id, { a: Math.random() }, m);
    await app.users.verifyUser(user.id, 'email', m);
    await user.findOrCreateIdentity('google', uuidv4(), m);
    await user.setPassword(null, m);
    await app.users.deleteUser(user.id, m);
  };
  const undo = new Error('undo');

  it('are both gone after a rollback, and after that of a savepoint', async () => {
    const user = await newUser();
    const before = await countAll();
    const rolledBack = app.users.runInTransaction(async () => {
      await everything(user);
      throw undo;
    });
    await expect(rolledBack).rejects.toBe(undo);
    expect(await countAll()).toBe(before);
    await app.users.runInTransaction(async (manager) => {
      const inner = manager.transaction(async () => {
        await everything(user);
        throw undo;
      });
      await expect(inner).rejects.toBe(undo);
      await app.users.updateUserMetadata(user.id, { kept: true });
    });
    expect(await countAll()).toBe(before + 1);
  });

  it('are both kept with the manager of the caller, and seen by nobody before', async () => {
    const user = await newUser();
    const before = await countAll();
    const runner = app.dataSource.createQueryRunner();
    await runner.startTransaction();
    await everything(user, runner.manager);
    expect(await countAll()).toBe(before);
    await runner.commitTransaction();
    await runner.release();
    expect(await countAll()).toBe(before + 8);
    expect(new Set((await linesOf(user.id)).map(({ id }) => id)).size).toBe(7);
  });

  it.each<[string, (user: User, taken: { email: string; identities: IdentityInput[] }) => Promise<unknown>]>([
    ['updateUser', ({ id }, { email }) => app.users.updateUser(id, { email, metadata: { a: 1 } })],
    ['createUser', (_, { identities }) => app.users.createUser({ email: freshEmail(), identities })],
    [
      'createUsers',
      async (_, { identities }) => {
        const { rows } = await app.users.createUsers([{ email: freshEmail(), identities }]);
        throw rows[0]?.error;
      },
    ],
  ])('is not written where %s loses a login half-way', async (_what, change) => {
    const [user, email] = [await newUser(), freshEmail()];
    const identities = [{ provider: 'google', providerId: uuidv4() }];
    const before = await countAll();
    const ahead = app.dataSource.createQueryRunner();
    await ahead.startTransaction();
    await app.users.createUser({ email, identities }, null, {}, ahead.manager);
    const flow = outcomesOf([
      app.users.runInTransaction(async () => {
        const lost = await outcomesOf([change(user, { email, identities })]);
        return Object.keys(lost.codes);
      }),
    ]);
    await untilSomebodyWaits(app.url);
    await ahead.commitTransaction();
    await ahead.release();
    expect((await flow).won).toEqual([[expect.stringMatching(/^(EMAIL|IDENTITY)_ALREADY_EXISTS$/)]]);
    expect(await countAll()).toBe(before + 1);
  });
});

describe('what a host writes through the ORM', () => {
  it('has an activity with what was saved', async () => {
    const user = await newUser({ metadata: { a: 1, b: 1 } });
    const loaded = await app.manager.findOneByOrFail(NestAuthUser, { id: user.id });
    loaded.metadata = { a: 2, b: 1, password: 'canary' };
    await loaded.save();
    expect(await lastOf(user)).toMatchObject({
      type: UPDATED,
      user_id: user.id,
      before: { metadata: { a: 1, password: '[redacted]' } },
      after: { metadata: { a: 2, password: '[redacted]' } },
      details: { via: 'orm' },
    });
    const { length } = await linesOf(user.id);
    await loaded.save();
    expect(await linesOf(user.id)).toHaveLength(length);
    await app.manager.remove(loaded);
    expect(await lastOf(user)).toMatchObject({ type: 'nest_auth.user.deleted', before: { email: user.email } });
  });

  it('has one a row that is saved at once, in the transaction of the save', async () => {
    const user = await newUser();
    const draft = () =>
      app.manager.create(NestAuthIdentity, {
        provider: 'github',
        providerId: uuidv4(),
        userId: user.id,
        realmId: user.realmId,
      });
    await app.manager.save([draft(), draft(), draft()]);
    expect(await linesOf(user.id)).toHaveLength(4);
    const rolledBack = app.users.runInTransaction(async (manager) => {
      await manager.save(draft());
      throw new Error('undo');
    });
    await expect(rolledBack).rejects.toThrow('undo');
    expect(await linesOf(user.id)).toHaveLength(4);
    const tenant = await app.tenants.getTenantById(app.seed.tenantId);
    await app.manager.save(Object.assign(tenant as NestAuthTenant, { description: uuidv4() }));
    const { rows } = await withClient(app.url, (client) =>
      client.query(
        `select type, before from nest_auth_activities where subject_id = $1 order by xid desc, id desc limit 1`,
        [app.seed.tenantId],
      ),
    );
    expect(rows).toEqual([{ type: 'nest_auth.tenant.updated', before: { description: null } }]);
  });

  it('tells the values and that nobody knows of whom, where only criteria were given', async () => {
    const user = await newUser();
    const before = await countAll();
    await app.manager.update(NestAuthUser, { id: user.id }, { metadata: { set: 1, secret: 's' } });
    await app.manager.delete(NestAuthIdentity, { userId: user.id, provider: 'github' });
    const { rows } = await withClient(app.url, (client) =>
      client.query<Line>(`select * from nest_auth_activities where details ->> 'rows' = 'unknown' order by xid, id`),
    );
    expect(await countAll()).toBe(before + 2);
    expect(rows.slice(-2)).toMatchObject([
      { type: UPDATED, user_id: null, before: null, after: { metadata: { set: 1, secret: '[redacted]' } } },
      { type: UPDATED, user_id: null, before: null, after: null },
    ]);
  });

  it('is lost together with its activity when that cannot be written', async () => {
    const user = await newUser();
    const forbid = (sql: string) => withClient(app.url, (client) => client.query(sql));
    await forbid(
      `alter table nest_auth_activities add constraint forbidden_ck check (details ->> 'via' is null) not valid`,
    );
    try {
      await expect(app.manager.update(NestAuthUser, { id: user.id }, { metadata: { a: 1 } })).rejects.toMatchObject({
        code: 'DATABASE_ERROR',
      });
      await expect(app.manager.save(NestAuthUser, { id: user.id, metadata: { a: 1 } })).rejects.toMatchObject({
        code: 'DATABASE_ERROR',
      });
    } finally {
      await forbid('alter table nest_auth_activities drop constraint forbidden_ck');
    }
    expect((await app.users.getUserById(user.id))?.metadata).toEqual({});
  });

  it('is refused as stale when somebody changes the row between reading and writing', async () => {
    const user = await newUser({ metadata: { turn: -1 } });
    const saves = times(10, (index) => app.manager.save(NestAuthUser, { id: user.id, metadata: { turn: index } }));
    const { codes } = await outcomesOf(saves);
    expect(Object.keys(codes).filter((code) => code !== 'STALE_VERSION')).toEqual([]);
    const turns = (await linesOf(user.id))
      .slice(1)
      .map(({ before, after }) =>
        [before, after].map((side) => (side as { metadata: { turn: number } }).metadata.turn),
      );
    const went = turns.map(([turn]) => turn);
    expect(new Set(went).size).toBe(went.length);
    expect(turns.filter(([, turn]) => !went.includes(turn))).toHaveLength(1);
  });
});

describe('the activity log', () => {
  it('holds no password, no hash and no secret of the metadata', async () => {
    const canary = `canary-${uuidv4()}`;
    const user = await newUser({ password: canary, metadata: { password: canary, deep: [{ apiToken: canary }] } });
    await user.setPassword(`${canary}-2`);
    await app.users.createUsers([{ email: freshEmail(), password: canary, metadata: { otp: canary } }]);
    await app.users.updateUserMetadata(user.id, { privateKey: canary, a: { b: { secretValue: canary } } });
    await user.updateOrCreateIdentity('google', { providerId: uuidv4(), metadata: { refresh_token: canary } });
    await user.updateOrCreateIdentity('google', { metadata: { refresh_token: `${canary}-2` } });
    await app.manager.save(NestAuthUser, { id: user.id, metadata: { hash: canary, list: [{ pin: canary }] } });
    await app.manager.update(NestAuthUser, { id: user.id }, { metadata: { hash: canary } });
    await app.users.deleteUser(user.id);
    const { rows } = await withClient(app.url, (client) =>
      client.query<{ row: string }>('select a::text as row from nest_auth_activities a'),
    );
    expect(rows.length).toBeGreaterThan(5);
    expect(rows.filter(({ row }) => row.includes(canary) || row.includes('$argon2'))).toEqual([]);
  });
});
