import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';

import {
  type BreachCheckOptions,
  isNestAuthError,
  type NestAuthModuleOptions,
  NestAuthUser,
  PasswordPolicy,
} from '../../../src/index.js';
import { freshEmail, freshPhone, type NestApp, startNestApp, times, useNestApp } from '../../support/nest-app.js';
import { recordStatements } from '../../support/wire.js';
import { auth, CHEAP, keys } from '../session/fixture.js';

const GOOD = 'correct horse battery staple';
const options = (password: NestAuthModuleOptions['password'] = {}): NestAuthModuleOptions => ({
  session: { keys, signUp: 'open' },
  password: { ...CHEAP, contextWords: ['Kestrel Quaypoint'], ...password },
  rateLimits: { enabled: false },
});

const app = useNestApp({ auth: options() });
const policy = ({ context }: Pick<NestApp, 'context'> = app): PasswordPolicy => context.get(PasswordPolicy);
afterEach(() => {
  jest.restoreAllMocks();
});

async function withApp(password: NestAuthModuleOptions['password'], fn: (other: NestApp) => Promise<void>) {
  const other = await startNestApp(app.url, { auth: options(password) });
  try {
    await fn(other);
  } finally {
    await other.close();
  }
}

async function refusalOf(call: Promise<unknown>): Promise<{ code: unknown; issues: unknown }> {
  const error = await call.then(
    () => new Error('it was accepted'),
    (thrown: unknown) => thrown,
  );
  if (!isNestAuthError(error)) throw error;
  return { code: error.code, issues: error.details.issues?.map(({ code }) => code) };
}

/** Every way in which a plain password comes in; each answers the refusal. */
const WAYS: Record<string, (password: string, email: string) => Promise<unknown>> = {
  createUser: (password, email) => app.users.createUser({ email, password }, app.seed.tenantId),
  createPlatformUser: (password, email) => app.users.createPlatformUser({ email, password }),
  createUsers: async (password, email) => {
    const { rows } = await app.users.createUsers([{ email, password }]);
    if (rows[0]?.error !== undefined) throw rows[0].error;
  },
  signUp: (password, email) => auth(app).signUp({ email, password }),
  setPassword: (password, email) =>
    Object.assign(new NestAuthUser(), { id: randomUUID(), email }).setPassword(password, app.manager),
};

describe.each(Object.entries(WAYS))('SEC-04, SEC-06: %s', (name, enter) => {
  it.each([
    ['a short one', 'Tr0ub4dor&3', ['TOO_SHORT']],
    ['a common one', 'passwordpassword', ['PREDICTABLE', 'TOO_COMMON']],
    ['a common one in disguise', 'P@ssw0rd-2026!!', ['TOO_COMMON']],
    ['one along the keyboard', 'qwertyuiopasdfgh', ['PREDICTABLE']],
    ['the name of the application, and little more', 'KestrelQuaypoint-42', ['PERSONAL']],
  ])(
    'refuses %s before it is hashed, and before anything is asked of the database',
    async (_what, password, issues) => {
      const hash = jest.spyOn(app.passwords, 'hash');
      const { result, statements } = await recordStatements(() => refusalOf(enter(password, freshEmail())));
      expect(result).toEqual({ code: 'PASSWORD_REFUSED', issues });
      expect(hash).not.toHaveBeenCalled();
      expect(statements).toEqual([]);
    },
  );

  it('refuses the email, however it is written', async () => {
    const email = `zofia.brzeczyk.${randomUUID()}@navy.example.com`;
    for (const password of [email, email.toUpperCase(), `my-${email}`, 'Zofia Brzeczyk 1906', 'z0fia.brz3czyk-1234'])
      expect(await refusalOf(enter(password, email))).toEqual({ code: 'PASSWORD_REFUSED', issues: ['PERSONAL'] });
  });

  it('never repeats the password in the refusal', async () => {
    const error: unknown = await enter('Tr0ub4dor&3', freshEmail()).catch((thrown: unknown) => thrown);
    const shown = JSON.stringify([error, (error as Error).message, (error as Error).stack]);
    expect(shown).toContain('TOO_SHORT');
    expect(shown).not.toContain('Tr0ub4dor');
  });

  if (name !== 'setPassword') {
    it('leaves nobody behind, and takes the same person with a better one', async () => {
      const email = freshEmail();
      await refusalOf(enter('Tr0ub4dor&3', email));
      expect(await app.users.getUserByEmail(email)).toBeNull();
      await enter(GOOD, email);
      expect(await app.users.getUserByEmail(email)).toMatchObject({ email });
    });
  }
});

describe('many at once', () => {
  it('SEC-06: are refused row by row', async () => {
    const password = ['Tr0ub4dor&3', GOOD, 'a'.repeat(4_097)];
    const { created, rows } = await app.users.createUsers(
      times(3, (index) => ({ email: freshEmail(), password: password[index] ?? '' })),
    );
    expect(created).toBe(1);
    expect(rows.map(({ error }) => error?.code)).toEqual(['PASSWORD_REFUSED', undefined, 'VALIDATION_FAILED']);
  });
});

describe('SEC-04: how long a password is', () => {
  const letters = (count: number): string => createHash('sha512').update('six').digest('hex').slice(0, count);

  it.each([
    [undefined, 7, ['TOO_SHORT']],
    [undefined, 8, ['TOO_SHORT']],
    [undefined, 14, ['TOO_SHORT']],
    [undefined, 15, []],
    [undefined, 64, []],
    [8, 7, ['TOO_SHORT']],
    [8, 8, []],
    [8, 64, []],
    [64, 63, ['TOO_SHORT']],
    [64, 64, []],
  ] as const)('with the option %s: one of %i characters has the issues %j', async (minLength, count, issues) => {
    await withApp(minLength === undefined ? {} : { minLength }, async (other) => {
      expect((await policy(other).check(letters(count))).map(({ code }) => code)).toEqual(issues);
      expect(policy(other).minLength).toBe(minLength ?? 15);
    });
  });

  it('is at most 4,096 bytes, of which none is cut off', async () => {
    const long = `${GOOD} ${'öäü'.repeat(675)}`;
    const [most, beyond] = [
      long.padEnd(long.length + 4_096 - Buffer.byteLength(long), 'x'),
      `${long}${'x'.repeat(18)}`,
    ];
    expect(Buffer.byteLength(most)).toBe(4_096);
    expect(Buffer.byteLength(beyond)).toBe(4_097);
    const user = await app.users.createUser({ email: freshEmail(), password: most });
    expect(await user.validatePassword(most)).toBe(true);
    expect(await user.validatePassword(`${most.slice(0, -1)}y`)).toBe(false);
    expect((await refusalOf(policy().assertAcceptable(beyond))).code).toBe('VALIDATION_FAILED');
  });

  it('is counted in characters, however they are composed', async () => {
    expect(await policy().check('🐎🔋📎✅'.repeat(3))).toMatchObject([{ code: 'TOO_SHORT' }, { code: 'PREDICTABLE' }]);
    const [composed, apart] = ['é', 'e\u0301'].map((accent) => `${letters(13)}${accent}`) as [string, string];
    for (const password of [composed, apart])
      expect((await policy().check(password)).map(({ code }) => code)).toEqual(['TOO_SHORT']);
  });
});

describe('SEC-05: what a password is made of', () => {
  it('is nobody’s business: any characters are taken, and none is asked for', async () => {
    const unit = fc.noBias(fc.integer({ min: 0, max: 0x10ffff }).filter((point) => point < 0xd800 || point > 0xdfff));
    const password = fc.array(unit, { minLength: 20, maxLength: 60 }).map((points) => String.fromCodePoint(...points));
    const taken = fc.asyncProperty(password, async (one) => expect(await policy().check(one)).toEqual([]));
    await fc.assert(taken, { numRuns: 300, seed: 5 });
  });

  it.each([
    'correct\0horse\0battery\0staple',
    '  .   ,  ;    :  -   _   ',
    'nur kleine buchstaben sind gut',
    '8305719264083571926',
    '🦊 jumps over 🐶 and 🐱 for 🍕',
  ])('may be %j, with which somebody then signs in', async (password) => {
    const email = freshEmail();
    const { id } = await app.users.createUser({ email, password });
    await expect(auth(app).signIn({ email, password })).resolves.toMatchObject({ userId: id });
  });
});

describe('what is known of a person', () => {
  const about = { email: 'ada@kestrel.example.com', phone: '+49 171 2345678', identifiers: ['Ada King Lovelace'] };

  it.each(['Lovelace-Ada-1815', 'king.of.lovelace', 'call 0171/2345678', 'kestrelkestrelx'])(
    'is refused in %j',
    async (password) => {
      expect((await policy().check(password, about)).map(({ code }) => code)).toContain('PERSONAL');
      expect((await policy().check(password)).map(({ code }) => code)).not.toContain('PERSONAL');
    },
  );

  it('does not spoil a password that is long enough without it', async () => {
    expect(await policy().check('ada once walked a long way home', about)).toEqual([]);
  });

  it('comes from names in the metadata, too', async () => {
    const metadata = { displayName: 'Wilhelmina', plan: 'trombone' };
    const create = (password: string) => app.users.createUser({ email: freshEmail(), password, metadata });
    expect(await refusalOf(create('wilhelmina-2026'))).toMatchObject({ issues: ['PERSONAL'] });
    await expect(create('trombone by the sea')).resolves.toBeDefined();
  });

  it.each([
    ['no object', null],
    ['an unknown field', { name: 'Ada' }],
    ['an email that is no text', { email: { like: '%' } }],
    ['identifiers that are no texts', { identifiers: [1] }],
    ['too many identifiers', { identifiers: times(101, () => 'ada') }],
  ])('is refused when it is %s', async (_what, given) => {
    expect((await refusalOf(policy().check(GOOD, given as never))).code).toBe('VALIDATION_FAILED');
  });
});

describe('a hash', () => {
  it('is not judged: whoever made it has asked', async () => {
    const password = await app.passwords.hash('short');
    await expect(app.users.createUser({ email: freshEmail(), password })).resolves.toBeDefined();
  });
});

describe('SEC-06: the look-up of leaked passwords', () => {
  const LEAKED = 'trombones on the 5th of May';
  const sha1 = createHash('sha1').update(LEAKED).digest('hex').toUpperCase();
  const asked: string[] = [];
  let answer: (request: IncomingMessage, response: ServerResponse) => void;
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    answer(request, response);
  });
  let url = '';

  const range = (lines: readonly string[]) => (_: IncomingMessage, response: ServerResponse) =>
    response.end(lines.join('\r\n'));
  const check = (more: Partial<BreachCheckOptions> = {}) => ({
    breachCheck: { source: `${url}/range/`, timeoutMs: 300, ...more },
  });

  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(() => {
    asked.length = 0;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  it('refuses what has leaked, and tells the service five characters of a hash', async () => {
    answer = range([`${'0'.repeat(35)}:7`, `${sha1.slice(5).toLowerCase()}:2`, `${'F'.repeat(35)}:1`]);
    await withApp(check(), async (other) => {
      const create = (password: string) => other.users.createUser({ email: freshEmail(), password });
      expect(await refusalOf(create(LEAKED))).toEqual({ code: 'PASSWORD_REFUSED', issues: ['BREACHED'] });
      expect(asked).toEqual([`/range/${sha1.slice(0, 5)}`]);
      await expect(create(GOOD)).resolves.toBeDefined();
    });
  });

  it('does not take the padding of an answer for a leak', async () => {
    answer = range([`${sha1.slice(5)}:0`]);
    await withApp(check(), async (other) => expect(await policy(other).check(LEAKED)).toEqual([]));
  });

  it('is not asked about what is refused anyway', async () => {
    answer = range([]);
    await withApp(check(), async (other) => {
      expect((await policy(other).check('password')).map(({ code }) => code)).toEqual(['TOO_SHORT', 'TOO_COMMON']);
      expect(asked).toEqual([]);
    });
  });

  it('may be a function of the application, which sees the hash', async () => {
    const seen: string[] = [];
    const source = async (hash: string): Promise<boolean> => {
      seen.push(hash);
      return hash === sha1;
    };
    await withApp({ breachCheck: { source } }, async (other) => {
      expect(await refusalOf(policy(other).assertAcceptable(LEAKED))).toMatchObject({ issues: ['BREACHED'] });
      expect(await policy(other).check(GOOD)).toEqual([]);
      expect(seen[0]).toBe(sha1);
    });
  });

  const FAILURES: Record<string, () => Partial<BreachCheckOptions>> = {
    'answers with an error': () => {
      answer = (_, response) => response.writeHead(503).end();
      return {};
    },
    'does not answer': () => {
      answer = () => undefined;
      return {};
    },
    'stops in the middle of an answer': () => {
      answer = (_, response) => void response.write('0');
      return {};
    },
    'sends somewhere else': () => {
      answer = (_, response) => response.writeHead(302, { location: `${url}/elsewhere` }).end();
      return {};
    },
    'is not there': () => ({ source: 'http://127.0.0.1:1/' }),
    'is a function that never ends': () => ({ source: () => new Promise(() => undefined) }),
    'is a function that fails': () => ({ source: () => Promise.reject(new Error('no')) }),
  };

  it.each(Object.entries(FAILURES))(
    'that %s lets the other rules decide, or nobody in, as configured',
    async (_what, fail) => {
      const failing = fail();
      await withApp(check(failing), async (other) => {
        expect(await policy(other).check(LEAKED)).toEqual([]);
        await expect(other.users.createUser({ email: freshEmail(), password: LEAKED })).resolves.toBeDefined();
      });
      await withApp(check({ ...failing, onFailure: 'refuse' }), async (other) => {
        const email = freshEmail();
        const error: unknown = await other.users
          .createUser({ email, password: LEAKED })
          .catch((thrown: unknown) => thrown);
        expect(error).toMatchObject({ code: 'PASSWORD_CHECK_UNAVAILABLE' });
        expect(JSON.stringify([error, (error as Error).message])).not.toContain(LEAKED);
        expect(await other.users.getUserByEmail(email)).toBeNull();
      });
      expect(asked.filter((path) => path.startsWith('/elsewhere'))).toEqual([]);
    },
  );

  it('is not made while a transaction runs: what a failure means decides', async () => {
    answer = range([`${sha1.slice(5)}:2`]);
    await withApp(check(), async (other) => {
      const create = () => other.users.createUser({ email: freshEmail(), password: LEAKED });
      await expect(other.users.runInTransaction(create)).resolves.toBeDefined();
      await expect(
        other.dataSource.transaction((manager) =>
          other.users.createUser({ phone: freshPhone(), password: LEAKED }, undefined, {}, manager),
        ),
      ).resolves.toBeDefined();
      expect(asked).toEqual([]);
      expect(await refusalOf(create())).toMatchObject({ issues: ['BREACHED'] });
    });
    await withApp(check({ onFailure: 'refuse' }), async (other) => {
      const refused = other.users.runInTransaction(() =>
        other.users.createUser({ email: freshEmail(), password: LEAKED }),
      );
      expect(await refusalOf(refused)).toMatchObject({ code: 'PASSWORD_CHECK_UNAVAILABLE' });
    });
    expect(asked).toHaveLength(1);
  });
});
