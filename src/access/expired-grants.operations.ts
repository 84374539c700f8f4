import type { EntityManager } from 'typeorm';
import { InputIssues } from '../errors/input.js';
import type { EventPublisher } from '../events/event-publisher.js';
import {
  PlatformAccessChangedEvent,
  PlatformAccessPermissionChangedEvent,
  UserAccessChangedEvent,
  UserAccessPermissionChangedEvent,
} from '../events/nest-auth.events.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import type { PurgeExpiredOptions, PurgeExpiredResult } from './access.types.js';
import { EXPIRING, type ExpiredRow, removeExpired } from './expired-grants.queries.js';

const MAX_BATCH = 5_000;

type Kind = keyof typeof EXPIRING;

/** Removes what has run out and grants nothing any more, batch by batch. */
export class ExpiredGrantsOperations {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly publisher: EventPublisher,
  ) {}

  async purge(options: PurgeExpiredOptions, manager?: EntityManager) {
    check(options);
    const { batchSize = 500 } = options;
    const counts: Record<Kind, number> = { userRoles: 0, platformRoles: 0, userPermissions: 0, platformPermissions: 0 };
    for (const kind of Object.keys(EXPIRING) as Kind[]) {
      let removed = batchSize;
      // A batch that is not full was the last, or what is left is being changed: the next run finds that.
      while (removed >= batchSize && !isStopped(options)) {
        removed = await this.transactions.operate(manager, (m) => this.#purgeBatch(m, kind, batchSize));
        counts[kind] += removed;
      }
    }
    return {
      roles: counts.userRoles + counts.platformRoles,
      permissions: counts.userPermissions + counts.platformPermissions,
    } satisfies PurgeExpiredResult;
  }

  async #purgeBatch(manager: EntityManager, kind: Kind, limit: number): Promise<number> {
    const rows = await removeExpired(manager, kind, limit);
    if (kind === 'userRoles' || kind === 'platformRoles') this.#announceRoles(manager, rows);
    else this.#announcePermissions(manager, rows);
    return rows.length;
  }

  #announceRoles(manager: EntityManager, rows: readonly ExpiredRow[]): void {
    const byAccess = new Map<string, [ExpiredRow, ...ExpiredRow[]]>();
    for (const row of rows) {
      const key = `${row.user_id} ${row.tenant_id}`;
      const others = byAccess.get(key);
      if (others === undefined) byAccess.set(key, [row]);
      else others.push(row);
    }
    for (const of of byAccess.values()) {
      const [{ user_id: userId, tenant_id: tenantId }] = of;
      const delta = { added: [], removed: of.map(({ what }) => what).toSorted() };
      const event =
        tenantId === null
          ? new PlatformAccessChangedEvent(userId, delta)
          : new UserAccessChangedEvent(userId, tenantId, delta);
      this.publisher.publish(manager, event);
    }
  }

  #announcePermissions(manager: EntityManager, rows: readonly ExpiredRow[]): void {
    for (const { user_id: userId, tenant_id: tenantId, what } of rows) {
      const event =
        tenantId === null
          ? new PlatformAccessPermissionChangedEvent(userId, what, null, null)
          : new UserAccessPermissionChangedEvent(userId, tenantId, what, null, null);
      this.publisher.publish(manager, event);
    }
  }
}

/** A function: the signal changes while a batch runs. */
function isStopped({ signal }: PurgeExpiredOptions): boolean {
  return signal?.aborted === true;
}

function check(options: PurgeExpiredOptions): void {
  const issues = new InputIssues();
  issues.fields(options, ['batchSize', 'signal'] satisfies (keyof PurgeExpiredOptions)[]);
  const { batchSize = 1 } = options;
  if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize > MAX_BATCH) {
    issues.add('batchSize', `must be a whole number, 1 to ${MAX_BATCH}`);
  }
  issues.refuse('What has run out cannot be removed');
}
