import { describe, expect, it, jest } from '@jest/globals';

import { SerialLock } from '../../../src/transaction/serial-lock.js';

function job<T = void>() {
  let finish!: (value: T) => void;
  let fail!: (error: Error) => void;
  const promise = new Promise<T>((resolve, reject) => {
    finish = resolve;
    fail = reject;
  });
  return { promise, finish, fail };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('the lock', () => {
  it('lets one in at a time, in the order of arrival', async () => {
    const lock = new SerialLock();
    const log: string[] = [];
    const jobs = [job(), job(), job()];
    const runs = jobs.map(({ promise }, n) =>
      lock.run(async () => {
        log.push(`in ${n}`);
        await promise;
        log.push(`out ${n}`);
      }, 1_000),
    );
    // Finished in the opposite order: it is the order of arrival that counts.
    for (const { finish } of jobs.toReversed()) finish();
    await Promise.all(runs);
    expect(log).toEqual(['in 0', 'out 0', 'in 1', 'out 1', 'in 2', 'out 2']);
  });

  it('gives back what its holder gives, and goes on after one that failed or threw at once', async () => {
    const lock = new SerialLock();
    const first = lock.run(() => Promise.reject(new Error('first')), 1_000);
    const second = lock.run(() => {
      throw new Error('second');
    }, 1_000);
    const third = lock.run(async () => 3, 1_000);
    await expect(first).rejects.toThrow('first');
    await expect(second).rejects.toThrow('second');
    await expect(third).resolves.toBe(3);
  });

  it('refuses by TRANSACTION_BUSY who waits too long, whose successors still do not overtake the holder', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate'] });
    try {
      const lock = new SerialLock();
      const log: string[] = [];
      const holder = job();
      const held = lock.run(async () => {
        await holder.promise;
        log.push('holder');
      }, 10);
      const impatient = lock.run(async () => void log.push('impatient'), 10);
      const patient = lock.run(async () => void log.push('patient'), 1_000);
      const refusal = impatient.catch((error: unknown) => error);
      await jest.advanceTimersByTimeAsync(11);
      expect(await refusal).toMatchObject({ code: 'TRANSACTION_BUSY' });
      await turn();
      expect(log).toEqual([]);
      holder.finish();
      await Promise.all([held, patient]);
      expect(log).toEqual(['holder', 'patient']);
    } finally {
      jest.useRealTimers();
    }
  });

  it('keeps no timer for who has got in', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate'] });
    try {
      const lock = new SerialLock();
      await lock.run(async () => undefined, 1_000);
      expect(jest.getTimerCount()).toBe(0);
    } finally {
      jest.useRealTimers();
    }
  });
});
