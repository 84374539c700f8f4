import { describe, expect, it } from '@jest/globals';

import { type Loaded, RevocableCache } from '../../../src/revocation/revocable-cache.js';
import { StaleBound } from '../../../src/revocation/stale-bound.js';

interface Setup {
  readonly cache: RevocableCache<string>;
  /** How often the source was asked. */
  readonly asked: () => number;
  readonly get: (name: string, tags?: string[]) => Promise<string | null>;
  /** Answers of the source from now on. */
  answer(value: string | null, forMs?: number): void;
  pass(ms: number): void;
}

const BOUND = { maxStaleMs: 1_000, cacheSeconds: 60 };

function setUp(max = 100): Setup {
  let now = 5_000;
  let asked = 0;
  let answered: Loaded<string> | null = { value: 'first', forMs: Infinity };
  const cache = new RevocableCache<string>(new StaleBound(BOUND, undefined, () => now), max);
  const load = (): Promise<Loaded<string> | null> => {
    asked += 1;
    return Promise.resolve(answered);
  };
  return {
    cache,
    asked: () => asked,
    get: (name, tags = [`tag:${name}`]) => cache.get({ name, tags }, load),
    answer: (value, forMs = Infinity) => (answered = value === null ? null : { value, forMs }),
    pass: (ms) => (now += ms),
  };
}

/** A load that answers when the test says so. */
function paused(): {
  load: () => Promise<Loaded<string> | null>;
  answer(value: string): void;
  fail(error: Error): void;
} {
  let settle: (loaded: Loaded<string>) => void = () => undefined;
  let fail: (error: Error) => void = () => undefined;
  const loading = new Promise<Loaded<string>>((resolve, reject) => ([settle, fail] = [resolve, reject]));
  return { load: () => loading, answer: (value) => settle({ value, forMs: Infinity }), fail: (error) => fail(error) };
}

describe('a cache of what may be revoked', () => {
  it('SEC-45 holds without any news for the documented bound, and not a millisecond longer', async () => {
    const { get, answer, pass, asked } = setUp();
    await get('a');
    answer('second');
    pass(999);
    expect(await get('a')).toBe('first');
    pass(1);
    expect(await get('a')).toBe('second');
    expect(asked()).toBe(2);
  });

  it('counts the age from the beginning of the load, which may have seen no more', async () => {
    const { cache, get, answer, pass } = setUp();
    const slow = paused();
    const loading = cache.get({ name: 'a', tags: [] }, slow.load);
    pass(900);
    slow.answer('old');
    expect(await loading).toBe('old');
    answer('new');
    pass(100);
    expect(await get('a')).toBe('new');
  });

  it('ends an answer when the answer itself says so', async () => {
    const { get, answer, pass } = setUp();
    answer('granted', 300);
    await get('a');
    answer('expired');
    pass(299);
    expect(await get('a')).toBe('granted');
    pass(1);
    expect(await get('a')).toBe('expired');
  });

  it('asks once for fifty calls at once', async () => {
    const { get, asked } = setUp();
    await Promise.all(Array.from({ length: 50 }, () => get('a')));
    expect(asked()).toBe(1);
  });

  it('keeps no answer that there is nothing', async () => {
    const { get, answer } = setUp();
    answer(null);
    expect(await get('a')).toBeNull();
    answer('now');
    expect(await get('a')).toBe('now');
  });

  it('tells everybody who waits of a failure, and asks again afterwards', async () => {
    const { cache, get } = setUp();
    const failing = paused();
    const calls = [1, 2].map(() => cache.get({ name: 'a', tags: ['t'] }, failing.load));
    failing.fail(new Error('no connection'));
    expect((await Promise.allSettled(calls)).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(cache.tagCount).toBe(0);
    expect(await get('a')).toBe('first');
  });

  it('drops what a tag is on, and nothing else', async () => {
    const { cache, get, answer } = setUp();
    await Promise.all([get('a', ['user:1', 'tenant:1']), get('b', ['user:2', 'tenant:1']), get('c', ['user:1'])]);
    answer('again');
    cache.drop('user:1');
    expect(await Promise.all([get('a'), get('b'), get('c')])).toEqual(['again', 'first', 'again']);
  });

  it('SEC-45 never keeps what was being read when it was revoked, and lets nobody join that', async () => {
    const { cache, get, answer } = setUp();
    const slow = paused();
    const before = cache.get({ name: 'a', tags: ['user:1'] }, slow.load);
    cache.drop('user:1');
    answer('revoked');
    expect(await get('a', ['user:1'])).toBe('revoked');
    slow.answer('stale');
    expect(await before).toBe('stale');
    expect(await get('a', ['user:1'])).toBe('revoked');
  });

  it('drops by tags that only the answer told, also while it is under way', async () => {
    const { cache } = setUp();
    const key = { name: 'a', tags: ['user:1'], later: 'role:' };
    const slow = paused();
    const before = cache.get(key, slow.load);
    cache.drop('role:7');
    slow.answer('stale');
    await before;
    const load = (value: string) => () => Promise.resolve({ value, forMs: Infinity, tags: ['role:7'] });
    expect(await cache.get(key, load('one'))).toBe('one');
    cache.drop('role:8');
    expect(await cache.get(key, load('two'))).toBe('one');
    cache.drop('role:7');
    expect(await cache.get(key, load('three'))).toBe('three');
  });

  it.each(['drop', 'clear'] as const)('keeps nothing of a load that was under way at a %s', async (how) => {
    const { cache, get, answer } = setUp();
    const slow = paused();
    const before = cache.get({ name: 'a', tags: ['user:1'] }, slow.load);
    if (how === 'drop') cache.drop('user:1');
    else cache.clear();
    slow.answer('stale');
    await before;
    answer('fresh');
    expect(await get('a', ['user:1'])).toBe('fresh');
  });

  it('joins no load that is older than the bound, and keeps nothing of that one', async () => {
    const { cache, get, answer, pass } = setUp();
    const hanging = paused();
    const first = cache.get({ name: 'a', tags: ['t'] }, hanging.load);
    pass(1_000);
    answer('newer');
    expect(await get('a', ['t'])).toBe('newer');
    hanging.answer('older');
    expect(await first).toBe('older');
    expect(await get('a', ['t'])).toBe('newer');
  });

  it('grows no further than it is allowed to, and remembers no tag of what it has let go', async () => {
    const { cache, get } = setUp(50);
    for (let index = 0; index < 1_000; index += 1) await get(`key-${index}`, [`user:${index}`, 'tenant:1']);
    expect(cache.size).toBe(50);
    expect(cache.tagCount).toBe(51);
    cache.drop('tenant:1');
    expect([cache.size, cache.tagCount]).toEqual([0, 0]);
  });

  it('remembers no tag of answers that were not kept', async () => {
    const { cache, get, answer } = setUp();
    answer(null);
    for (let index = 0; index < 100; index += 1) await get(`key-${index}`);
    expect([cache.size, cache.tagCount]).toEqual([0, 0]);
  });
});
