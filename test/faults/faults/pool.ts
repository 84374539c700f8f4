import type { Armed, Fault, Scene } from '../fault.js';

/** Somebody else has the only connection. */
async function exhausted({ stage }: Scene): Promise<Armed> {
  const holder = stage.dataSource.createQueryRunner();
  await holder.connect();
  return { hasHappened: () => true, disarm: () => holder.release() };
}

/** Each waits for its turn on the one connection, also while the operation holds it. */
async function crowded({ stage }: Scene): Promise<Armed> {
  let finished = 0;
  return {
    around: async (run) => {
      const crowd = Array.from({ length: 8 }, () => stage.users.runInTransaction(async () => (finished += 1)));
      await Promise.all([run(), ...crowd]);
    },
    hasHappened: () => finished === 8,
  };
}

export const poolFaults: readonly Fault[] = [
  {
    id: 'F11',
    name: 'the pool has no connection to give',
    on: 'pool of one',
    arm: exhausted,
    ending: { rejects: 'CONNECTION_UNAVAILABLE', kept: 'nothing' },
  },
  {
    id: 'F11',
    name: 'nine transactions at once on a pool of one all succeed',
    on: 'pool of one, patient',
    arm: crowded,
    ending: { resolves: true },
  },
];
