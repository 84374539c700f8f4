import type { EntityManager } from 'typeorm';
import { assertUuid, InputIssues } from '../errors/input.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { decodeCursor, encodeCursor } from '../transaction/keyset.js';
import { execute, returnsRows, type Statement } from '../transaction/statement.js';
import { FIRST_POSITION, readFeed } from './feed.queries.js';
import type { FeedPosition, IdentityEvent } from './feed.types.js';
import { positionBefore, rewind } from './subscription.queries.js';

export interface FeedOptions {
  /** The `cursor` of the page before. */
  readonly after?: string;
  readonly limit?: number;
  /** Only events of these names. */
  readonly types?: readonly string[];
  /** Only events of this tenant. */
  readonly tenantId?: string;
}

export interface FeedPage {
  readonly events: readonly IdentityEvent[];
  /** Pass it as `after`, also when no event came: the next ones follow it. */
  readonly cursor: string;
}

export type ReplayStart = 'beginning' | Date | { readonly after: string };

export interface SubscriptionState {
  readonly subscriber: string;
  /** Pass it to `readEvents` to see what comes next. */
  readonly cursor: string;
  /** A process has the lease. */
  readonly isActive: boolean;
  /** Failed deliveries of the next event. */
  readonly attempts: number;
  readonly nextAttemptAt: Date | null;
  readonly lastError: string | null;
  readonly deliveredAt: Date | null;
  /** What it has given up on; not what it has set aside for a while. */
  readonly deadLetters: number;
}

export interface DeadLetterPage {
  readonly limit?: number;
  /** The `eventId` of the last one of the page before. */
  readonly afterEventId?: string;
}

export interface DeadLetter {
  readonly eventId: string;
  readonly type: string;
  readonly attempts: number;
  readonly error: string;
  readonly diedAt: Date;
  readonly retryRequested: boolean;
  /** When it is delivered once more by itself, because it was only set aside (`PostponedError`). */
  readonly retryAt: Date | null;
}

const CURSOR = 'feed';
const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;
const MAX_TYPES = 100;

/** The rules of reading the feed and of looking after subscribers. */
export class FeedOperations {
  async read(manager: EntityManager, options: FeedOptions): Promise<FeedPage> {
    const { after, limit = DEFAULT_LIMIT, types, tenantId } = options;
    const issues = new InputIssues();
    issues.fields(options, ['after', 'limit', 'types', 'tenantId']);
    checkLimit(issues, limit);
    if (types !== undefined) checkTypes(issues, types);
    if (tenantId !== undefined) issues.uuid('tenantId', tenantId);
    if (after !== undefined && typeof after !== 'string') issues.add('after', 'must be a cursor');
    issues.refuse('The feed cannot be read');
    const position = after === undefined ? FIRST_POSITION : readPosition(after);
    const slice = await readFeed(manager, position, { types: types ?? null, tenantId: tenantId ?? null }, limit);
    return { events: slice.events.map(({ event }) => event), cursor: encodeCursor(CURSOR, { ...slice.next }) };
  }

  async subscriptions(manager: EntityManager): Promise<SubscriptionState[]> {
    const rows = await execute(manager, SUBSCRIPTIONS);
    return rows.map((row) => ({
      subscriber: row.name,
      cursor: encodeCursor(CURSOR, { xid: row.xid, id: row.id }),
      isActive: row.is_active,
      attempts: row.attempts,
      nextAttemptAt: row.next_attempt_at,
      lastError: row.last_error,
      deliveredAt: row.delivered_at,
      deadLetters: row.dead_letters,
    }));
  }

  async replay(manager: EntityManager, subscriber: string, start: ReplayStart): Promise<void> {
    checkName(subscriber);
    const position = await startOf(manager, start);
    if (!(await rewind(manager, subscriber, position))) throw unknownSubscription(subscriber);
  }

  async deadLetters(manager: EntityManager, subscriber: string, page: DeadLetterPage): Promise<DeadLetter[]> {
    checkName(subscriber);
    const { limit = DEFAULT_LIMIT, afterEventId } = page;
    const issues = new InputIssues();
    issues.fields(page, ['limit', 'afterEventId']);
    checkLimit(issues, limit);
    if (afterEventId !== undefined) issues.uuid('afterEventId', afterEventId);
    issues.refuse('The dead letters cannot be read');
    const rows = await execute(manager, LETTERS, [subscriber, afterEventId ?? null, limit]);
    return rows.map((row) => ({
      eventId: row.activity_id,
      type: row.type,
      attempts: row.attempts,
      error: row.error,
      diedAt: row.died_at,
      retryRequested: row.retry_requested,
      retryAt: row.retry_at,
    }));
  }

  retry(manager: EntityManager, subscriber: string, eventId: string): Promise<void> {
    return this.#changeLetter(manager, RETRY, subscriber, eventId);
  }

  discard(manager: EntityManager, subscriber: string, eventId: string): Promise<void> {
    return this.#changeLetter(manager, DISCARD, subscriber, eventId);
  }

  async remove(manager: EntityManager, subscriber: string): Promise<void> {
    checkName(subscriber);
    const rows = await execute(manager, REMOVE, [subscriber]);
    if (rows.length === 0) throw unknownSubscription(subscriber);
  }

  async #changeLetter(
    manager: EntityManager,
    sql: Statement<{ activity_id: string }>,
    subscriber: string,
    eventId: string,
  ): Promise<void> {
    checkName(subscriber);
    assertUuid('eventId', eventId);
    const rows = await execute(manager, sql, [subscriber, eventId]);
    if (rows.length > 0) return;
    throw new NestAuthError('DEAD_LETTER_NOT_FOUND', 'The subscriber has no such dead letter; see getDeadLetters', {
      details: { ids: [eventId] },
    });
  }
}

const SUBSCRIPTIONS: Statement<{
  name: string;
  xid: string;
  id: string;
  is_active: boolean;
  attempts: number;
  next_attempt_at: Date | null;
  last_error: string | null;
  delivered_at: Date | null;
  dead_letters: number;
}> = {
  text: `select name, position_xid::text as xid, position_id as id, coalesce(lease_until > now(), false) as is_active, attempts,
      next_attempt_at, last_error, delivered_at,
      (select count(*)::integer from nest_auth_dead_letters where subscription = name and retry_at is null) as dead_letters
    from nest_auth_subscriptions order by name`,
};

const LETTERS: Statement<{
  activity_id: string;
  type: string;
  attempts: number;
  error: string;
  died_at: Date;
  retry_requested: boolean;
  retry_at: Date | null;
}> = {
  text: `select activity_id, type, attempts, error, died_at, retry_requested, retry_at from nest_auth_dead_letters
    where subscription = $1 and ($2::uuid is null or activity_id > $2) order by activity_id limit $3`,
};

const RETRY: Statement<{ activity_id: string }> = {
  text: `update nest_auth_dead_letters set retry_requested = true
    where subscription = $1 and activity_id = $2 returning activity_id`,
  changes: returnsRows,
};

const DISCARD: Statement<{ activity_id: string }> = {
  text: `delete from nest_auth_dead_letters where subscription = $1 and activity_id = $2 returning activity_id`,
  changes: returnsRows,
};

const REMOVE: Statement<{ name: string }> = {
  text: 'delete from nest_auth_subscriptions where name = $1 returning name',
  changes: returnsRows,
};

async function startOf(manager: EntityManager, start: ReplayStart): Promise<FeedPosition> {
  if (start === 'beginning') return FIRST_POSITION;
  if (start instanceof Date && !Number.isNaN(start.getTime())) return positionBefore(manager, start);
  if (typeof start === 'object' && 'after' in start && typeof start.after === 'string')
    return readPosition(start.after);
  const issues = new InputIssues();
  issues.add('start', "must be 'beginning', a valid Date, or { after: cursor }");
  return issues.refuse('The subscriber cannot be replayed') as never;
}

function readPosition(cursor: string): FeedPosition {
  const position = decodeCursor(CURSOR, cursor, { xid: 'text', id: 'uuid' });
  // Within a bigint of PostgreSQL.
  if (/^-?\d{1,18}$/.test(position.xid)) return position;
  const issues = new InputIssues();
  issues.add('after', 'is not a cursor of the feed');
  return issues.refuse('The feed cannot be read') as never;
}

function checkLimit(issues: InputIssues, limit: unknown): void {
  if (!Number.isInteger(limit) || (limit as number) < 1 || (limit as number) > MAX_LIMIT) {
    issues.add('limit', `must be a whole number, 1 to ${MAX_LIMIT}`);
  }
}

function checkTypes(issues: InputIssues, types: unknown): void {
  if (!Array.isArray(types) || types.length === 0 || types.length > MAX_TYPES) {
    return issues.add('types', `must be an array of 1 to ${MAX_TYPES} names of events`);
  }
  types.forEach((type, index) => issues.text(`types[${index}]`, type, { max: 200 }));
}

function checkName(subscriber: unknown): void {
  const issues = new InputIssues();
  issues.text('subscriber', subscriber, { max: 100 });
  issues.refuse('The call names no subscriber');
}

function unknownSubscription(subscriber: string): NestAuthError {
  return new NestAuthError(
    'SUBSCRIPTION_NOT_FOUND',
    `No subscriber '${subscriber}' has ever run; see getSubscriptions`,
  );
}
