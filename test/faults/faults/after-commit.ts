import type { TransactionCommitEvent } from 'typeorm';

import type { NestAuthEvent } from '../../../src/index.js';
import type { Armed, Fault, Scene } from '../fault.js';

/** Three listeners of every event of the operation, of which one behaves badly. */
function withListener(bad: () => unknown): (scene: Scene) => Promise<Armed> {
  return async ({ stage, operation, random }) => {
    const heard: string[][] = [[], []];
    let called = 0;
    const good = heard.map((names) => (event: NestAuthEvent) => void names.push(event.name));
    const listeners: ((event: NestAuthEvent) => unknown)[] = random.shuffle([
      ...good,
      () => {
        called += 1;
        return bad();
      },
    ]);
    const names = [...new Set(operation.events)];
    for (const name of names) for (const listener of listeners) stage.emitter.on(name, listener as () => void);
    return {
      // The others have heard everything, once and in order.
      hasHappened: () =>
        called === operation.events.length && heard.every((each) => each.join() === operation.events.join()),
      disarm: async () => {
        for (const name of names) for (const listener of listeners) stage.emitter.off(name, listener as () => void);
      },
    };
  };
}

async function withSubscriber({ stage }: Scene): Promise<Armed> {
  let called = false;
  const subscriber = {
    afterTransactionCommit({ queryRunner }: TransactionCommitEvent) {
      // TypeORM also says so when a savepoint is released, and there it is an error like any other.
      if (queryRunner.isTransactionActive) return;
      called = true;
      throw new Error('a subscriber of the host');
    },
  };
  const { subscribers } = stage.dataSource;
  subscribers.push(subscriber);
  return {
    hasHappened: () => called,
    disarm: async () => subscribers.splice(subscribers.indexOf(subscriber), 1),
  };
}

export const afterCommitFaults: readonly Fault[] = [
  {
    id: 'F19',
    name: 'a listener throws',
    arm: withListener(() => {
      throw new Error('a listener');
    }),
    ending: { resolves: true },
    needsAnnouncement: true,
  },
  {
    id: 'F19',
    name: 'a listener rejects later',
    arm: withListener(async () => {
      await new Promise((resolve) => setImmediate(resolve));
      throw new Error('a listener, later');
    }),
    ending: { resolves: true },
    needsAnnouncement: true,
  },
  {
    id: 'F19',
    name: 'a listener hangs',
    arm: withListener(() => new Promise(() => undefined)),
    ending: { resolves: true },
    needsAnnouncement: true,
  },
  {
    id: 'F20',
    name: 'a subscriber of the host throws after COMMIT',
    arm: withSubscriber,
    ending: { resolves: true },
  },
];
