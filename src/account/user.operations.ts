import type { EntityManager } from 'typeorm';
import type { EventPublisher } from '../events/event-publisher.js';
import { UserDeletedEvent, UserUpdatedEvent } from '../events/nest-auth.events.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import type { OwnerCheck, Ownership } from '../tenant/ownership.operations.js';
import { shielded, untilDecided } from '../transaction/optimistic.js';
import { type UpdateUserInput, UserStatusEnum } from './account.types.js';
import { loginChange, writeLoginChange } from './change-login.queries.js';
import type { HookRunner } from './hook-runner.js';
import { CONFLICT_ATTEMPTS, findLoginConflict } from './login-conflict.queries.js';
import type { LifecycleDependents } from './lifecycle-dependents.js';
import type { UserChange } from './user-hooks.js';
import type { NestAuthUser } from './user.entity.js';
import { checkLoginType, prepareUpdate, type PreparedUpdate } from './user-input.policy.js';
import {
  assertMetadataFits,
  assertStaysRecognisable,
  asUserInUse,
  lostEveryRace,
  metadataTooLarge,
  staleVersion,
  userDisabled,
  userNotFound,
  userOnLegalHold,
} from './user-refusals.policy.js';
import {
  type DeleteOutcome,
  deleteUserRow,
  type PatchOutcome,
  patchUser,
  setVerified,
  type UserPatch,
} from './user-change.queries.js';
import { findUserById, lockUser } from './user.queries.js';

/** The rules of changing and deleting users. Each function runs on the manager it is given. */
export class UserOperations {
  constructor(
    private readonly events: EventPublisher,
    private readonly hooks: HookRunner,
    private readonly dependents: LifecycleDependents,
    private readonly ownership: Ownership,
    private readonly defaultRegion: string | undefined,
  ) {}

  get deleteNeedsTransaction(): boolean {
    return this.hooks.any('beforeDelete', 'afterDelete');
  }

  /** Whether a change runs code of the host, and so needs a transaction. */
  get changeNeedsTransaction(): boolean {
    return this.hooks.any('beforeUpdate', 'afterUpdate');
  }

  /** Whether an update of this kind can be one statement. */
  updateIsOneStatement(input: UpdateUserInput): boolean {
    const ends = input.isActive === false && this.dependents.any;
    return !this.changeNeedsTransaction && !ends && input.email === undefined && input.phone === undefined;
  }

  /** Runs a change that is not an update of fields between the host's hooks, and announces it if there was one. */
  async change<T extends { readonly user: NestAuthUser; readonly changed: boolean }>(
    manager: EntityManager,
    id: string,
    change: UserChange,
    changed: readonly string[],
    write: () => Promise<T | null>,
  ): Promise<T> {
    if (this.changeNeedsTransaction) {
      const locked = await lockUser(manager, id);
      if (locked === null) throw userNotFound(id);
      await this.hooks.run(manager, ({ beforeUpdate }) => beforeUpdate?.(locked.user, change, manager));
    }
    const result = await write();
    if (result === null) throw userNotFound(id);
    if (result.changed) {
      await this.hooks.run(manager, ({ afterUpdate }) => afterUpdate?.(result.user, change, manager));
      this.announceUpdated(manager, result.user, {}, changed);
    }
    return result;
  }

  /** Changes status and metadata only, without hooks. */
  async patch(manager: EntityManager, id: string, input: UpdateUserInput): Promise<NestAuthUser> {
    const update = prepareUpdate(input, this.defaultRegion);
    const found = await this.#patch(manager, id, update);
    if (found === null) throw userNotFound(id);
    const { user, changed, fits, ofVersion, barred } = found;
    if (!ofVersion) throw staleVersion();
    if (barred) throw userDisabled(id);
    if (!fits) throw metadataTooLarge();
    if (changed && update.isActive === false) await this.#leftActive(manager, [user.id]);
    if (changed) this.announceUpdated(manager, user, input, changedFields(input));
    return user;
  }

  /** Changes anything: holds the row, runs the hooks, and replaces identities with the logins. */
  async update(manager: EntityManager, id: string, asked: UpdateUserInput): Promise<NestAuthUser> {
    prepareUpdate(asked, this.defaultRegion);
    for (let attempt = 0; attempt < CONFLICT_ATTEMPTS; attempt += 1) {
      const updated = await this.#tryUpdate(manager, id, asked);
      if (updated !== null) return updated;
    }
    throw lostEveryRace();
  }

  async #tryUpdate(manager: EntityManager, id: string, asked: UpdateUserInput): Promise<NestAuthUser | null> {
    if (asked.isActive === false) await this.ownership.holdTenantsOf(manager, id);
    const locked = await lockUser(manager, id);
    if (locked === null) throw userNotFound(id);
    const { user: before, emailNorm } = locked;
    if (asked.expectedVersion !== undefined && asked.expectedVersion !== before.version) throw staleVersion();
    const changedInput = await this.hooks.run(manager, ({ beforeUpdate }) => beforeUpdate?.(before, asked, manager));
    const input = changedInput ?? asked;
    const update = prepareUpdate(input, this.defaultRegion);
    if (update.isActive === true && before.status === UserStatusEnum.DISABLED) throw userDisabled(id);
    const after = await this.#write(manager, before, emailNorm, update);
    if (after === null) return null;
    if (before.isActive && !after.isActive) await this.#leftActive(manager, [id]);
    if (after.version !== before.version) {
      await this.hooks.run(manager, ({ afterUpdate }) => afterUpdate?.(after, input, manager));
      this.announceUpdated(manager, after, input, changedBetween(before, after));
    }
    return after;
  }

  /** The row after the write, unchanged when nothing was to do; null when the conflict has gone and it can be retried. */
  async #write(
    manager: EntityManager,
    before: NestAuthUser,
    emailNorm: string | null,
    update: PreparedUpdate,
  ): Promise<NestAuthUser | null> {
    const change = loginChange(before, emailNorm, update);
    if (change === null) {
      const { isActive, metadata } = update;
      const patched = await this.#patch(manager, before.id, { isActive, metadata });
      if (patched?.fits === false) throw metadataTooLarge();
      return patched?.user ?? null;
    }
    assertStaysRecognisable(before, update);
    assertMetadataFits(before, update);
    if (before.isActive && update.isActive === false) await this.ownership.assertUserMayLeave(manager, before.id);
    const after = await writeLoginChange(manager, before, change);
    if (after !== null) return after;
    const conflict = await findLoginConflict(manager, {
      realmId: before.realmId,
      email: update.email?.norm ?? null,
      phone: update.phone ?? null,
      identities: [],
      userId: before.id,
    });
    if (conflict !== null) throw conflict;
    return null;
  }

  /**
   * With an `address`, only if that is what the user has: code of the host may have written another one in the same
   * transaction, which nobody has shown.
   */
  async verify(
    manager: EntityManager,
    id: string,
    type: 'email' | 'phone',
    verified: boolean,
    address: string | null = null,
  ): Promise<NestAuthUser> {
    checkLoginType(type);
    const { user } = await this.change(manager, id, { [`${type}Verified`]: verified }, [`${type}VerifiedAt`], () =>
      setVerified(manager, id, type, verified, address),
    );
    if (user[type] !== null) return user;
    throw new NestAuthError('VALIDATION_FAILED', `The user has no ${type} that could be verified`, {
      details: { issues: [{ path: 'type', message: `names a ${type}, and the user has none` }] },
    });
  }

  async delete(manager: EntityManager, id: string): Promise<NestAuthUser> {
    if (this.hooks.any('beforeDelete')) {
      await this.ownership.holdTenantsOf(manager, id);
      const locked = await lockUser(manager, id);
      if (locked === null) throw userNotFound(id);
      await this.hooks.run(manager, ({ beforeDelete }) => beforeDelete?.(locked.user, manager));
    }
    // PostgreSQL checks a foreign key of the host by failing the statement, which must not take the caller down.
    const found = await this.ownership
      .keep(manager, { userIds: [id] }, (m, held) => attemptDelete(m, id, held))
      .catch((error: unknown) => {
        throw asUserInUse(error);
      });
    if (found === null) throw userNotFound(id);
    const { user, onHold } = found;
    if (onHold) throw userOnLegalHold(id);
    await this.hooks.run(manager, ({ afterDelete }) => afterDelete?.(user, manager));
    this.events.publish(manager, new UserDeletedEvent(user));
    return user;
  }

  #patch(manager: EntityManager, id: string, patch: UserPatch): Promise<PatchOutcome | null> {
    return this.ownership.keep(manager, { userIds: [id] }, async (m, held) => {
      const result = await patchUser(m, id, patch, held);
      return { result, owned: result?.owned ?? null };
    });
  }

  async getOrThrow(manager: EntityManager, id: string): Promise<NestAuthUser> {
    const user = await findUserById(manager, id);
    if (user === null) throw userNotFound(id);
    return user;
  }

  /** Ends what only an active user may have, in the same transaction. */
  #leftActive(manager: EntityManager, ids: readonly string[]): Promise<void> {
    return this.dependents.end(manager, ids);
  }

  announceUpdated(
    manager: EntityManager,
    user: NestAuthUser,
    input: UpdateUserInput,
    changed: readonly string[],
  ): void {
    this.events.publish(manager, new UserUpdatedEvent(user, input, changed));
  }
}

async function attemptDelete(
  manager: EntityManager,
  id: string,
  held: readonly string[],
): Promise<OwnerCheck<DeleteOutcome | null>> {
  const found = await untilDecided(async () => {
    const result = await shielded(manager, (inner) => deleteUserRow(inner, id, held));
    return result?.raced === true ? undefined : { result };
  });
  return { ...found, owned: found.result?.owned ?? null };
}

function changedFields({ isActive, metadata }: UpdateUserInput): string[] {
  return [...(isActive === undefined ? [] : ['isActive', 'status']), ...(metadata === undefined ? [] : ['metadata'])];
}

function changedBetween(before: NestAuthUser, after: NestAuthUser): string[] {
  const fields = ['email', 'emailVerifiedAt', 'phone', 'phoneVerifiedAt', 'status', 'isActive', 'metadata'] as const;
  return fields.filter((field) => JSON.stringify(before[field]) !== JSON.stringify(after[field]));
}
