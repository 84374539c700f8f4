import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { isNestAuthError, NestAuthError } from '../errors/nest-auth.error.js';
import type { EventPublisher } from '../events/event-publisher.js';
import { UserCreatedEvent, UserDeletedEvent, UserRegisteredEvent, UserUpdatedEvent } from '../events/nest-auth.events.js';
import type { Tenancy } from '../tenant/tenancy.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { rememberOrigin } from '../transaction/entity-origin.js';
import { isInTransaction, noteTransactionId } from '../transaction/registry.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { type CreateUserContext, type CreateUserInput, type UpdateUserInput, UserStatusEnum } from './account.types.js';
import { loginChange, restoreIdentities, writeLoginChange } from './change-login.queries.js';
import { type CreateUserRow, identityCount, insertUser, type NewUser } from './create-user.queries.js';
import { discardUser, explainRoles, findLoginConflict } from './login-conflict.queries.js';
import type { CreateUserHookInput, UserHooks } from './user-hooks.js';
import { NestAuthUser } from './user.entity.js';
import { prepareCreate, prepareUpdate, type PreparedUpdate } from './user-input.policy.js';
import { deleteUserRow, findUserById, lockUser, patchUser, setVerified } from './user.queries.js';

/** A creation that is ready to run: validated, and its password hashed. */
export interface Creation {
  readonly input: CreateUserHookInput;
  readonly passwordHash: string | null;
  readonly tenantId: string | null;
  readonly realmId: string;
  readonly platform: boolean;
  readonly context: CreateUserContext;
}

const PLATFORM_SCOPE = { tenantId: null, realmId: NIL_UUID };

/** How often a write is tried again when the one it lost to is gone before it could be named. */
export const CONFLICT_ATTEMPTS = 3;

/** The rules of creating, changing and deleting users. Each function runs on the manager it is given. */
export class UserOperations {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly events: EventPublisher,
    private readonly tenancy: Tenancy,
    private readonly hooks: UserHooks,
    private readonly defaultRegion: string | undefined,
  ) {}

  /** Whether a creation runs code of the host, and so needs a transaction. */
  get createNeedsTransaction(): boolean {
    return this.hooks.beforeCreate !== undefined || this.hooks.afterCreate !== undefined;
  }

  get deleteNeedsTransaction(): boolean {
    return this.hooks.beforeDelete !== undefined || this.hooks.afterDelete !== undefined;
  }

  /** Decides tenant and realm, and refuses bad input before any password is hashed. */
  planCreate(
    data: CreateUserInput,
    passwordHash: string | null,
    tenantId: string | null | undefined,
    context: CreateUserContext,
    platform: boolean,
  ): Creation {
    const prepared = prepareCreate(data, this.defaultRegion);
    const { password: _hashedAlready, ...input } = data;
    const onPlatform = platform || prepared.platformRoleIds.length > 0;
    if (platform && tenantId != null) refusePlatformTenant();
    const { tenantId: tenant, realmId } = platform ? PLATFORM_SCOPE : this.scopeOf(tenantId);
    if (tenant === null && prepared.roleIds.length > 0) {
      throw new NestAuthError('TENANT_REQUIRED', 'roleIds are roles in a tenant; pass tenantId to createUser');
    }
    if (onPlatform && realmId !== NIL_UUID) {
      throw new NestAuthError(
        'TENANT_SCOPE_MISMATCH',
        'In ISOLATED tenancy a user of a tenant cannot be a platform user; use createPlatformUser without a tenant',
      );
    }
    return { input, passwordHash, tenantId: tenant, realmId, platform: onPlatform, context };
  }

  /** The tenant and the realm of users that are created with this `tenantId`. */
  scopeOf(tenantId: string | null | undefined): { tenantId: string | null; realmId: string } {
    const tenant = this.tenancy.tenantForCreate(tenantId);
    return { tenantId: tenant, realmId: this.tenancy.realmOf(tenant) };
  }

  async create(manager: EntityManager, creation: Creation): Promise<NestAuthUser> {
    const input = await this.beforeCreate(manager, creation);
    const wanted = this.newUser(creation, input);
    const row = await this.#insert(manager, wanted);
    const user = madeUser(wanted, row.created_at as Date, manager);
    await this.afterCreate(manager, user, input, creation);
    return user;
  }

  /** The row to write for an input that hooks may have changed. */
  newUser({ tenantId, realmId, passwordHash, platform }: Creation, input: CreateUserHookInput): NewUser {
    return { ...prepareCreate(input, this.defaultRegion), id: uuidv7(), realmId, tenantId, passwordHash, platform };
  }

  /** Runs the host's code for a written user and announces it after COMMIT. */
  async afterCreate(
    manager: EntityManager,
    user: NestAuthUser,
    input: CreateUserHookInput,
    { tenantId, context }: Creation,
  ): Promise<void> {
    await this.#runHook(manager, () => this.hooks.afterCreate?.(user, input, manager, context));
    this.events.publish(manager, new UserCreatedEvent(user, input, tenantId, context));
    if (context.source === 'signup') {
      this.events.publish(manager, new UserRegisteredEvent(user, input, tenantId, context));
    }
  }

  /** The input as the host's code leaves it. */
  async beforeCreate(manager: EntityManager, { input, context }: Creation): Promise<CreateUserHookInput> {
    const changed = await this.#runHook(manager, () => this.hooks.beforeCreate?.(input, manager, context));
    return changed ?? input;
  }

  async #insert(manager: EntityManager, wanted: NewUser): Promise<CreateUserRow> {
    for (let attempt = 0; attempt < CONFLICT_ATTEMPTS; attempt += 1) {
      const row = await this.#tryInsert(manager, wanted);
      if (row !== null) return row;
      const conflict = await findLoginConflict(manager, {
        realmId: wanted.realmId,
        email: wanted.emailNorm,
        phone: wanted.phone,
        identities: wanted.identities,
        userId: wanted.id,
      });
      if (conflict !== null) throw conflict;
    }
    throw lostEveryRace();
  }

  /** The written row, or null when a login is taken. */
  async #tryInsert(manager: EntityManager, wanted: NewUser): Promise<CreateUserRow | null> {
    const joined = isInTransaction(manager);
    const row = await insertUser(manager, wanted, joined).catch((error: unknown) => {
      // Alone, a race for a provider account fails the statement as a whole; it is named like any other conflict.
      if (isNestAuthError(error, 'IDENTITY_ALREADY_EXISTS') && !joined) return null;
      throw error;
    });
    if (row === null) return null;
    if (!row.tenant_ok) throw tenantNotFound();
    if (!row.roles_ok) throw await explainRoles(manager, wanted.roleIds, { tenantId: wanted.tenantId, platform: false });
    if (!row.platform_roles_ok) {
      throw await explainRoles(manager, wanted.platformRoleIds, { tenantId: null, platform: true });
    }
    if (row.created_at === null) return null;
    noteTransactionId(manager, row.transaction_id);
    if (row.identities === identityCount(wanted)) return row;
    await discardUser(manager, wanted.id);
    return null;
  }

  /** Whether an update of this kind can be one statement. */
  updateIsOneStatement(input: UpdateUserInput): boolean {
    const hooked = this.hooks.beforeUpdate !== undefined || this.hooks.afterUpdate !== undefined;
    return !hooked && input.email === undefined && input.phone === undefined;
  }

  /** Changes status and metadata only, without hooks. */
  async patch(manager: EntityManager, id: string, input: UpdateUserInput): Promise<NestAuthUser> {
    const update = prepareUpdate(input, this.defaultRegion);
    const found = await patchUser(manager, id, update);
    if (found === null) throw userNotFound(id);
    const { user, changed, current } = found;
    if (!changed && update.expectedVersion !== undefined && update.expectedVersion !== current) throw staleVersion();
    if (changed) this.#announceUpdated(manager, user, input, changedFields(input));
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
    const locked = await lockUser(manager, id);
    if (locked === null) throw userNotFound(id);
    const { user: before, emailNorm } = locked;
    if (asked.expectedVersion !== undefined && asked.expectedVersion !== before.version) throw staleVersion();
    const changedInput = await this.#runHook(manager, () => this.hooks.beforeUpdate?.(before, asked, manager));
    const input = changedInput ?? asked;
    const update = prepareUpdate(input, this.defaultRegion);
    const after = await this.#write(manager, before, emailNorm, update);
    if (after === null) return null;
    if (after.version !== before.version) {
      await this.#runHook(manager, () => this.hooks.afterUpdate?.(after, input, manager));
      this.#announceUpdated(manager, after, input, changedBetween(before, after));
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
      return (await patchUser(manager, before.id, { isActive, metadata }))?.user ?? null;
    }
    assertStaysRecognisable(before, update);
    const after = await writeLoginChange(manager, before, change);
    if (after !== null) return after;
    await restoreIdentities(manager, before.id);
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

  async verify(manager: EntityManager, id: string, type: 'email' | 'phone', verified: boolean): Promise<NestAuthUser> {
    const found = await setVerified(manager, id, type, verified);
    if (found === null) throw userNotFound(id);
    const { user, changed } = found;
    if (user[type] === null) {
      throw new NestAuthError('VALIDATION_FAILED', `The user has no ${type} that could be verified`, {
        details: { issues: [{ path: 'type', message: `names a ${type}, and the user has none` }] },
      });
    }
    if (changed) this.#announceUpdated(manager, user, {}, [`${type}VerifiedAt`]);
    return user;
  }

  async delete(manager: EntityManager, id: string): Promise<NestAuthUser> {
    if (this.hooks.beforeDelete !== undefined) {
      const locked = await lockUser(manager, id);
      if (locked === null) throw userNotFound(id);
      await this.#runHook(manager, () => this.hooks.beforeDelete?.(locked.user, manager));
    }
    const user = await deleteUserRow(manager, id).catch((error: unknown) => {
      throw asUserInUse(error);
    });
    if (user === null) throw userNotFound(id);
    await this.#runHook(manager, () => this.hooks.afterDelete?.(user, manager));
    this.events.publish(manager, new UserDeletedEvent(user));
    return user;
  }

  async getOrThrow(manager: EntityManager, id: string): Promise<NestAuthUser> {
    const user = await findUserById(manager, id);
    if (user === null) throw userNotFound(id);
    return user;
  }

  /** Runs a hook of the host: if it throws, nothing of the transaction may be kept, whoever swallows the error. */
  async #runHook<T>(manager: EntityManager, hook: () => T): Promise<Awaited<T>> {
    try {
      return await hook();
    } catch (error) {
      this.transactions.markRollbackOnly(manager, error);
      throw error;
    }
  }

  #announceUpdated(manager: EntityManager, user: NestAuthUser, input: UpdateUserInput, changed: string[]): void {
    this.events.publish(manager, new UserUpdatedEvent(user, input, changed));
  }
}

export function userNotFound(id: string): NestAuthError {
  return new NestAuthError('USER_NOT_FOUND', 'There is no such user', { details: { ids: [id] } });
}

export function tenantNotFound(): NestAuthError {
  return new NestAuthError('TENANT_NOT_FOUND', 'The tenant does not exist or is not active');
}

function staleVersion(): NestAuthError {
  return new NestAuthError('STALE_VERSION', 'The user has changed since it was read; read it again and repeat the change');
}

export function lostEveryRace(): NestAuthError {
  return new NestAuthError('TRANSACTION_CONFLICT', 'The login was taken and freed again several times; try again', {
    details: { retryable: true },
  });
}

function refusePlatformTenant(): never {
  throw new NestAuthError('VALIDATION_FAILED', 'A platform user is bound to no tenant; use createUser with tenantId', {
    details: { issues: [{ path: 'tenantId', message: 'must be absent' }] },
  });
}

/** The entity of a row that was just inserted: what was written, and what the database added. */
export function madeUser(wanted: NewUser, createdAt: Date, manager: EntityManager): NestAuthUser {
  const user = new NestAuthUser();
  Object.assign(user, {
    id: wanted.id,
    realmId: wanted.realmId,
    email: wanted.email,
    emailVerifiedAt: null,
    phone: wanted.phone,
    phoneVerifiedAt: null,
    status: wanted.isActive ? UserStatusEnum.ACTIVE : UserStatusEnum.PENDING,
    isActive: wanted.isActive,
    metadata: structuredClone(wanted.metadata),
    version: 1,
    createdAt,
    updatedAt: createdAt,
    deletedAt: null,
  });
  return rememberOrigin(user, manager);
}

/** Somebody who had an email or a phone keeps at least one of them. */
function assertStaysRecognisable(before: NestAuthUser, update: PreparedUpdate): void {
  const email = update.email === undefined ? before.email : update.email;
  const phone = update.phone === undefined ? before.phone : update.phone;
  if (email !== null || phone !== null) return;
  throw new NestAuthError('VALIDATION_FAILED', 'The last of email and phone cannot be removed', {
    details: { issues: [{ path: 'email', message: 'or phone must stay' }] },
  });
}

function changedFields({ isActive, metadata }: UpdateUserInput): string[] {
  return [...(isActive === undefined ? [] : ['isActive', 'status']), ...(metadata === undefined ? [] : ['metadata'])];
}

function changedBetween(before: NestAuthUser, after: NestAuthUser): string[] {
  const fields = ['email', 'emailVerifiedAt', 'phone', 'phoneVerifiedAt', 'status', 'isActive', 'metadata'] as const;
  return fields.filter((field) => JSON.stringify(before[field]) !== JSON.stringify(after[field]));
}

/** A foreign key of the host that points at the user; ours all cascade. */
function asUserInUse(error: unknown): unknown {
  if (!(error instanceof NestAuthError) || error.details.sqlState !== '23503') return error;
  return new NestAuthError(
    'USER_IN_USE',
    `The user is still referred to by ${error.details.table ?? 'another table'}; delete that row first, in the same transaction`,
    { details: error.details, cause: error },
  );
}
