import { afterEach, describe, expect, it, jest } from '@jest/globals';
import argon2 from 'argon2';

import { outcomesOf, startNestApp, times, useNestApp } from '../../support/nest-app.js';
import { createTestDatabase } from '../../support/database.js';
import { countRows } from '../../support/tables.js';
import { auth, AUTH, CHEAP, PASSWORD, person } from './fixture.js';

jest.setTimeout(120_000);

const app = useNestApp({ auth: AUTH, pool: 4 });

afterEach(() => {
  jest.restoreAllMocks();
});

/** Counts the hashes that are computed at once, from now on. */
function watchHashing(): { readonly most: () => number; readonly all: () => number; stop(): void } {
  const { verify } = argon2;
  let [running, most, all] = [0, 0, 0];
  const watched: typeof verify = async (...given) => {
    all += 1;
    running += 1;
    most = Math.max(most, running);
    try {
      return await verify(...given);
    } finally {
      running -= 1;
    }
  };
  Object.assign(argon2, { verify: watched });
  return { most: () => most, all: () => all, stop: () => Object.assign(argon2, { verify }) };
}

describe('SEC-03: two hundred sign-ins at once', () => {
  it('compute no more hashes at a time than the option says, and others are served meanwhile', async () => {
    const bounded = await startNestApp(app.url, {
      auth: { ...AUTH, password: { ...CHEAP, maxConcurrent: 2 } },
      pool: 4,
    });
    const hashing = watchHashing();
    try {
      const people = await Promise.all(times(20, () => person(bounded)));
      const before = process.memoryUsage().rss;
      const count = { done: 0, served: 0 };
      const all = outcomesOf(
        times(200, async (index) => {
          const { email } = people[index % 20] as { email: string };
          await auth(bounded).signIn({ email, password: PASSWORD });
          count.done += 1;
        }),
      );
      // Each look at another thing is answered before the next is sent, while passwords wait for their turn.
      while (count.done < 200) {
        await bounded.users.getUserById(people[0]?.id ?? '');
        if (count.done < 200) count.served += 1;
      }
      const { codes, won } = await all;
      expect(codes).toEqual({});
      expect(won).toHaveLength(200);
      expect(hashing.all()).toBe(200);
      expect(hashing.most()).toBe(2);
      expect(count.served).toBeGreaterThan(20);
      console.info(
        `SEC-03: ${count.served} other look-ups meanwhile, memory + ${((process.memoryUsage().rss - before) / 1_048_576).toFixed(0)} MiB`,
      );
    } finally {
      hashing.stop();
      await bounded.close();
    }
  });

  it('beyond what may wait are told that it is busy, and the next ones come in', async () => {
    const narrow = await startNestApp(app.url, {
      auth: { ...AUTH, password: { ...CHEAP, maxConcurrent: 1, maxQueued: 5 } },
    });
    try {
      const people = await Promise.all(times(5, () => person(narrow)));
      const more = await Promise.all(times(40, () => person(app)));
      const { codes, won } = await outcomesOf(
        more.map(({ email }) => auth(narrow).signIn({ email, password: PASSWORD })),
      );
      expect(Object.keys(codes)).toEqual(['HASHING_BUSY']);
      expect(won.length + (codes['HASHING_BUSY'] ?? 0)).toBe(40);
      for (const { email } of people)
        await expect(auth(narrow).signIn({ email, password: PASSWORD })).resolves.toBeDefined();
    } finally {
      await narrow.close();
    }
  });
});

describe('SEC-01 and SEC-05: what is kept of a password, and what one may be', () => {
  it('two people with one password have two hashes of argon2id', async () => {
    const hashes = await Promise.all(times(2, async () => (await app.passwords.hash(PASSWORD)).phc));
    expect(new Set(hashes).size).toBe(2);
    for (const phc of hashes) expect(phc).toMatch(/^\$argon2id\$v=19\$m=7168,t=5,p=1\$/);
  });

  it('any characters of Unicode, of any kind and number up to 4,096 bytes: nothing is cut off, composed or refused', async () => {
    const odd = ['\u0000', ' ', '  ', 'é', 'e\u0301', '🐎', '\u202e', 'x'.repeat(4_096)];
    for (const password of odd) {
      const { phc } = await app.passwords.hash(password);
      for (const other of odd) expect(await app.passwords.verify(phc, other)).toBe(other === password);
    }
  });
});

it('SEC-12: nobody is there who was not made: with nothing but the migrations nobody can sign in', async () => {
  const { url, drop } = await createTestDatabase();
  const fresh = await startNestApp(url, { auth: AUTH });
  try {
    for (const table of ['nest_auth_users', 'nest_auth_identities', 'nest_auth_platform_accesses'])
      expect(await countRows(url, table)).toBe(0);
  } finally {
    await fresh.close();
    await drop();
  }
});
