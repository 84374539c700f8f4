import type { EntityManager } from 'typeorm';

import { isNestAuthError } from '../../../src/index.js';
import { freshEmail } from '../../support/nest-app.js';
import type { Armed, Fault, Scene } from '../fault.js';
import { AppMirror } from '../mirror.js';
import type { Hooks } from '../operations.js';

/** Mistakes and changes of mind of the host's own callback. */
function inCallback(make: (scene: Scene, happened: () => void) => Hooks): (scene: Scene) => Promise<Armed> {
  return async (scene) => {
    let hasHappened = false;
    const hooks = make(scene, () => (hasHappened = true));
    return { hooks, hasHappened: () => hasHappened };
  };
}

/** The host’s table refuses it. */
const fail = (manager: EntityManager): Promise<unknown> =>
  manager.query(`insert into app_mirrors select id, 'refused', '', id, 'active' from nest_auth_users limit 1`);

const another = ({ stage }: Scene, manager?: EntityManager): Promise<unknown> =>
  stage.users.createUser({ email: freshEmail() }, null, {}, manager);

class ChangedMind extends Error {
  readonly code = 'CHANGED_MIND';
}

export const callbackFaults: readonly Fault[] = [
  {
    id: 'F09',
    name: 'a taken email is caught inside the transaction, which goes on',
    arm: inCallback((scene, happened) => ({
      first: async (manager) => {
        const [taken] = await manager.query<{ email: string }[]>('select email from nest_auth_users limit 1');
        const error = await scene.stage.users
          .createUser({ email: taken?.email ?? '' }, null, {}, manager)
          .catch((caught: unknown) => caught);
        if (isNestAuthError(error, 'EMAIL_ALREADY_EXISTS')) happened();
      },
    })),
    ending: { resolves: true },
  },
  {
    id: 'F09',
    name: 'a refused statement of the host is swallowed',
    arm: inCallback((_, happened) => ({ last: (manager) => fail(manager).catch(happened) })),
    ending: { rejects: 'TRANSACTION_ABORTED', kept: 'nothing' },
  },
  {
    id: 'F12',
    name: 'a savepoint is rolled back and the rest goes on',
    arm: inCallback((scene, happened) => ({
      between: () =>
        scene.stage.users
          .runInTransaction(
            async (manager) => {
              await another(scene, manager);
              await fail(manager);
            },
            { nested: 'savepoint' },
          )
          .catch(happened),
    })),
    ending: { resolves: true },
  },
  {
    id: 'F13',
    name: 'a savepoint cannot be set, and both failures are swallowed',
    arm: inCallback((scene, happened) => ({
      last: async (manager) => {
        await fail(manager).catch(() => undefined);
        await scene.stage.users.runInTransaction(() => another(scene), { nested: 'savepoint' }).catch(happened);
      },
    })),
    ending: { rejects: 'TRANSACTION_ABORTED', kept: 'nothing' },
  },
  {
    id: 'F14',
    name: 'a call is not awaited',
    arm: inCallback((scene, happened) => ({
      last: async (manager) => {
        another(scene, manager).catch(() => undefined);
        happened();
      },
    })),
    ending: { rejects: 'TRANSACTION_BUSY', kept: 'nothing' },
  },
  {
    id: 'F14',
    name: 'the manager is used after its transaction, which refuses that and stands',
    arm: async (scene) => {
      const codes: unknown[] = [];
      let kept: EntityManager | undefined;
      return {
        hooks: { last: async (manager) => (kept = manager) },
        around: async (run) => {
          await run();
          const late = [
            () => kept?.insert(AppMirror, { authUserId: scene.subject.userId }),
            () => another(scene, kept),
            () => kept?.transaction((inner) => another(scene, inner)),
          ];
          for (const use of late) {
            // Some throw before there is a promise.
            const refused = await new Promise((resolve) => resolve(use())).catch((error: unknown) => error);
            codes.push((refused as { code?: unknown } | undefined)?.code);
          }
        },
        hasHappened: () => codes.length === 3 && codes.every((code) => code === 'TRANSACTION_ENDED'),
      };
    },
    ending: { resolves: true },
  },
  {
    id: 'F15',
    name: 'of Promise.all on one manager the first rejects while its siblings wait',
    arm: inCallback((scene, happened) => ({
      last: async (manager) => {
        happened();
        await Promise.all([fail(manager), another(scene, manager), another(scene), another(scene, manager)]);
      },
    })),
    ending: { rejects: '23514', kept: 'nothing' },
  },
  {
    id: 'F15',
    name: 'of Promise.all on one manager one is not awaited after another was refused by us',
    arm: inCallback((scene, happened) => ({
      last: async (manager) => {
        happened();
        const refused = scene.stage.users.createUser({ email: 'no email' }, null, {}, manager);
        await Promise.all([another(scene, manager), refused, another(scene)]);
      },
    })),
    ending: { rejects: 'VALIDATION_FAILED', kept: 'nothing' },
  },
  {
    id: 'F10',
    name: 'the callback hangs for longer than timeoutMs',
    arm: async () => {
      let letGo: (() => void) | undefined;
      return {
        options: { timeoutMs: 400 },
        hooks: { last: () => new Promise<void>((resolve) => (letGo = resolve)) },
        hasHappened: () => letGo !== undefined,
        disarm: async () => letGo?.(),
      };
    },
    ending: { rejects: 'TRANSACTION_TIMEOUT', kept: 'nothing' },
  },
  {
    id: 'F34',
    name: 'the caller throws after our calls have succeeded',
    arm: inCallback((_, happened) => ({
      last: async () => {
        happened();
        throw new ChangedMind();
      },
    })),
    ending: { rejects: 'CHANGED_MIND', kept: 'nothing' },
  },
  {
    id: 'F35',
    name: 'the caller commits later, and nothing is announced before',
    arm: inCallback(({ stage }, happened) => ({
      last: async () => {
        for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
        if (stage.events.length === 0) happened();
      },
    })),
    ending: { resolves: true },
  },
];
