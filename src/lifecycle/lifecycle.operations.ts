import type { EntityManager } from 'typeorm';
import type { HookRunner } from '../account/hook-runner.js';
import type { LifecycleDependents } from '../account/lifecycle-dependents.js';
import { CONFLICT_ATTEMPTS, conflictError, fieldOf } from '../account/login-conflict.queries.js';
import { asUserInUse, lostEveryRace, userNotFound } from '../account/user-refusals.policy.js';
import type { NestAuthUser } from '../account/user.entity.js';
import { toUser, type UserRow } from '../account/user.queries.js';
import { isNestAuthError, NestAuthError, type NestAuthErrorCode } from '../errors/nest-auth.error.js';
import type { EventPublisher } from '../events/event-publisher.js';
import type { Ownership } from '../tenant/ownership.operations.js';
import { lastOwner } from '../tenant/ownership.policy.js';
import type { OwnerRow } from '../tenant/ownership.queries.js';
import { shielded, untilDecided } from '../transaction/optimistic.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { eventOf } from './lifecycle-events.policy.js';
import { holdUsers, judge, sendTransition, type TransitionMode, type TransitionRow } from './transition.queries.js';
import { type LifecycleCommand, leavesActive, TRANSITIONS } from './transitions.policy.js';

/** A command, and the parameter that it has besides the users. */
export interface Order extends TransitionMode {
  readonly command: LifecycleCommand;
  readonly value?: number | string | undefined;
}

/** What became of some users, by id. */
export interface Outcome {
  readonly changed: readonly NestAuthUser[];
  readonly refused: readonly { readonly id: string; readonly error: NestAuthError }[];
}

const UNIQUE_CONFLICTS: readonly NestAuthErrorCode[] = [
  'EMAIL_ALREADY_EXISTS',
  'PHONE_ALREADY_EXISTS',
  'IDENTITY_ALREADY_EXISTS',
];

/** The rules of a user's life. Each function runs on the manager it is given. */
export class LifecycleOperations {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly events: EventPublisher,
    private readonly hooks: HookRunner,
    private readonly dependents: LifecycleDependents,
    private readonly ownership: Ownership,
  ) {}

  /** Whether the command is more than one statement. */
  needsTransaction(command: LifecycleCommand): boolean {
    if (command === 'softDelete') return true;
    return this.#hasHooks(command) || (leavesActive(command) && this.dependents.any);
  }

  /** Moves one user, in a transaction of its own where it takes one. */
  async moveOne(order: Order, id: string, manager: EntityManager | undefined): Promise<NestAuthUser> {
    const { changed, refused } = await this.transactions.perform(this.needsTransaction(order.command), manager, (m) =>
      this.move(m, order, [id]),
    );
    if (changed[0] !== undefined) return changed[0];
    throw refused[0]?.error ?? userNotFound(id);
  }

  /**
   * Moves some users: those who can be, and says of each other one why not. What ends with the `ACTIVE` state ends, the
   * host's hooks run, and the events are announced. With a refusal of one alone, nothing is written.
   */
  async move(manager: EntityManager, order: Order, ids: readonly string[]): Promise<Outcome> {
    const { command, skipLocked } = order;
    const held = await this.#hold(manager, order, ids);
    const rows = await this.#sendUnlessLast(manager, order, held?.map(({ id }) => id) ?? ids);
    const changed = rows.filter((row): row is TransitionRow & UserRow => row.changed);
    const users = changed.map((row) => toUser(row, manager));
    if (leavesActive(command)) {
      await this.dependents.end(
        manager,
        changed.filter((row) => row.was_active === true).map(({ id }) => id),
      );
    }
    await this.#after(manager, command, users);
    for (const user of users) this.events.publish(manager, eventOf(command, user));
    const missing = held === undefined ? [] : ids.filter((id) => !held.some((row) => row.id === id));
    return {
      changed: users,
      refused: [
        ...rows.filter((row) => !row.changed).map((row) => ({ id: row.asked_id, error: refusalOf(row, skipLocked) })),
        ...missing.map((id) => ({ id, error: skipLocked ? busy(id) : userNotFound(id) })),
      ],
    };
  }

  /** What {@link move} would do, without holding or changing anybody. */
  async foresee(
    manager: EntityManager,
    order: Order & { readonly value?: number | undefined },
    ids: readonly string[],
  ): Promise<{ id: string; reason: NestAuthErrorCode | null }[]> {
    const rows = await judge(manager, order.command, ids, order, order.value);
    const owners = rows.filter(({ owns, reason }) => owns && reason === null).map(({ id }) => id);
    const last = await this.ownership.lastAmong(manager, owners);
    return rows.map(({ id, reason }) => ({ id, reason: last.has(id) ? 'LAST_OWNER' : reason }));
  }

  /** Holds users for the hooks; and for a soft deletion, so that its statement sees every identity. */
  async #hold(
    manager: EntityManager,
    { command, skipLocked }: Order,
    ids: readonly string[],
  ): Promise<UserRow[] | undefined> {
    if (command !== 'softDelete' && !this.#hasHooks(command)) return undefined;
    const rows = await holdUsers(manager, ids, skipLocked);
    for (const row of rows) {
      await this.hooks.run(manager, ({ beforeDelete, beforeUpdate }) =>
        command === 'delete'
          ? beforeDelete?.(toUser(row, manager), manager)
          : beforeUpdate?.(toUser(row, manager), { transition: command }, manager),
      );
    }
    return rows;
  }

  async #after(manager: EntityManager, command: LifecycleCommand, users: readonly NestAuthUser[]): Promise<void> {
    if (!this.#hasHooks(command)) return;
    for (const user of users) {
      await this.hooks.run(manager, ({ afterDelete, afterUpdate }) =>
        command === 'delete' ? afterDelete?.(user, manager) : afterUpdate?.(user, { transition: command }, manager),
      );
    }
  }

  /** Owners come after the others, once the tenants are held; of the last ones of a tenant one stays. */
  async #sendUnlessLast(manager: EntityManager, order: Order, ids: readonly string[]): Promise<TransitionRow[]> {
    const rows = await this.#send(manager, order, ids, []);
    const owners = rows.filter(({ owned }) => owned !== null);
    if (owners.length === 0) return rows;
    const others = rows.filter(({ owned }) => owned === null);
    return [...others, ...(await this.ownership.within(manager, (m) => this.#sendOwners(m, order, owners)))];
  }

  async #sendOwners(
    manager: EntityManager,
    order: Order,
    owners: readonly TransitionRow[],
  ): Promise<readonly TransitionRow[]> {
    const done: TransitionRow[] = [];
    const held = new Set<string>();
    let open = owners;
    return untilDecided(async () => {
      for (const id of open.flatMap(({ owned }) => owned ?? [])) held.add(id);
      const last = await this.ownership.release(manager, { userIds: open.map(askedId) }, [...held]);
      if (last === undefined) return undefined;
      const stays = new Set(last.map(({ user_id }) => user_id));
      done.push(...open.filter((row) => stays.has(askedId(row))).map((row) => keptFor(row, last)));
      const going = open.map(askedId).filter((id) => !stays.has(id));
      const sent = await this.#send(manager, order, going, [...held]);
      done.push(...sent.filter(({ owned }) => owned === null));
      open = sent.filter(({ owned }) => owned !== null);
      return open.length === 0 ? done : undefined;
    });
  }

  async #send(
    manager: EntityManager,
    order: Order,
    ids: readonly string[],
    owned: readonly string[],
  ): Promise<TransitionRow[]> {
    const { command, value } = order;
    if (ids.length === 0) return [];
    const send = (m: EntityManager): Promise<TransitionRow[]> => sendTransition(m, command, ids, order, value, owned);
    if (command === 'restore') return untilFreeOrTaken(() => shielded(manager, send));
    if (command !== 'delete') return send(manager);
    // PostgreSQL checks a foreign key of the host by failing the statement, which must not take the caller down.
    return shielded(manager, send).catch((error: unknown) => {
      throw asUserInUse(error);
    });
  }

  #hasHooks(command: LifecycleCommand): boolean {
    if (command === 'recordLogin') return false;
    return command === 'delete'
      ? this.hooks.any('beforeDelete', 'afterDelete')
      : this.hooks.any('beforeUpdate', 'afterUpdate');
  }
}

/** A login that is taken in the same moment makes the statement fail; run again, it sees who has it. */
async function untilFreeOrTaken(send: () => Promise<TransitionRow[]>): Promise<TransitionRow[]> {
  for (let attempt = 0; attempt < CONFLICT_ATTEMPTS; attempt += 1) {
    try {
      return await send();
    } catch (error) {
      if (!isNestAuthError(error) || !UNIQUE_CONFLICTS.includes(error.code)) throw error;
    }
  }
  throw lostEveryRace();
}

const askedId = (row: TransitionRow): string => row.asked_id;

/** Left as the last owner of tenants. */
function keptFor(row: TransitionRow, last: readonly OwnerRow[]): TransitionRow {
  const tenants = last.filter(({ user_id }) => user_id === row.asked_id).map(({ tenant_id }) => tenant_id);
  return { ...row, reason: 'LAST_OWNER', owned: tenants };
}

function refusalOf(row: TransitionRow, skipLocked: boolean): NestAuthError {
  const { asked_id: id, reason, taken } = row;
  if (reason === 'LAST_OWNER') return lastOwner(row.owned ?? [], id);
  if (reason !== null) {
    const message = `The user is left as it is: ${reason}`;
    return new NestAuthError(reason, message, { details: { ids: [id] } });
  }
  if (taken !== null) return conflictError([...new Set(taken.map(fieldOf))].toSorted());
  return skipLocked && row.busy ? busy(id) : userNotFound(id);
}

function busy(id: string): NestAuthError {
  return new NestAuthError('USER_BUSY', 'Another transaction holds the user', { details: { ids: [id] } });
}

/** Whether the command has a period that must be over, or that begins. */
export function hasPeriod(command: LifecycleCommand): boolean {
  return command === 'schedule' || TRANSITIONS[command].grace !== undefined;
}
