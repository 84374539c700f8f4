import type { EntityManager } from 'typeorm';
import type { Actor } from '../audit/activity.types.js';

/** One entry of the activity log, as subscribers and the feed see it. */
export interface IdentityEvent {
  /** Stable: a delivery that is repeated has the same one. */
  readonly id: string;
  /** The event's name, such as `nest_auth.user.created`, or one of the host's own. */
  readonly type: string;
  /** By the database's clock: the start of the transaction. */
  readonly occurredAt: Date;
  readonly tenantId: string | null;
  /** Who was changed. */
  readonly userId: string | null;
  readonly subject: { readonly type: string; readonly id: string | null };
  readonly actor: Actor & { readonly impersonatorId?: string | undefined };
  readonly before: Readonly<Record<string, unknown>> | null;
  readonly after: Readonly<Record<string, unknown>> | null;
  readonly details: Readonly<Record<string, unknown>> | null;
  readonly requestId: string | null;
}

/** A place in the log. The order is that of (`xid`, `id`). */
export interface FeedPosition {
  /** A 64-bit transaction id, as text. */
  readonly xid: string;
  readonly id: string;
}

/** What a handler gets beside the event. */
export interface DeliveryContext {
  readonly subscriber: string;
  /** 1 for the first try. */
  readonly attempt: number;
  /** Aborted when the delivery has taken too long, or another process has taken over: what is done then counts twice. */
  readonly signal: AbortSignal;
  /** Only with `transactional: true`: what is written with it and the subscriber's position are one transaction. */
  readonly manager?: EntityManager;
}

export type IdentityEventHandler = (event: IdentityEvent, delivery: DeliveryContext) => Promise<unknown>;

export interface DurableOptions {
  /** Names the position in the log: keep it when the code moves. Lower-case letters, digits, `-`, `_`, `.` and `:`. */
  readonly subscriber: string;
  /** Where a subscriber begins that has never run: with what happens from now on, or with the oldest entry. @default 'now' */
  readonly startFrom?: 'now' | 'beginning';
  /** Deliveries of one event before it becomes a dead letter and the next one follows. @default 10 */
  readonly maxAttempts?: number;
  /** Milliseconds before the second attempt; doubled for each further one, at most an hour. @default 1000 */
  readonly backoffMs?: number;
  /** Milliseconds after which an attempt has failed, whatever its handler does. @default 60000 */
  readonly timeoutMs?: number;
  /**
   * Runs the handler in a transaction that also moves the subscriber on: what it writes with `delivery.manager` happens
   * exactly once. For handlers that only use this database.
   * @default false
   */
  readonly transactional?: boolean;
}

/** A subscriber with the handlers of its event types. */
export interface Subscriber extends Required<Omit<DurableOptions, 'subscriber'>> {
  readonly name: string;
  /** By event type; `*` takes what no other does. */
  readonly handlers: ReadonlyMap<string, IdentityEventHandler>;
}

/** How the subscribers of a process work. */
export interface SubscriberSettings {
  /** Whether this process delivers. @default true */
  readonly enabled: boolean;
  /** Milliseconds between two looks at the log when nothing wakes the worker up. @default 1000 */
  readonly pollMs: number;
  /** Milliseconds after which a process that has died is taken over. @default 30000 */
  readonly leaseMs: number;
  /** Events read at once. @default 100 */
  readonly batchSize: number;
  /** Milliseconds an event may wait before the health check says so. @default 300000 */
  readonly maxLagMs: number;
  /** Also wake up by LISTEN/NOTIFY, on a connection of its own. Not through PgBouncer in transaction mode. @default false */
  readonly listen: boolean;
}
