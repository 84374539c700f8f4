import { inspect } from 'node:util';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import type { HashedPassword, NestAuthUser } from '../../../src/index.js';
import { withClient } from '../../support/database.js';
import { freshEmail, useNestApp } from '../../support/nest-app.js';

const CANARY = 'canary-password-9f2c';
const HASH = /\$argon2/;
const told: unknown[] = [];

const app = useNestApp({
  auth: {
    user: {
      beforeCreate: (...args) => void told.push(args[0], args[2]),
      afterCreate: (...args) => void told.push(args[0], args[1], args[3]),
      beforeUpdate: (...args) => void told.push(args[0], args[1]),
      afterUpdate: (...args) => void told.push(args[0], args[1]),
    },
  },
});
let hashed: HashedPassword;
beforeAll(async () => {
  hashed = await app.passwords.hash(CANARY);
});
afterEach(() => void told.splice(0));

/** Everything that could reach a log: JSON, inspect, messages and stacks, down the chain of causes. */
function textOf(value: unknown): string {
  const parts = [inspect(value, { depth: 10 }), JSON.stringify(value) ?? ''];
  for (let error = value; error instanceof Error; error = error.cause) {
    parts.push(error.message, error.stack ?? '', inspect(error, { depth: 10 }));
    parts.push(JSON.stringify(Object.getOwnPropertyNames(error).map((name) => (error as never)[name])) ?? '');
  }
  return parts.join('\n');
}

function expectNoSecret(...values: unknown[]): void {
  for (const value of values) {
    const text = textOf(value);
    expect(text).not.toContain(CANARY);
    expect(text).not.toMatch(HASH);
  }
}

const failureOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => Promise.reject(new Error('was expected to fail')),
    (error: unknown) => error,
  );

describe('passwords and hashes', () => {
  it.each([
    ['a plain password', () => CANARY],
    ['a hashed one', () => hashed],
  ])('are in no event, hook or result of a creation with %s', async (_what, password) => {
    const { length } = app.events;
    const user = await app.users.createUser({ email: freshEmail(), password: password() }, null, { source: 'signup' });
    const { rows } = await app.users.createUsers([{ email: freshEmail(), password: password() }]);
    expect(app.events.length).toBeGreaterThan(length + 2);
    expect(told.length).toBeGreaterThan(0);
    expectNoSecret(user, rows, ...told, ...app.events.slice(length));
  });

  it('are in no event, hook or entity of a change', async () => {
    const { length } = app.events;
    const user = await app.users.createUser({ email: freshEmail() });
    await user.setPassword(CANARY);
    await user.setPassword(hashed);
    await user.updateEmail(freshEmail());
    await user.validatePassword(CANARY);
    expectNoSecret(user, ...told, ...app.events.slice(length));
  });

  it('are in no refusal of a conflict, of bad input or of a full queue', async () => {
    const email = freshEmail();
    await app.users.createUser({ email });
    const calls = [
      () => app.users.createUser({ email, password: CANARY }),
      () => app.users.createUser({ email: CANARY, password: CANARY }),
      () => app.users.createUser({ email: freshEmail(), password: [CANARY] as never }),
      () => app.users.createUser({ email: freshEmail(), password: { phc: CANARY } as never }),
      () =>
        app.users.createUser({
          email: freshEmail(),
          metadata: { [`__proto__`]: CANARY, nan: Number.NaN },
          password: CANARY,
        }),
      () => app.users.createUser({ email: freshEmail(), password: CANARY.repeat(1_000) }),
      () => app.passwords.hash(CANARY.repeat(1_000)),
    ];
    for (const call of calls) expectNoSecret(await failureOf(call()));
  });

  it('are in no error of the database, whatever it refuses the row for (SEC-92)', async () => {
    await withClient(app.url, (client) =>
      client.query(`alter table nest_auth_users add constraint host_ck check (email_norm not like 'refused%')`),
    );
    const email = `refused-${freshEmail()}`;
    const user: NestAuthUser = await app.users.createUser({ email: freshEmail() });
    const failures = [
      await failureOf(app.users.createUser({ email, password: hashed })),
      await failureOf(app.users.createUsers([{ email, password: hashed }])),
      await failureOf(app.users.runInTransaction(() => app.users.createUser({ email, password: hashed }))),
      await failureOf(
        app.users.runInTransaction(async () => {
          await app.users.createUser({ email, password: hashed }).catch(() => undefined);
        }),
      ),
      await failureOf(user.setPassword(hashed).then(() => user.updateEmail(email))),
      // The host's own statement on our table.
      await failureOf(app.manager.query('update nest_auth_users set email_norm = $2 where id = $1', [user.id, email])),
    ];
    for (const failure of failures) expect(failure).toHaveProperty('code');
    expectNoSecret(...failures);
  });
});
