import type { Attributes, Meter } from '@opentelemetry/api';
import { factsOf } from '../errors/error-facts.js';
import type { ObservedSource, TransactionAttempt, TransactionEnd } from '../transaction/transaction-observer.js';

/** Bounds of the buckets in seconds, as the semantic conventions advise for databases. */
const SECONDS = { unit: 's', advice: { explicitBucketBoundaries: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10] } };

/** The metrics of the package. Nothing in their attributes grows with users, tenants or requests. */
export class Instruments {
  readonly #calls;
  readonly #transactions;
  readonly #outcomes;
  readonly #retries;
  readonly #afterCommit;
  readonly #waits;

  constructor(private readonly meter: Meter) {
    this.#calls = meter.createHistogram('nest_auth.call.duration', {
      ...SECONDS,
      description: 'Duration of calls of public methods',
    });
    this.#transactions = meter.createHistogram('nest_auth.transaction.duration', {
      ...SECONDS,
      description: 'Duration of transactions, each attempt by itself',
    });
    this.#outcomes = meter.createCounter('nest_auth.transaction.outcomes', {
      unit: '{transaction}',
      description: 'Transactions that are over, with all their retries',
    });
    this.#retries = meter.createCounter('nest_auth.transaction.retries', {
      unit: '{retry}',
      description: 'Attempts that failed and were followed by another',
    });
    this.#afterCommit = meter.createCounter('nest_auth.after_commit.failures', {
      unit: '{failure}',
      description: 'Listeners and callbacks that failed after COMMIT',
    });
    this.#waits = meter.createHistogram('db.client.connection.wait_time', {
      ...SECONDS,
      description: 'The time it took to obtain an open connection from the pool',
    });
  }

  call(method: string, startedAt: number, failure: Attributes): void {
    this.#calls.record(secondsSince(startedAt), { 'code.function.name': method, ...failure });
  }

  attempt({ opener, outcome }: TransactionAttempt, startedAt: number, failure: Attributes): void {
    this.#transactions.record(secondsSince(startedAt), {
      'nest_auth.transaction.opener': opener,
      'nest_auth.transaction.outcome': outcome,
      ...failure,
    });
  }

  ended({ attempt, failed, error }: TransactionEnd): void {
    this.#outcomes.add(1, {
      'nest_auth.transaction.opener': attempt.opener,
      'nest_auth.transaction.outcome': attempt.outcome,
      ...(failed ? { 'error.type': factsOf(error).type } : {}),
    });
  }

  retrying(error: unknown): void {
    this.#retries.add(1, { 'error.type': factsOf(error).type });
  }

  afterCommitFailed(error: unknown): void {
    this.#afterCommit.add(1, { 'error.type': factsOf(error).type });
  }

  connected(waitedMs: number): void {
    this.#waits.record(waitedMs / 1_000);
  }

  /** Reads the pool whenever metrics are collected, until the returned function is called. */
  observePool({ database, pool }: ObservedSource): () => void {
    const connections = { unit: '{connection}' };
    const count = this.meter.createObservableUpDownCounter('db.client.connection.count', connections);
    const max = this.meter.createObservableUpDownCounter('db.client.connection.max', connections);
    const pending = this.meter.createObservableUpDownCounter('db.client.connection.pending_requests', {
      unit: '{request}',
    });
    const name = { 'db.client.connection.pool.name': database };
    const read: Parameters<Meter['addBatchObservableCallback']>[0] = (result) => {
      const state = pool();
      result.observe(count, state.total - state.idle, { ...name, 'db.client.connection.state': 'used' });
      result.observe(count, state.idle, { ...name, 'db.client.connection.state': 'idle' });
      result.observe(max, state.max, name);
      result.observe(pending, state.waiting, name);
    };
    const observables = [count, max, pending];
    this.meter.addBatchObservableCallback(read, observables);
    return () => this.meter.removeBatchObservableCallback(read, observables);
  }
}

function secondsSince(startedAt: number): number {
  return (performance.now() - startedAt) / 1_000;
}
