import type { Scene } from '../fault.js';
import { onServer } from '../fault.js';

interface Trap {
  readonly table: string;
  hasFired(): Promise<boolean>;
  remove(): Promise<void>;
}

/**
 * Lets the first write to one of the operation's tables fail at the server with `what` as its SQLSTATE, or sleep in it.
 * It fires after the rows are there, so that something has to be undone.
 */
export async function setTrap(scene: Scene, what: string): Promise<Trap> {
  const table = scene.random.pick(scene.operation.tables);
  scene.note(`at a write to ${table}`);
  return trap(
    scene,
    table,
    `create trigger fault after insert or update or delete on ${table} for each statement`,
    what,
  );
}

/** Lets the COMMIT fail at the server. */
export function setTrapAtCommit(scene: Scene, what: string): Promise<Trap> {
  const [table, events] = ['app_mirrors', 'insert or update or delete'];
  const create = `create constraint trigger fault after ${events} on ${table} deferrable initially deferred for each row`;
  return trap(scene, table, create, what);
}

async function trap({ stage }: Scene, table: string, create: string, what: string): Promise<Trap> {
  await onServer(stage, `alter sequence fault_shots restart; ${create} execute function fault_fire('${what}')`);
  return {
    table,
    hasFired: async () => (await onServer(stage, 'select is_called from fault_shots'))[0]?.['is_called'] === true,
    remove: async () => {
      await onServer(stage, `drop trigger fault on ${table}`);
    },
  };
}
