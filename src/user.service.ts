import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { AccessOperations } from './access/access.operations.js';
import type { AccessDelta } from './access/access.types.js';
import type { NestAuthUserAccess } from './access/user-access.entity.js';
import type {
  CreateUserContext,
  CreateUserInput,
  CreateUsersOptions,
  CreateUsersResult,
  Metadata,
  UpdateUserInput,
} from './account/account.types.js';
import { BulkCreateOperations } from './account/bulk-create.operations.js';
import { CreateUserOperations } from './account/create-user.operations.js';
import { IdentityOperations } from './account/identity.operations.js';
import { aboutUser } from './account/password-about.policy.js';
import { UserFinder } from './account/user-finder.js';
import type { GetUserOptions, GetUsersOptions, UserPage } from './account/user-list.types.js';
import type { NestAuthUser } from './account/user.entity.js';
import { UserOperations } from './account/user.operations.js';
import { assertUuid, InputIssues } from './errors/input.js';
import type { NestAuthTenant } from './tenant/tenant.entity.js';
import type { PageOptions } from './transaction/keyset.js';
import { TransactionHost } from './transaction/transaction-host.js';
import type { RunInTransactionOptions, TransactionalManager } from './transaction/transaction.types.js';

/**
 * Users, from creation to deletion.
 *
 * Every method takes the manager last. Passed, each statement runs on it; omitted inside a transaction, the call joins
 * that one; omitted elsewhere, the call is atomic by itself. Passing `dataSource.manager` means "outside, on purpose".
 * A refusal for a conflict, a missing row or bad input leaves the caller's transaction usable. Ids that are not UUIDs
 * are refused with `VALIDATION_FAILED` by every method. Events leave after the outermost COMMIT.
 */
@Injectable()
export class UserService {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly creations: CreateUserOperations,
    private readonly users: UserOperations,
    private readonly identities: IdentityOperations,
    private readonly bulk: BulkCreateOperations,
    private readonly finder: UserFinder,
    private readonly access: AccessOperations,
  ) {}

  /**
   * Runs `fn` in a transaction: commits when it resolves, rolls back when it throws, and resolves to its value.
   *
   * Everything that this package does inside joins it, with or without the `manager` that `fn` receives; the host's own
   * statements need that manager. The callback is run again, as a whole, after a deadlock, a serialization failure, a
   * connection lost before COMMIT, or none to be had (`options.retries`): it must not do what cannot be repeated.
   *
   * Inside a running transaction it joins that one by default; see `options.nested`.
   *
   * @throws what `fn` throws; `TRANSACTION_ABORTED` when a failure inside was swallowed, so that nothing was kept;
   *   `TRANSACTION_BUSY` when `fn` returned while its work was still running; `TRANSACTION_TIMEOUT`;
   *   `COMMIT_OUTCOME_UNKNOWN`, whose `resolve()` asks the server; `CONNECTION_LOST`, `CONNECTION_UNAVAILABLE`,
   *   `TRANSACTION_CONFLICT` once the retries are used up; `VALIDATION_FAILED` for wrong options, and for those of the
   *   opener (`isolation`, `timeoutMs`, `lockTimeoutMs`) when it joins.
   */
  runInTransaction<T>(
    fn: (manager: TransactionalManager) => Promise<T>,
    options?: RunInTransactionOptions,
  ): Promise<T> {
    return this.transactions.run(fn, options);
  }

  /**
   * Runs `callback` after the outermost COMMIT, never after a rollback, not even one of an enclosing savepoint.
   * Outside a transaction it runs at once. It gets no manager, is not awaited, and cannot change the outcome: a failure
   * is logged. What must survive a crash between COMMIT and callback does not belong here.
   *
   * @throws `TRANSACTION_ENDED` when the transaction is over.
   */
  afterCommit(callback: () => unknown, manager?: EntityManager): void {
    this.transactions.afterCommit(manager, callback);
  }

  /**
   * Creates a user with password, identities, access to the tenant and roles.
   *
   * Transaction: one statement; with `user` hooks, a transaction of its own unless one is joined. A plain password is
   * judged by `PasswordPolicy` and hashed first, before a connection is taken; inside a transaction pass one from
   * `PasswordService.hash`.
   * Tenancy: `tenantId` is optional in `SHARED` (no access without), built-in in `DISABLED`, required in `ISOLATED`.
   *
   * @throws `VALIDATION_FAILED`, `EMAIL_ALREADY_EXISTS`, `PHONE_ALREADY_EXISTS`, `IDENTITY_ALREADY_EXISTS`,
   *   `TENANT_REQUIRED`, `TENANT_NOT_FOUND`, `TENANT_SCOPE_MISMATCH`, `ROLE_NOT_FOUND`, `ROLE_SCOPE_MISMATCH`,
   *   `PASSWORD_REFUSED`, `PASSWORD_CHECK_UNAVAILABLE`, `HASHING_BUSY`. All leave nothing behind.
   */
  createUser(
    data: CreateUserInput,
    tenantId?: string | null,
    context: CreateUserContext = {},
    manager?: EntityManager,
  ): Promise<NestAuthUser> {
    return this.#create(data, tenantId, context, false, manager);
  }

  /** As {@link createUser}, for an administrator of the platform: bound to no tenant, with platform access. */
  createPlatformUser(
    data: CreateUserInput,
    context: CreateUserContext = {},
    manager?: EntityManager,
  ): Promise<NestAuthUser> {
    return this.#create(data, undefined, context, true, manager);
  }

  async #create(
    data: CreateUserInput,
    tenantId: string | null | undefined,
    context: CreateUserContext,
    platform: boolean,
    manager: EntityManager | undefined,
  ): Promise<NestAuthUser> {
    const pinned = this.transactions.pin(manager);
    // Everything that can be refused without the database is, before a password is hashed for nothing.
    const planned = this.creations.plan(data, null, tenantId, context, platform);
    const passwordHash = await this.identities.hashOf(data.password, aboutUser(data), pinned);
    const creation = { ...planned, passwordHash };
    return this.transactions.perform(this.creations.needsTransaction, pinned, (m) =>
      this.creations.create(m, creation),
    );
  }

  /**
   * Creates many users with few statements; each row succeeds or is refused by itself.
   *
   * Transaction: joined as a whole; else one a chunk, so that a crash keeps whole chunks. Duplicates within `rows` go
   * to the first. Never throws for a row: see `rows[i].error`, in the order of the input.
   *
   * @param options - `onProgress` after each chunk; `dryRun` says what would be refused and writes nothing.
   */
  createUsers(
    rows: readonly CreateUserInput[],
    options: CreateUsersOptions = {},
    manager?: EntityManager,
  ): Promise<CreateUsersResult<NestAuthUser>> {
    return this.bulk.create(rows, options, manager);
  }

  /**
   * Changes the fields named. A changed email or phone replaces its identity and starts unverified.
   *
   * Transaction: one statement for status and metadata; with email, phone or `user` hooks several, in one transaction.
   * Idempotent: a change to what already is writes and announces nothing.
   *
   * @throws `USER_NOT_FOUND`, `EMAIL_ALREADY_EXISTS`, `PHONE_ALREADY_EXISTS`, `STALE_VERSION`, `VALIDATION_FAILED`.
   */
  async updateUser(id: string, data: UpdateUserInput, manager?: EntityManager): Promise<NestAuthUser> {
    assertUuid('id', id);
    if (this.users.updateIsOneStatement(data)) {
      return this.transactions.operate(manager, (m) => this.users.patch(m, id, data));
    }
    return this.transactions.atomic(manager, (m) => this.users.update(m, id, data));
  }

  /**
   * Deletes a user with identities, accesses and roles. Rows of the host that refer to it are the host's to delete,
   * in the same transaction, or by a cascading foreign key.
   *
   * Transaction: one statement, in a savepoint when one is joined; with hooks, a transaction of its own otherwise.
   *
   * @throws `USER_NOT_FOUND`; `USER_IN_USE` when a row of the host still refers to the user.
   */
  async deleteUser(id: string, manager?: EntityManager): Promise<void> {
    assertUuid('id', id);
    await this.transactions.perform(this.users.deleteNeedsTransaction, manager, (m) => this.users.delete(m, id));
  }

  /**
   * Marks the email or the phone as proven. One statement, with `user` hooks a transaction; idempotent: the first time
   * stays.
   *
   * @throws `USER_NOT_FOUND`; `VALIDATION_FAILED` when the user has none.
   */
  verifyUser(id: string, type: 'email' | 'phone' = 'email', manager?: EntityManager): Promise<NestAuthUser> {
    return this.#verify(id, type, true, manager);
  }

  /** Takes the proof of email or phone back. As {@link verifyUser}. */
  unverifyUser(id: string, type: 'email' | 'phone' = 'email', manager?: EntityManager): Promise<NestAuthUser> {
    return this.#verify(id, type, false, manager);
  }

  async #verify(
    id: string,
    type: 'email' | 'phone',
    verified: boolean,
    manager: EntityManager | undefined,
  ): Promise<NestAuthUser> {
    assertUuid('id', id);
    return this.transactions.perform(this.users.changeNeedsTransaction, manager, (m) =>
      this.users.verify(m, id, type, verified),
    );
  }

  /** Activates, or deactivates an active user. As {@link updateUser} with `isActive`. */
  async updateUserStatus(id: string, isActive: boolean, manager?: EntityManager): Promise<NestAuthUser> {
    assertGiven('isActive', isActive);
    return this.updateUser(id, { isActive }, manager);
  }

  /**
   * Merges metadata key by key; `null` removes a key. Merged by the database, so that concurrent calls all count.
   * As {@link updateUser} with `metadata`.
   */
  async updateUserMetadata(id: string, metadata: Metadata, manager?: EntityManager): Promise<NestAuthUser> {
    assertGiven('metadata', metadata);
    return this.updateUser(id, { metadata }, manager);
  }

  /** The user, or null. One statement, and one a relation that is asked for. */
  async getUserById(id: string, options: GetUserOptions = {}, manager?: EntityManager): Promise<NestAuthUser | null> {
    assertUuid('id', id);
    return this.transactions.operate(manager, (m) => this.finder.byId(m, id, options));
  }

  /**
   * The user with this email in any spelling, or null, also for what is no email. With `tenantId` only a member of
   * that tenant; required in `ISOLATED` tenancy. One statement.
   */
  getUserByEmail(
    email: string,
    tenantId?: string | null,
    options: GetUserOptions = {},
    manager?: EntityManager,
  ): Promise<NestAuthUser | null> {
    return this.transactions.operate(manager, (m) => this.finder.byEmail(m, email, tenantId ?? null, options));
  }

  /** As {@link getUserByEmail}, for a phone number: international, or national with `phone.defaultRegion`. */
  getUserByPhone(
    phone: string,
    tenantId?: string | null,
    options: GetUserOptions = {},
    manager?: EntityManager,
  ): Promise<NestAuthUser | null> {
    return this.transactions.operate(manager, (m) => this.finder.byPhone(m, phone, tenantId ?? null, options));
  }

  /** The user with this email who has platform access, or null. One statement. */
  getPlatformUserByEmail(
    email: string,
    options: GetUserOptions = {},
    manager?: EntityManager,
  ): Promise<NestAuthUser | null> {
    return this.transactions.operate(manager, (m) => this.finder.platformByEmail(m, email, options));
  }

  /** Whether a user of the realm has this email: everywhere, or in `ISOLATED` tenancy in the tenant. One statement. */
  emailExists(email: string, tenantId?: string | null, manager?: EntityManager): Promise<boolean> {
    return this.transactions.operate(manager, (m) => this.finder.emailExists(m, email, tenantId ?? null));
  }

  /**
   * Users in order of creation: 20, or `limit`, at most 200. For further pages see {@link getUsersPage}.
   *
   * Read at the primary; with `replica: true` at a replica, unless a transaction is running or `manager` is passed.
   */
  async getUsers(options: GetUsersOptions = {}, manager?: EntityManager): Promise<NestAuthUser[]> {
    return (await this.getUsersPage(options, manager)).items;
  }

  /** As {@link getUsers}, with the cursor of the next page: every page costs the same, however far. */
  getUsersPage(options: GetUsersOptions = {}, manager?: EntityManager): Promise<UserPage> {
    return this.transactions.browse(options, manager, (m) => this.finder.page(m, options));
  }

  /** As {@link getUsers}, with the number of all users the filters match, which reads every one of them. */
  getUsersAndCount(options: GetUsersOptions = {}, manager?: EntityManager): Promise<[NestAuthUser[], number]> {
    return this.transactions.browse(options, manager, async (m) => {
      const { items } = await this.finder.page(m, options);
      return [items, await this.finder.count(m, options)];
    });
  }

  /** How many users the filters match; reads every one of them. */
  countUsers(options: GetUsersOptions = {}, manager?: EntityManager): Promise<number> {
    return this.transactions.browse(options, manager, (m) => this.finder.count(m, options));
  }

  /** Holders of a role, the first 200 in order of creation; for more use {@link getUsersPage} with `role`. */
  getUsersByRole(
    roleName: string,
    guard: string,
    tenantId?: string | null,
    manager?: EntityManager,
  ): Promise<NestAuthUser[]> {
    return this.transactions.operate(manager, (m) =>
      this.finder.byRole(m, { name: roleName, guard }, tenantId ?? undefined),
    );
  }

  /** Users with platform access; as {@link getUsers}. */
  getPlatformUsers(options: Omit<GetUsersOptions, 'platform'> = {}, manager?: EntityManager): Promise<NestAuthUser[]> {
    return this.getUsers({ ...options, platform: true }, manager);
  }

  /** Users with platform access; as {@link getUsersAndCount}. */
  getPlatformUsersAndCount(
    options: Omit<GetUsersOptions, 'platform'> = {},
    manager?: EntityManager,
  ): Promise<[NestAuthUser[], number]> {
    return this.getUsersAndCount({ ...options, platform: true }, manager);
  }

  /** Holders of a role of the admin guard; as {@link getUsersByRole}. */
  getPlatformUsersByRole(roleName: string, manager?: EntityManager): Promise<NestAuthUser[]> {
    return this.getUsersByRole(roleName, 'admin', undefined, manager);
  }

  /**
   * Active tenants in which the user has an active access: 20, or `limit`, at most 100. One statement. A sign-in must
   * not pass `replica: true`: the answer of a replica may be old.
   */
  async getUserTenants(userId: string, manager?: EntityManager, options: PageOptions = {}): Promise<NestAuthTenant[]> {
    assertUuid('userId', userId);
    return this.transactions.browse(options, manager, (m) => this.access.getUserTenants(m, userId, options));
  }

  /**
   * Tenants in which somebody with this email has an active access, at most 100: what a sign-in form asks when an
   * email means different people in different tenants. Do not answer it to strangers.
   */
  getTenantsByEmail(email: string, manager?: EntityManager): Promise<NestAuthTenant[]> {
    return this.transactions.operate(manager, (m) => this.finder.tenantsByEmail(m, email));
  }

  /** As {@link getTenantsByEmail}, for a phone number. */
  getTenantsByPhone(phone: string, manager?: EntityManager): Promise<NestAuthTenant[]> {
    return this.transactions.operate(manager, (m) => this.finder.tenantsByPhone(m, phone));
  }

  /** Whether an active user has an active access to the active tenant. One statement. */
  isUserInTenant(userId: string, tenantId: string, manager?: EntityManager): Promise<boolean> {
    return this.transactions.operate(manager, (m) => this.access.isUserInTenant(m, userId, tenantId));
  }

  /**
   * The user's access to the tenant, made if there is none. Idempotent; 50 at once make one.
   *
   * @throws `USER_NOT_FOUND`, `TENANT_NOT_FOUND`, `TENANT_SCOPE_MISMATCH`.
   */
  ensureUserAccess(userId: string, tenantId: string, manager?: EntityManager): Promise<NestAuthUserAccess> {
    return this.transactions.operate(manager, (m) => this.access.ensureUserAccess(m, userId, tenantId));
  }

  /**
   * Makes `roleIds` the user's roles in the tenant, and the access if there is none. Of several calls at once one set
   * wins, never a union. At most two statements.
   *
   * @throws `ROLE_NOT_FOUND`, `ROLE_SCOPE_MISMATCH`, `USER_NOT_FOUND`, `TENANT_NOT_FOUND`, `TENANT_SCOPE_MISMATCH`;
   *   none of them changes anything.
   */
  setUserAccessRoles(
    userId: string,
    tenantId: string,
    roleIds: readonly string[],
    manager?: EntityManager,
  ): Promise<AccessDelta> {
    return this.transactions.operate(manager, (m) =>
      this.access.roles.setUserAccessRoles(m, userId, tenantId, roleIds),
    );
  }

  /** Takes the access to the tenant away, with its roles. Answers whether there was one. One statement. */
  deleteUserAccess(userId: string, tenantId: string, manager?: EntityManager): Promise<boolean> {
    return this.transactions.perform(this.access.endNeedsTransaction, manager, (m) =>
      this.access.deleteUserAccess(m, userId, tenantId),
    );
  }
}

/** In an input an absent field means "as it is"; an argument of its own must be there. */
function assertGiven(path: string, value: unknown): void {
  if (value !== undefined) return;
  const issues = new InputIssues();
  issues.add(path, 'must be given');
  issues.refuse('The user cannot be updated');
}
