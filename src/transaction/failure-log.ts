import { factsOf } from '../errors/error-facts.js';
import { hostLineOf } from './host-stack.js';
import type { NestAuthObserver, TransactionEnd } from './transaction-observer.js';

/** What is logged of a failed transaction. Never a parameter, never a value of a row, never the words of a host's error. */
export interface TransactionFailure {
  readonly event: 'nest_auth.transaction.failed';
  /** Who opened it: `runInTransaction`, `dataSource.transaction`, or one `operation` of a service. */
  readonly opener: TransactionEnd['attempt']['opener'];
  /** The public method; known where telemetry is on. */
  readonly method: string | null;
  /** The id at the server, when a statement of ours could report it. */
  readonly transactionId: string | null;
  /** `rolled-back`, `unknown` after a COMMIT without an answer, `none` when it never began. */
  readonly outcome: TransactionEnd['attempt']['outcome'];
  /** From the first BEGIN, pauses before retries included. */
  readonly durationMs: number;
  /** Of all attempts, BEGIN and ROLLBACK included. */
  readonly statements: number;
  /** How often it was run. */
  readonly attempts: number;
  /** Code of a `NestAuthError`; null for errors of the host. */
  readonly code: string | null;
  readonly sqlState: string | null;
  readonly constraint: string | null;
  /** What the first cause says, where that holds no values; else its name. */
  readonly cause: string;
  /** The line of the host's code that the error came from, when its stack tells. */
  readonly at: string | null;
}

/** `refusal`: an answer for the caller, such as a taken email. `failure`: an error of the host. `fault`: anything else. */
export type FailureKind = 'refusal' | 'failure' | 'fault';

/** Hands one line to `write` for every transaction that has failed for good: the outermost one, after its last retry. */
export function failureLog(
  write: (kind: FailureKind, line: TransactionFailure) => void,
  method: () => string | undefined,
): NestAuthObserver {
  return {
    ended(end) {
      if (end.failed) write(...lineOf(end, method() ?? null));
    },
  };
}

function lineOf(
  { attempt, durationMs, statements, error }: TransactionEnd,
  method: string | null,
): [FailureKind, TransactionFailure] {
  const { isRefusal, code, sqlState, constraint, cause } = factsOf(error);
  const kind = isRefusal ? 'refusal' : code === null && sqlState === null ? 'failure' : 'fault';
  const line: TransactionFailure = {
    event: 'nest_auth.transaction.failed',
    opener: attempt.opener,
    method,
    transactionId: attempt.transactionId ?? null,
    outcome: attempt.outcome,
    durationMs: Math.round(durationMs * 10) / 10,
    statements,
    attempts: attempt.attempt,
    code,
    sqlState,
    constraint,
    cause,
    at: hostLineOf(error) ?? null,
  };
  return [kind, line];
}
