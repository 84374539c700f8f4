import type { EntityManager } from 'typeorm';
import { recordStatements } from '../../support/wire.js';
import type { Portal } from '../portal.js';
import type { Operation, Side } from './side.js';

/** What one call of ours makes the server do. */
export interface Reads {
  /** BEGIN and COMMIT included. */
  readonly statements: number;
  /** Entries of indexes and rows of tables that its scans have returned, foreign keys included. */
  readonly rows: number;
  /** Tables of more than a megabyte that were read from end to end; of a small one that is right. */
  readonly wholeTables: readonly string[];
}

const LARGE_BYTES = 1_000_000;

interface Counted {
  readonly name: string;
  readonly kind: 'r' | 'i';
  readonly bytes: string;
  readonly scans: string;
  readonly rows: string;
}

/** The server's own counters, which inside a transaction have what it has done so far. */
const COUNTERS = `select c.relname as name, c.relkind as kind, pg_relation_size(c.oid) as bytes,
    pg_stat_get_xact_numscans(c.oid) as scans, pg_stat_get_xact_tuples_returned(c.oid) as rows
  from pg_class c where c.relkind in ('r', 'i') and (c.relname like 'nest\\_auth\\_%' or c.relname like 'app\\_users%')`;

class RolledBack extends Error {}

/** Counts the statements of one call as it is, and what another one reads in a transaction that is rolled back. */
export async function readsOf({ portal }: Side, { ours, prepare }: Operation): Promise<Reads> {
  await prepare?.();
  const { statements } = await recordStatements(ours);
  let reads: Omit<Reads, 'statements'> = { rows: 0, wholeTables: [] };
  await rolledBack(portal, async (manager) => {
    const before = await countersOf(manager);
    await ours();
    reads = difference(before, await countersOf(manager));
  });
  return { statements: statements.length, ...reads };
}

async function rolledBack(portal: Portal, fn: (manager: EntityManager) => Promise<void>): Promise<void> {
  try {
    await portal.users.runInTransaction(async (manager) => {
      await fn(manager);
      throw new RolledBack();
    });
  } catch (error) {
    if (!(error instanceof RolledBack)) throw error;
  }
}

async function countersOf(manager: EntityManager): Promise<ReadonlyMap<string, Counted>> {
  const rows = await manager.query<Counted[]>(COUNTERS);
  return new Map(rows.map((row) => [row.name, row]));
}

function difference(
  before: ReadonlyMap<string, Counted>,
  after: ReadonlyMap<string, Counted>,
): Omit<Reads, 'statements'> {
  const changes = [...after.values()].map(({ name, kind, bytes, scans, rows }) => ({
    name,
    isLarge: kind === 'r' && Number(bytes) > LARGE_BYTES,
    scans: Number(scans) - Number(before.get(name)?.scans ?? 0),
    rows: Number(rows) - Number(before.get(name)?.rows ?? 0),
  }));
  return {
    rows: changes.reduce((sum, { rows }) => sum + rows, 0),
    wholeTables: changes.filter(({ isLarge, scans }) => isLarge && scans > 0).map(({ name }) => name),
  };
}
