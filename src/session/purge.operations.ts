import type { EntityManager } from 'typeorm';
import { InputIssues } from '../errors/input.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import type { LockoutSettings } from './lockout.settings.js';
import {
  deleteEndedSessions,
  deleteOldFailures,
  deleteOldRateLimits,
  deleteUsedTokens,
  endOfWindow,
} from './purge.queries.js';
import type { SessionSettings } from './session.settings.js';
import type { PurgeEndedOptions, PurgeEndedResult } from './session.types.js';

/** Sessions of a window: each may have hundreds of used tokens a day. */
const WINDOW = 500;
const MAX_WINDOW = 10_000;

/**
 * How long a used token is still known for one. If it comes again in that time it is a copy, and ends its session;
 * later it is only refused.
 */
const USED_TOKEN_DAYS = 7;

const LAST_USER = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

/** Takes away what nobody needs any more, a window a statement: what is gone is not there again after a kill. */
export class PurgeOperations {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly sessions: SessionSettings,
    private readonly lockout: LockoutSettings,
  ) {}

  async run(options: PurgeEndedOptions, manager: EntityManager | undefined): Promise<PurgeEndedResult> {
    checkOptions(options);
    const { chunkSize = WINDOW, signal, onProgress } = options;
    const pinned = this.transactions.pin(manager);
    const counts = { sessions: 0, tokens: 0, counters: 0 };
    const isStopped = (): boolean => signal?.aborted === true;
    for (let after: string | undefined = NIL_UUID; after !== undefined && !isStopped();) {
      after = await this.#window(pinned, after, chunkSize, counts);
      onProgress?.({ ...counts });
    }
    for (let gone = chunkSize; gone >= chunkSize && !isStopped();) {
      gone = await this.#counters(pinned, chunkSize);
      counts.counters += gone;
      onProgress?.({ ...counts });
    }
    return { ...counts, isComplete: !isStopped() };
  }

  /** Answers where the next window begins. */
  async #window(
    manager: EntityManager | undefined,
    after: string,
    size: number,
    counts: { sessions: number; tokens: number },
  ): Promise<string | undefined> {
    const end = await this.transactions.operate(manager, (m) => endOfWindow(m, after, size));
    const range = { after, to: end ?? LAST_USER };
    const { keepEndedDays } = this.sessions;
    counts.sessions += await this.transactions.operate(manager, (m) => deleteEndedSessions(m, range, keepEndedDays));
    counts.tokens += await this.transactions.operate(manager, (m) => deleteUsedTokens(m, range, USED_TOKEN_DAYS));
    return end;
  }

  /** As many as the chunk, or more, when there may be further ones. */
  async #counters(manager: EntityManager | undefined, size: number): Promise<number> {
    const { windowSeconds } = this.lockout;
    const failures = await this.transactions.operate(manager, (m) => deleteOldFailures(m, windowSeconds, size));
    return failures + (await this.transactions.operate(manager, (m) => deleteOldRateLimits(m, size)));
  }
}

function checkOptions(options: PurgeEndedOptions): void {
  const issues = new InputIssues();
  issues.fields(options, ['chunkSize', 'signal', 'onProgress']);
  const { chunkSize = WINDOW } = options;
  if (!Number.isInteger(chunkSize) || chunkSize < 1 || chunkSize > MAX_WINDOW)
    issues.add('chunkSize', `must be a whole number, 1 to ${MAX_WINDOW}`);
  issues.refuse('The ended sessions cannot be taken away');
}
