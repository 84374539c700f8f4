import { describe, expect, it } from '@jest/globals';
import argon2 from 'argon2';

import {
  DEFAULT_PASSWORD_SETTINGS,
  isHashedPassword,
  PasswordService,
  type PasswordSettings,
} from '../../../src/account/password.service.js';

const make = (settings: Partial<PasswordSettings> = {}) =>
  new PasswordService({ ...DEFAULT_PASSWORD_SETTINGS, ...settings });
const service = make();

describe('the strength of a hash', () => {
  it.each([
    ['password.memoryKiB', { memoryKiB: 19_455 }],
    ['password.memoryKiB', { iterations: 1 }],
    ['password.memoryKiB', { iterations: 1, memoryKiB: 47_103 }],
    ['password.memoryKiB', { iterations: 3, memoryKiB: 12_287 }],
    ['password.memoryKiB', { iterations: 4, memoryKiB: 9_215 }],
    ['password.memoryKiB', { iterations: 5, memoryKiB: 7_167 }],
    ['password.memoryKiB', { iterations: 50, memoryKiB: 7_167 }],
    ['password.memoryKiB', { memoryKiB: 19_456.5 }],
    ['password.memoryKiB', { memoryKiB: Number.NaN }],
    ['password.memoryKiB', { memoryKiB: '65536' as never }],
    ['password.iterations', { iterations: 0 }],
    ['password.iterations', { iterations: -1 }],
    ['password.iterations', { iterations: 2.5 }],
    ['password.iterations', { iterations: '2' as never }],
    ['password.parallelism', { parallelism: 0 }],
    ['password.maxConcurrent', { maxConcurrent: 0 }],
    ['password.maxQueued', { maxQueued: -1 }],
  ])('below the floor is refused by the name %s: %j', (option, settings) => {
    expect(() => make(settings)).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS', details: { option } }));
  });

  it.each([
    { iterations: 1, memoryKiB: 47_104 },
    { iterations: 2, memoryKiB: 19_456 },
    { iterations: 3, memoryKiB: 12_288 },
    { iterations: 4, memoryKiB: 9_216 },
    { iterations: 5, memoryKiB: 7_168 },
  ])('at the floor is accepted: %j', (settings) => {
    expect(() => make(settings)).not.toThrow();
  });

  it('is in the stored string: argon2id with its parameters and a salt', async () => {
    const { phc } = await service.hash('correct horse');
    expect(phc).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22,}\$[\w+/]{43,}$/);
  });

  it('that has risen asks for a new hash', async () => {
    const { phc } = await service.hash('correct horse');
    expect(service.needsRehash(phc)).toBe(false);
    expect(make({ memoryKiB: 32_768 }).needsRehash(phc)).toBe(true);
  });
});

describe('hash and verify', () => {
  it('give equal passwords different strings', async () => {
    const [first, second] = await Promise.all([service.hash('same'), service.hash('same')]);
    expect(first.phc).not.toBe(second.phc);
  });

  it.each([
    ['64 characters', 'x'.repeat(64)],
    ['200 characters', 'x'.repeat(200)],
    ['the longest', 'x'.repeat(4_096)],
    ['one character', 'x'],
    ['spaces', '   '],
    ['emoji', '🐎🔋🖇️'],
    ['a NUL inside', 'before\u0000after'],
    ['a lone NUL', '\u0000'],
  ])('take %s', async (_what, password) => {
    const { phc } = await service.hash(password);
    expect(await service.verify(phc, password)).toBe(true);
    expect(await service.verify(phc, `${password}x`)).toBe(false);
  });

  it.each([
    ['the 73rd byte', 'x'.repeat(72) + 'a', 'x'.repeat(72) + 'b'],
    ['what follows a NUL', 'same\u0000a', 'same\u0000b'],
    ['a leading space', ' same', 'same'],
    ['the case', 'Same', 'same'],
    ['the last of 4,096 bytes', 'x'.repeat(4_095) + 'a', 'x'.repeat(4_095) + 'b'],
  ])('tell passwords apart by %s', async (_what, one, other) => {
    const { phc } = await service.hash(one);
    expect(await service.verify(phc, other)).toBe(false);
  });

  it.each(['', 'x'.repeat(4_097), '🐎'.repeat(1_025), null, undefined, 42, ['x'], { phc: 'x' }])(
    'refuse %p and verify it as false',
    async (password) => {
      await expect(service.hash(password as string)).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
      const { phc } = await service.hash('x');
      expect(await service.verify(phc, password as string)).toBe(false);
    },
  );

  it('answer false where nothing is stored, at the same cost', async () => {
    const { phc } = await service.hash('correct horse');
    await service.verify(null, 'warm up');
    const cost = async (stored: string | null) => {
      const started = performance.now();
      expect(await service.verify(stored, 'wrong horse')).toBe(false);
      return performance.now() - started;
    };
    const costs = { known: [] as number[], unknown: [] as number[] };
    for (let round = 0; round < 15; round += 1) {
      costs.known.push(await cost(phc));
      costs.unknown.push(await cost(null));
    }
    const median = (values: number[]) => values.toSorted((a, b) => a - b)[7] ?? 0;
    expect(median(costs.unknown)).toBeGreaterThan(median(costs.known) / 2);
    expect(median(costs.unknown)).toBeLessThan(median(costs.known) * 2);
  });

  it.each(['', 'plain', '$2b$10$abcdefghijklmnopqrstuv', '$argon2id$broken', '$argon2id$v=19$m=1,t=1,p=1$$'])(
    'answer false for %j, which is no hash of ours',
    async (stored) => {
      expect(await service.verify(stored, 'x')).toBe(false);
    },
  );

  it('brand what they made, and nothing else', async () => {
    const hashed = await service.hash('x');
    expect(isHashedPassword(hashed)).toBe(true);
    expect(isHashedPassword({ ...hashed })).toBe(false);
    expect(isHashedPassword(hashed.phc)).toBe(false);
    expect(isHashedPassword(null)).toBe(false);
    expect(Object.isFrozen(hashed)).toBe(true);
  });
});

describe('the load of hashing', () => {
  it('is bounded: never more at once than the option allows, and nobody is forgotten', async () => {
    let running = 0;
    let most = 0;
    const original = argon2.hash;
    const counted = async (...args: unknown[]) => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setTimeout(resolve, 5));
      running -= 1;
      return `$argon2id$${String(args.length)}`;
    };
    Object.assign(argon2, { hash: counted });
    try {
      const bounded = make({ maxConcurrent: 3 });
      const hashed = await Promise.all(Array.from({ length: 40 }, () => bounded.hash('x')));
      expect(hashed).toHaveLength(40);
      expect(most).toBe(3);
    } finally {
      Object.assign(argon2, { hash: original });
    }
  });

  it('is refused as busy when the queue is full, and goes on afterwards', async () => {
    const narrow = make({ maxConcurrent: 1, maxQueued: 2 });
    const settled = await Promise.allSettled(Array.from({ length: 6 }, () => narrow.hash('x')));
    const outcomes = settled.map((one) => (one.status === 'rejected' ? (one.reason as { code: string }).code : 'done'));
    expect(outcomes).toEqual(['done', 'done', 'done', 'HASHING_BUSY', 'HASHING_BUSY', 'HASHING_BUSY']);
    await expect(narrow.hash('x')).resolves.toBeDefined();
  });

  it('frees its place when a hash fails', async () => {
    const narrow = make({ maxConcurrent: 1, maxQueued: 0 });
    await narrow.verify('$argon2id$broken', 'x').catch(() => undefined);
    await expect(narrow.hash('x')).resolves.toBeDefined();
  });

  it('tells unknown users from known ones neither when the queue is full nor when hashing has failed once', async () => {
    const narrow = make({ maxConcurrent: 1, maxQueued: 0 });
    const busy = narrow.hash('x');
    await expect(narrow.verify(null, 'x')).rejects.toMatchObject({ code: 'HASHING_BUSY' });
    await busy;
    expect(await narrow.verify(null, 'x')).toBe(false);
  });
});
