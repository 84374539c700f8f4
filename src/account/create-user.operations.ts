import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { CommitOutcomeUnknownError, isNestAuthError, NestAuthError } from '../errors/nest-auth.error.js';
import type { Delegation } from '../access/delegation.operations.js';
import type { EventPublisher } from '../events/event-publisher.js';
import { UserCreatedEvent, UserRegisteredEvent } from '../events/nest-auth.events.js';
import type { Tenancy } from '../tenant/tenancy.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { rememberOrigin } from '../transaction/entity-origin.js';
import { isInTransaction, noteTransactionId } from '../transaction/registry.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { type CreateUserContext, type CreateUserInput, UserStatusEnum } from './account.types.js';
import { type CreateUserRow, identityCount, insertUser, type NewUser } from './create-user.queries.js';
import type { HookRunner } from './hook-runner.js';
import { CONFLICT_ATTEMPTS, discardUser, explainRoles, findLoginConflict } from './login-conflict.queries.js';
import type { CreateUserHookInput } from './user-hooks.js';
import { NestAuthUser } from './user.entity.js';
import { checkContext, prepareCreate, type PreparedUser } from './user-input.policy.js';
import { assertNoHookPassword, lostEveryRace, refusePlatformTenant, tenantNotFound } from './user-refusals.policy.js';
import { findUserById } from './user.queries.js';

/** A creation that is ready to run: validated, and its password hashed. */
export interface Creation {
  readonly input: CreateUserHookInput;
  /** The input as it was when it was planned. */
  readonly prepared: PreparedUser;
  readonly passwordHash: string | null;
  readonly tenantId: string | null;
  readonly realmId: string;
  readonly platform: boolean;
  readonly context: CreateUserContext;
}

const PLATFORM_SCOPE = { tenantId: null, realmId: NIL_UUID };

/** The rules of creating users. Each function runs on the manager it is given. */
export class CreateUserOperations {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly events: EventPublisher,
    private readonly tenancy: Tenancy,
    private readonly hooks: HookRunner,
    private readonly delegation: Delegation,
    private readonly defaultRegion: string | undefined,
  ) {}

  /** Whether a creation runs code of the host, and so needs a transaction. */
  get needsTransaction(): boolean {
    return this.hooks.any('beforeCreate', 'afterCreate');
  }

  /** Decides tenant and realm, and refuses bad input before any password is hashed. */
  plan(
    data: CreateUserInput,
    passwordHash: string | null,
    tenantId: string | null | undefined,
    context: CreateUserContext,
    platform: boolean,
  ): Creation {
    const prepared = prepareCreate(data, this.defaultRegion);
    checkContext(context);
    const { password: _hashedAlready, ...input } = data;
    if (platform && tenantId != null) refusePlatformTenant();
    const scope = platform ? PLATFORM_SCOPE : this.scopeOf(tenantId);
    assertInScope(prepared, platform, scope);
    return { input, prepared, passwordHash, ...scope, platform, context };
  }

  /** The tenant and the realm of users that are created with this `tenantId`. */
  scopeOf(tenantId: string | null | undefined): { tenantId: string | null; realmId: string } {
    const tenant = this.tenancy.tenantForCreate(tenantId);
    return { tenantId: tenant, realmId: this.tenancy.realmOf(tenant) };
  }

  async create(manager: EntityManager, creation: Creation): Promise<NestAuthUser> {
    const input = await this.beforeCreate(manager, creation);
    const wanted = this.newUser(creation, input);
    const row = await this.#granting(manager, wanted, (m) => this.#insert(m, wanted));
    const user = madeUser(wanted, row.created_at as Date, manager);
    await this.afterCreate(manager, user, input, creation);
    return user;
  }

  /** Whoever acts gives no roles that grant more than they hold. */
  async assertMayGive(manager: EntityManager, { tenantId, roleIds, platformRoleIds }: NewUser): Promise<void> {
    if (roleIds.length > 0) await this.delegation.assertMayGrant(manager, { tenantId }, { roleIds });
    if (platformRoleIds.length > 0) {
      await this.delegation.assertMayGrant(manager, { tenantId: null }, { roleIds: platformRoleIds });
    }
  }

  #granting<T>(manager: EntityManager, user: NewUser, write: (manager: EntityManager) => Promise<T>): Promise<T> {
    if (user.roleIds.length + user.platformRoleIds.length === 0) return write(manager);
    return this.delegation.guard(manager, (m) => this.assertMayGive(m, user), write);
  }

  /** The row to write for an input that hooks may have changed. */
  newUser(creation: Creation, input: CreateUserHookInput): NewUser {
    // Parsing email and phone costs more than the rest of a creation here; a hook may have changed them in place.
    const prepared = this.needsTransaction ? this.#prepareAgain(creation, input) : creation.prepared;
    const { tenantId, realmId, passwordHash, platform, context } = creation;
    const scope = { realmId, tenantId, platform: isOnPlatform(prepared, platform) };
    return { ...prepared, ...scope, id: uuidv7(), passwordHash, context };
  }

  /** What a hook has changed obeys the same rules. */
  #prepareAgain(creation: Creation, input: CreateUserHookInput): PreparedUser {
    assertNoHookPassword(input);
    const prepared = prepareCreate(input, this.defaultRegion);
    assertInScope(prepared, creation.platform, creation);
    return prepared;
  }

  /** Runs the host's code for a written user and announces it after COMMIT. */
  async afterCreate(
    manager: EntityManager,
    user: NestAuthUser,
    input: CreateUserHookInput,
    { tenantId, context }: Creation,
  ): Promise<void> {
    await this.hooks.run(manager, ({ afterCreate }) => afterCreate?.(user, input, manager, context));
    this.events.publish(manager, new UserCreatedEvent(user, input, tenantId, context));
    if (context.source === 'signup') {
      this.events.publish(manager, new UserRegisteredEvent(user, input, tenantId, context));
    }
  }

  /** The input as the host's code leaves it. */
  async beforeCreate(manager: EntityManager, { input, context }: Creation): Promise<CreateUserHookInput> {
    const changed = await this.hooks.run(manager, ({ beforeCreate }) => beforeCreate?.(input, manager, context));
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
    throw lostEveryRace(this.transactions.hidesRows);
  }

  /** The written row, or null when a login is taken. */
  async #tryInsert(manager: EntityManager, wanted: NewUser): Promise<CreateUserRow | null> {
    const joined = isInTransaction(manager);
    const row = await insertUser(manager, wanted, joined).catch((error: unknown) => {
      // Alone, a race for a provider account fails the statement as a whole; it is named like any other conflict.
      if (isNestAuthError(error, 'IDENTITY_ALREADY_EXISTS') && !joined) return null;
      // So is a deadlock with an update of another user to the same login, which takes the two indexes the other way.
      if (isNestAuthError(error, 'TRANSACTION_CONFLICT') && !joined) return null;
      if (error instanceof CommitOutcomeUnknownError) throw this.#outcomeOf(wanted.id, error);
      throw error;
    });
    if (row === null) return null;
    if (!row.tenant_ok) throw tenantNotFound();
    if (!row.roles_ok)
      throw await explainRoles(manager, wanted.roleIds, { tenantId: wanted.tenantId, platform: false });
    if (!row.platform_roles_ok) {
      throw await explainRoles(manager, wanted.platformRoleIds, { tenantId: null, platform: true });
    }
    if (row.created_at === null) return null;
    noteTransactionId(manager, row.transaction_id);
    if (row.identities === identityCount(wanted)) return row;
    await discardUser(manager, wanted.id);
    return null;
  }

  /** A creation that was its own transaction can be looked up: it is there, or its end is not known yet. */
  #outcomeOf(id: string, error: CommitOutcomeUnknownError): CommitOutcomeUnknownError {
    const resolve = (): Promise<'committed' | 'unknown'> =>
      this.transactions.operate(this.transactions.dataSource.manager, async (manager) =>
        (await findUserById(manager, id)) === null ? 'unknown' : 'committed',
      );
    return new CommitOutcomeUnknownError(resolve, error.cause);
  }
}

function isOnPlatform({ platformRoleIds }: PreparedUser, platform: boolean): boolean {
  return platform || platformRoleIds.length > 0;
}

/** Refuses roles where there is no place for them. */
function assertInScope(
  prepared: PreparedUser,
  platform: boolean,
  { tenantId, realmId }: { readonly tenantId: string | null; readonly realmId: string },
): void {
  if (tenantId === null && prepared.roleIds.length > 0) {
    throw new NestAuthError('TENANT_REQUIRED', 'roleIds are roles in a tenant; pass tenantId to createUser');
  }
  if (isOnPlatform(prepared, platform) && realmId !== NIL_UUID) {
    throw new NestAuthError(
      'TENANT_SCOPE_MISMATCH',
      'In ISOLATED tenancy a user of a tenant cannot be a platform user; use createPlatformUser without a tenant',
    );
  }
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
    // As the database will answer it: a later save of the entity must see no change.
    metadata: JSON.parse(JSON.stringify(wanted.metadata)) as Record<string, unknown>,
    version: 1,
    createdAt,
    updatedAt: createdAt,
    activatedAt: wanted.isActive ? createdAt : null,
    deactivatedAt: null,
    disabledAt: null,
    scheduledDeletionAt: null,
    lastLoginAt: null,
    legalHoldAt: null,
    legalHoldReason: null,
    softDeletedAt: null,
  });
  return rememberOrigin(user, manager);
}
