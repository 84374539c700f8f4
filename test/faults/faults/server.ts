import { Client } from 'pg';

import { type Armed, type Fault, onServer, type Scene, until } from '../fault.js';
import { setTrap, setTrapAtCommit } from './trigger.js';

/** The server refuses a write with this SQLSTATE. */
function refused(sqlState: string, rejects: string, cured: { curedByRetry?: true } = {}): Omit<Fault, 'id' | 'name'> {
  return {
    arm: async (scene) => {
      const trap = await setTrap(scene, sqlState);
      return { hasHappened: trap.hasFired, disarm: trap.remove };
    },
    ending: { rejects, sqlState, kept: 'nothing' },
    ...cured,
  };
}

/** Another session that holds something, or changes something, while the operation runs. */
async function withPartner(scene: Scene, setUp: readonly string[]): Promise<Client> {
  const partner = new Client({ connectionString: scene.stage.url });
  await partner.connect();
  for (const text of setUp) await partner.query(text);
  return partner;
}

/** The operation and the partner take two rows in opposite order; the operation is the one that notices. */
async function deadlock(scene: Scene): Promise<Armed> {
  const take = (id: number): string => `update fault_ledger set amount = amount + 1 where id = ${id}`;
  const partner = await withPartner(scene, ['begin', `set local deadlock_timeout = '1h'`, take(2)]);
  let crossed: Promise<unknown> | undefined;
  return {
    hooks: {
      between: async (manager) => {
        if (crossed !== undefined) return;
        await manager.query(`set local deadlock_timeout = '10ms'`);
        await manager.query(take(1));
        crossed = partner.query(take(1)).then(() => partner.query('commit'));
        await until(async () => (await waiting(scene)) > 0);
        await manager.query(take(2));
      },
    },
    hasHappened: () => crossed !== undefined,
    disarm: async () => {
      await crossed;
      await partner.end();
    },
  };
}

async function waiting(scene: Scene): Promise<number> {
  const rows = await onServer(
    scene.stage,
    `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
  );
  return rows.length;
}

/** A row that the operation has read is changed by somebody else before the operation changes it. */
async function changedMeanwhile(scene: Scene): Promise<Armed> {
  let happened = false;
  return {
    options: { isolation: 'REPEATABLE READ' },
    hooks: {
      first: (manager) => manager.query('select amount from fault_ledger where id = 1'),
      between: async (manager) => {
        if (!happened) await onServer(scene.stage, 'update fault_ledger set amount = amount + 1 where id = 1');
        happened = true;
        await manager.query('update fault_ledger set amount = amount + 1 where id = 1');
      },
    },
    hasHappened: () => happened,
  };
}

/** Two transactions each read what the other writes: PostgreSQL notices when the second one commits. */
async function writeSkew(scene: Scene): Promise<Armed> {
  const sum = 'select sum(amount) from fault_ledger';
  let happened = false;
  return {
    options: { isolation: 'SERIALIZABLE' },
    hooks: {
      last: async (manager) => {
        await manager.query(sum);
        await manager.query('update fault_ledger set amount = amount + 1 where id = 1');
        if (happened) return;
        happened = true;
        const partner = await withPartner(scene, ['begin isolation level serializable', sum]);
        await partner.query('update fault_ledger set amount = amount + 1 where id = 2');
        await partner.query('commit');
        await partner.end();
      },
    },
    hasHappened: () => happened,
  };
}

async function lockedTable(scene: Scene): Promise<Armed> {
  const table = scene.random.pick(scene.operation.tables);
  scene.note(`${table} is locked`);
  const partner = await withPartner(scene, ['begin', `lock table ${table} in share mode`]);
  return {
    options: { lockTimeoutMs: 50 },
    hasHappened: () => true,
    disarm: () => partner.end(),
  };
}

async function statementTimeout(scene: Scene): Promise<Armed> {
  const trap = await setTrap(scene, 'sleep');
  return {
    hooks: { first: (manager) => manager.query('set local statement_timeout = 200') },
    hasHappened: trap.hasFired,
    disarm: trap.remove,
  };
}

/** As after a failover: the connection that is lent next leads to a server that takes no writes any more. */
async function readOnlyServer({ stage }: Scene): Promise<Armed> {
  const runner = stage.dataSource.createQueryRunner();
  await runner.query('set default_transaction_read_only = on');
  await runner.release();
  // Nobody takes it back: the connection must not be lent again.
  return { hasHappened: () => true };
}

export const serverFaults: readonly Fault[] = [
  {
    id: 'F07',
    name: 'a deadlock of which the operation is the victim',
    arm: deadlock,
    ending: { rejects: '40P01', kept: 'nothing' },
    curedByRetry: true,
  },
  {
    id: 'F07',
    name: 'a write is refused as the victim of a deadlock (40P01)',
    ...refused('40P01', 'TRANSACTION_CONFLICT', { curedByRetry: true }),
  },
  {
    id: 'F08',
    name: 'a serialization failure at a statement: the row was changed meanwhile',
    arm: changedMeanwhile,
    ending: { rejects: '40001', kept: 'nothing' },
    curedByRetry: true,
  },
  {
    id: 'F08',
    name: 'a serialization failure at COMMIT: write skew',
    arm: writeSkew,
    ending: { rejects: '40001', kept: 'nothing' },
    curedByRetry: true,
  },
  {
    id: 'F08',
    name: 'COMMIT is refused (40001)',
    arm: async (scene) => {
      const trap = await setTrapAtCommit(scene, '40001');
      return { hasHappened: trap.hasFired, disarm: trap.remove };
    },
    ending: { rejects: '40001', kept: 'nothing' },
    curedByRetry: true,
  },
  {
    id: 'F10',
    name: 'a lock is not granted within lockTimeoutMs',
    arm: lockedTable,
    ending: { rejects: 'LOCK_TIMEOUT', sqlState: '55P03', kept: 'nothing' },
  },
  {
    id: 'F10',
    name: 'statement_timeout stops a statement',
    arm: statementTimeout,
    ending: { rejects: 'STATEMENT_TIMEOUT', sqlState: '57014', kept: 'nothing' },
  },
  {
    id: 'F26',
    name: 'the server takes no writes any more (25006)',
    arm: readOnlyServer,
    ending: { rejects: 'DATABASE_ERROR', sqlState: '25006', kept: 'nothing' },
  },
  { id: 'F29', name: 'a write finds the disk full (53100)', ...refused('53100', 'DATABASE_ERROR') },
  { id: 'F29', name: 'a write finds no memory (53200)', ...refused('53200', 'DATABASE_ERROR') },
  { id: 'F29', name: 'a write meets an input/output error (58030)', ...refused('58030', 'DATABASE_ERROR') },
  { id: 'F29', name: 'a write meets an internal error of the server (XX000)', ...refused('XX000', 'DATABASE_ERROR') },
];
