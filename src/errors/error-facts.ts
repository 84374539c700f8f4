import { NEST_AUTH_ERRORS, NestAuthError } from './nest-auth.error.js';
import { driverErrorOf, sqlStateOf } from './postgres-errors.js';

/** What may be said of an error in a log or a trace: never a parameter, never a value of a row, never a host's words. */
export interface ErrorFacts {
  /** Our code, else PostgreSQL's, else the name of the class. Few in number, so that it can be counted by. */
  readonly type: string;
  /** Our code, when the error is ours. */
  readonly code: string | null;
  readonly sqlState: string | null;
  /** Name of the constraint or index that was broken. */
  readonly constraint: string | null;
  /** What the error at the bottom says. */
  readonly cause: string;
  /** An answer for the caller, as `EMAIL_ALREADY_EXISTS` is, and no fault of anything. */
  readonly isRefusal: boolean;
}

/** Far deeper than anything wraps; a chain that bites its tail must end, too. */
const DEEPEST = 10;

/**
 * Classes of SQLSTATE whose messages name objects of the schema at most. Those of others quote what was sent: 22P02 the
 * text that is no number, 42601 the place in the statement.
 */
const NAMES_ONLY = new Set(['08', '23', '25', '40', '53', '55', '57']);

/** Where PL/pgSQL's RAISE comes from: whoever wrote it chose the words, whatever the SQLSTATE. */
const RAISED = 'exec_stmt_raise';

/** The facts of whatever was thrown. */
export function factsOf(error: unknown): ErrorFacts {
  const chain = chainOf(error);
  const ours: NestAuthError | undefined = error instanceof NestAuthError ? error : undefined;
  const sqlState = firstOf(chain, sqlStateOf);
  const type = ours?.code ?? sqlStateOf(error) ?? nameOf(error);
  return {
    type,
    code: ours?.code ?? null,
    sqlState: sqlState ?? null,
    constraint: firstOf(chain, constraintOf) ?? null,
    cause: firstOf(chain.toReversed(), wordsOf) ?? nameOf(chain.at(-1)),
    isRefusal: ours !== undefined && NEST_AUTH_ERRORS[ours.code].status < 500,
  };
}

/** The error, what it was caused by, and so on; TypeORM's wrapper, whose message may hold anything, is taken off. */
function chainOf(error: unknown): unknown[] {
  const chain: unknown[] = [];
  let next: unknown = error;
  while (next !== undefined && next !== null && chain.length < DEEPEST) {
    const bare: unknown = driverErrorOf(next) ?? next;
    chain.push(bare);
    next = (bare as { cause?: unknown }).cause;
  }
  return chain;
}

function firstOf<T>(chain: readonly unknown[], read: (error: unknown) => T | undefined): T | undefined {
  for (const error of chain) {
    const found = read(error);
    if (found !== undefined) return found;
  }
  return undefined;
}

function constraintOf(error: unknown): string | undefined {
  if (error instanceof NestAuthError) return error.details.constraint;
  const constraint: unknown = (error as { constraint?: unknown }).constraint;
  return sqlStateOf(error) !== undefined && typeof constraint === 'string' ? constraint : undefined;
}

/** What an error says, where that is known to hold no values. */
function wordsOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error instanceof NestAuthError) return error.message;
  const sqlState = sqlStateOf(error);
  if (sqlState !== undefined) {
    const { routine } = error as { routine?: unknown };
    return NAMES_ONLY.has(sqlState.slice(0, 2)) && routine !== RAISED
      ? error.message
      : `PostgreSQL answered ${sqlState}`;
  }
  const { code } = error as { code?: unknown };
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,60}$/.test(code) ? `${nameOf(error)} (${code})` : undefined;
}

function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  return /^[A-Za-z_$][\w$]{0,80}$/.test(error.name) ? error.name : 'Error';
}
