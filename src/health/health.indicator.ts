import { Injectable } from '@nestjs/common';
import { type HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';
import { NestAuthMigrations, NestAuthRlsMigrations } from '../../migrations/index.js';
import { factsOf } from '../errors/error-facts.js';
import type { HealthReading, HealthSource } from '../transaction/health-sources.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { readPendingMigrations } from './migration-state.queries.js';
import { LATE, SingleFlight, within } from './single-flight.js';

/** A migration as it stands in a list of migrations. */
export type MigrationClass = new () => { readonly name?: string };

export interface NestAuthHealthOptions {
  /** How long somebody may have been waiting for a connection, in milliseconds. @default 1000 */
  readonly maxPoolWaitMs?: number;
  /** How long the whole check may take, in milliseconds. What has not answered by then is not healthy. @default 2000 */
  readonly timeoutMs?: number;
  /**
   * The migrations that must have run; `false` leaves the check out, for a role that may not read their table.
   * @default `NestAuthMigrations`, with `NestAuthRlsMigrations` where `rls` is on
   */
  readonly migrations?: readonly MigrationClass[] | false;
}

/**
 * Whether the package can do its work: a connection is to be had, the tables are those it needs, and every source that
 * was registered is well. For `HealthCheckService` of `@nestjs/terminus`.
 *
 * The answer holds numbers and names of migrations; of an error it tells the code.
 */
@Injectable()
export class NestAuthHealthIndicator {
  readonly #flights = new SingleFlight();

  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly transactions: TransactionHost,
  ) {
    transactions.watchPool();
  }

  /** Adds something of the application's own to the answer. The returned function takes it away again. */
  register(source: HealthSource): () => void {
    return this.transactions.health.register(source);
  }

  /**
   * Reads everything once. Never rejects.
   *
   * Transaction: none; one statement on a connection of its own, which waits in the pool as any other would. While one
   * check is under way, further ones share its statement.
   */
  async check<const Key extends string>(
    key: Key,
    options: NestAuthHealthOptions = {},
  ): Promise<HealthIndicatorResult<Key>> {
    const { maxPoolWaitMs = 1_000, timeoutMs = 2_000 } = options;
    const deadline = performance.now() + timeoutMs;
    const names = this.#namesOf(options.migrations);
    const [migrations, ...readings] = await Promise.all([
      this.#migrations(names, maxPoolWaitMs, timeoutMs),
      ...this.transactions.health.all().map((source) => this.#read(source, deadline)),
    ]);
    const state = this.transactions.poolState();
    const pool = { healthy: state.oldestWaitMs <= maxPoolWaitMs, ...state };
    const facts = { pool, migrations, ...Object.fromEntries(readings) };
    const session = this.indicators.check(key);
    return Object.values(facts).every(({ healthy }) => healthy) ? session.up(facts) : session.down(facts);
  }

  #namesOf(given: NestAuthHealthOptions['migrations']): string[] {
    if (given === false) return [];
    const ours = this.transactions.hidesRows ? [...NestAuthMigrations, ...NestAuthRlsMigrations] : NestAuthMigrations;
    return (given ?? ours).map((migration) => new migration().name ?? migration.name);
  }

  async #migrations(names: readonly string[], maxPoolWaitMs: number, timeoutMs: number): Promise<HealthReading> {
    const pending = this.#flights.run(`migrations ${names.join(' ')}`, () =>
      readPendingMigrations(this.transactions, names),
    );
    try {
      const answer = await this.#unlessStuck(pending, maxPoolWaitMs, timeoutMs);
      if (answer === LATE) return { healthy: false, error: 'TIMEOUT' };
      return { healthy: answer.length === 0, pending: answer };
    } catch (error) {
      return { healthy: false, error: factsOf(error).type };
    }
  }

  /** Waits for the answer while a connection may still be had in time: a pool that keeps all waiting is the answer. */
  async #unlessStuck<T>(pending: Promise<T>, maxPoolWaitMs: number, timeoutMs: number): Promise<T | typeof LATE> {
    const deadline = performance.now() + timeoutMs;
    let patience = maxPoolWaitMs + 1;
    for (;;) {
      const left = deadline - performance.now();
      const answer = await within(Math.max(Math.min(left, patience), 0), pending);
      const { oldestWaitMs } = this.transactions.poolState();
      if (answer !== LATE || left <= 0 || oldestWaitMs > maxPoolWaitMs) return answer;
      // Whoever waits now has waited too long by then.
      patience = maxPoolWaitMs - oldestWaitMs + 1;
    }
  }

  async #read(source: HealthSource, deadline: number): Promise<[string, HealthReading]> {
    try {
      const reading = this.#flights.run(`source ${source.name}`, async () => source.read());
      const answer = await within(Math.max(deadline - performance.now(), 0), reading);
      return [
        source.name,
        answer === LATE ? { healthy: false, error: 'TIMEOUT' } : { ...answer, healthy: answer.healthy },
      ];
    } catch (error) {
      return [source.name, { healthy: false, error: factsOf(error).type }];
    }
  }
}
