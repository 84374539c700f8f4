import type { DataSource, EntityManager, QueryRunner } from 'typeorm';
import { NestAuthError } from '../errors/nest-auth.error.js';
import type { TransactionHost } from './transaction-host.js';
import { WireTransaction } from './wire-transaction.js';

/** Everything is kept by DataSource or by runner: two applications in one process share nothing. */
const hosts = new WeakMap<DataSource, TransactionHost>();

/** On the runner and not in a WeakMap: there is a runner a call, and each dead entry costs the garbage collector dear. */
const WIRE = Symbol('NestAuthWire');

/** TypeORM 0.3 calls it `connection`; 1.x renamed it. The one place that knows. */
export function dataSourceOf(owner: EntityManager | QueryRunner): DataSource {
  const { dataSource, connection } = owner as unknown as { dataSource?: DataSource; connection?: DataSource };
  return (dataSource ?? connection) as DataSource;
}

export function registerHost(dataSource: DataSource, host: TransactionHost): void {
  hosts.set(dataSource, host);
}

export function findHost(dataSource: DataSource): TransactionHost | undefined {
  return hosts.get(dataSource);
}

/** The transaction host of the manager's DataSource; throws when the module does not serve that DataSource. */
export function hostOf(manager: EntityManager): TransactionHost {
  const host = hosts.get(dataSourceOf(manager));
  if (host === undefined) {
    throw new NestAuthError(
      'AMBIGUOUS_DATA_SOURCE',
      'The manager belongs to a DataSource that NestAuthModule does not serve; pass one of the DataSource it was given',
    );
  }
  return host;
}

/** What the wire says about the runner's connection. */
export function wireOf(runner: QueryRunner & { [WIRE]?: WireTransaction }): WireTransaction {
  return (runner[WIRE] ??= new WireTransaction(runner));
}

/** Whether statements on this manager are part of an open transaction. */
export function isInTransaction(manager: EntityManager): boolean {
  return manager.queryRunner !== undefined && wireOf(manager.queryRunner).isOpen;
}

/** Whether nothing can be sent on this manager any more: its connection is lost, or its transaction is over. */
export function isSpent(manager: EntityManager): boolean {
  if (manager.queryRunner === undefined) return false;
  const { lost, isOver } = wireOf(manager.queryRunner);
  return lost !== undefined || isOver;
}

/** Remembers the transaction's id, by which a lost COMMIT can be resolved. */
export function noteTransactionId(manager: EntityManager, id: string | null): void {
  if (id !== null && isInTransaction(manager) && manager.queryRunner !== undefined) {
    wireOf(manager.queryRunner).transactionId = id;
  }
}
