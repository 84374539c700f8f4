import type { EntityManager } from 'typeorm';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { assertUuid, checkMetadata, InputIssues } from '../errors/input.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import type { AccountPort, UpdateIdentityInput } from './account.port.js';
import type { UpdateUserInput } from './account.types.js';
import type { HashedPassword } from './hashed-password.js';
import {
  findIdentityRow,
  findLoginIdentity,
  findOrCreateIdentityRow,
  healLoginIdentity,
  patchIdentityRow,
  replaceIdentityRow,
} from './identity.queries.js';
import type { NestAuthIdentity } from './identity.entity.js';
import { CONFLICT_ATTEMPTS, conflictError } from './login-conflict.queries.js';
import { aboutUser } from './password-about.policy.js';
import type { PasswordHistory } from './password-history.operations.js';
import type { PasswordPolicy } from './password-policy.service.js';
import type { PasswordAbout } from './password-policy.types.js';
import { isHashedPassword, type PasswordService } from './password.service.js';
import type { NestAuthUser } from './user.entity.js';
import type { UserOperations } from './user.operations.js';
import { lostEveryRace, userNotFound } from './user-refusals.policy.js';
import { prepareIdentity } from './user-input.policy.js';
import { storePasswordHash, upgradePasswordHash } from './user-change.queries.js';
import { lockUser, readPasswordHash } from './user.queries.js';

/** What the helpers of a user entity do, by the same operations as the services. */
export class IdentityOperations implements AccountPort {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly users: UserOperations,
    private readonly passwords: PasswordService,
    private readonly policy: PasswordPolicy,
    private readonly history: PasswordHistory,
    private readonly defaultRegion: string | undefined,
  ) {}

  async findOrCreateIdentity(
    user: NestAuthUser,
    provider: string,
    providerId: string,
    manager?: EntityManager,
  ): Promise<NestAuthIdentity> {
    assertUuid('user.id', user.id);
    const wanted = prepareIdentity(provider, providerId, this.defaultRegion);
    const needsTransaction = this.users.changeNeedsTransaction;
    for (let attempt = 0; attempt < CONFLICT_ATTEMPTS; attempt += 1) {
      const found = await this.transactions.perform(needsTransaction, manager, (m) =>
        this.#findOrCreate(m, user, wanted),
      );
      if (found !== null) return found;
      // The user has no such login yet: taking it is a change of the user, and makes the identity on the way.
      await this.#change(user, { [provider]: providerId }, manager);
    }
    throw lostEveryRace(this.transactions.hidesRows);
  }

  /** Null when the login is the user's to take, but not theirs yet. */
  async #findOrCreate(
    manager: EntityManager,
    user: NestAuthUser,
    { provider, providerId }: { provider: string; providerId: string },
  ): Promise<NestAuthIdentity | null> {
    if (isLogin(provider)) return this.#findLogin(manager, user, provider, providerId);
    const existing = await this.#findAccount(manager, user, provider, providerId);
    if (existing !== null) return existing;
    const { identity } = await this.users.change(manager, user.id, { identities: [provider] }, ['identities'], () =>
      this.#createAccount(manager, user, provider, providerId),
    );
    return identity;
  }

  /** With hooks, whether the identity is new must be known before they run; without, creating it tells. */
  async #findAccount(
    manager: EntityManager,
    user: NestAuthUser,
    provider: string,
    providerId: string,
  ): Promise<NestAuthIdentity | null> {
    if (!this.users.changeNeedsTransaction) return null;
    const identity = await findIdentityRow(manager, user, provider, providerId);
    if (identity !== null && identity.userId !== user.id) throw conflictError(['identities']);
    return identity;
  }

  async #createAccount(
    manager: EntityManager,
    user: NestAuthUser,
    provider: string,
    providerId: string,
  ): Promise<{ user: NestAuthUser; changed: boolean; identity: NestAuthIdentity } | null> {
    for (let attempt = 0; attempt < CONFLICT_ATTEMPTS; attempt += 1) {
      const found = await findOrCreateIdentityRow(manager, user, provider, providerId);
      if (found !== null) {
        if (found.identity.userId !== user.id) throw conflictError(['identities']);
        return { user, changed: found.made, identity: found.identity };
      }
      // Nobody has it and it was not made: either the user is gone, or its holder has just committed.
      await this.users.getOrThrow(manager, user.id);
    }
    throw lostEveryRace(this.transactions.hidesRows);
  }

  async #findLogin(
    manager: EntityManager,
    user: NestAuthUser,
    provider: 'email' | 'phone',
    providerId: string,
  ): Promise<NestAuthIdentity | null> {
    const identity = (await findLoginIdentity(manager, user, provider)) ?? (await this.#heal(manager, user, provider));
    if (identity === null) return null;
    if (identity.providerId === providerId) return identity;
    const method = provider === 'email' ? 'updateEmail' : 'updatePhone';
    throw new NestAuthError(
      'IDENTITY_MISMATCH',
      `The user has another ${provider}, and its identity is always equal to it; change both with ${method}`,
      { details: { fields: [provider] } },
    );
  }

  /** Repairs what somebody has deleted by hand: no hook of the host is asked, but it is announced like any identity made. */
  async #heal(
    manager: EntityManager,
    user: NestAuthUser,
    provider: 'email' | 'phone',
  ): Promise<NestAuthIdentity | null> {
    const identity = await healLoginIdentity(manager, user, provider);
    if (identity !== null) this.users.announceUpdated(manager, user, {}, ['identities']);
    return identity;
  }

  async updateOrCreateIdentity(
    user: NestAuthUser,
    provider: string,
    data: UpdateIdentityInput,
    manager?: EntityManager,
  ): Promise<NestAuthIdentity> {
    assertUuid('user.id', user.id);
    const { providerId, metadata = {} } = data;
    const issues = new InputIssues();
    issues.fields(data, ['providerId', 'metadata']);
    checkMetadata(issues, 'metadata', metadata);
    issues.refuse('The identity cannot be updated');
    const wanted = providerId === undefined ? null : prepareIdentity(provider, providerId, this.defaultRegion);
    return this.transactions.atomic(manager, async (m) => {
      if (wanted !== null && isLogin(provider)) await this.#change(user, { [provider]: providerId }, m);
      return this.#replace(m, user, provider, isLogin(provider) ? null : wanted, metadata);
    });
  }

  async #replace(
    manager: EntityManager,
    user: NestAuthUser,
    provider: string,
    wanted: { providerId: string } | null,
    metadata: Readonly<Record<string, unknown>>,
  ): Promise<NestAuthIdentity> {
    // Held, so that two replacements of one account cannot leave both.
    if ((await lockUser(manager, user.id)) === null) throw userNotFound(user.id);
    const { identity } = await this.users.change(
      manager,
      user.id,
      { identities: [provider] },
      ['identities'],
      async () => {
        const made =
          wanted === null
            ? await patchIdentityRow(manager, user, provider, metadata)
            : await replaceIdentityRow(manager, user, provider, wanted.providerId, metadata);
        if (made !== null) return { user, changed: true, identity: made };
        throw wanted === null ? noIdentityYet(provider) : conflictError(['identities']);
      },
    );
    return identity;
  }

  updateEmail(user: NestAuthUser, email: string | null, manager?: EntityManager): Promise<void> {
    return this.#change(user, { email }, manager);
  }

  updatePhone(user: NestAuthUser, phone: string | null, manager?: EntityManager): Promise<void> {
    return this.#change(user, { phone }, manager);
  }

  /** Changes the user by the operation the service uses, and brings the entity up to date. */
  async #change(user: NestAuthUser, input: UpdateUserInput, manager?: EntityManager): Promise<void> {
    assertUuid('user.id', user.id);
    const updated = await this.transactions.atomic(manager, (m) => this.users.update(m, user.id, input));
    refresh(user, updated);
  }

  async setPassword(
    user: NestAuthUser,
    password: string | HashedPassword | null,
    manager?: EntityManager,
  ): Promise<void> {
    assertUuid('user.id', user.id);
    const pinned = this.transactions.pin(manager);
    const phc = await this.hashOf(password, aboutUser(user), pinned, user.id);
    const needsTransaction = this.users.changeNeedsTransaction;
    const { user: updated } = await this.transactions.perform(needsTransaction, pinned, (m) =>
      this.users.change(m, user.id, { passwordChanged: true }, ['password'], async () => {
        const stored = await storePasswordHash(m, user.id, phc, this.history.size);
        return stored === null ? null : { user: stored, changed: true };
      }),
    );
    refresh(user, updated);
  }

  async validatePassword(user: NestAuthUser, password: string, manager?: EntityManager): Promise<boolean> {
    assertUuid('user.id', user.id);
    const pinned = this.transactions.pin(manager);
    const stored = (await this.transactions.operate(pinned, (m) => readPasswordHash(m, user.id))) ?? null;
    const matches = await this.passwords.verify(stored, password);
    if (matches && stored !== null && this.passwords.needsRehash(stored)) {
      const { phc } = await this.passwords.hash(password);
      await this.transactions.operate(pinned, (m) => upgradePasswordHash(m, user.id, stored, phc));
    }
    return matches;
  }

  /**
   * What is stored for a password of any accepted form. Judges plain text, for a user who is there also by the history,
   * and hashes it: no connection may be held here.
   */
  async hashOf(
    password: string | HashedPassword | null | undefined,
    about: PasswordAbout,
    manager: EntityManager | undefined,
    userId?: string,
  ): Promise<string | null> {
    if (password === undefined || password === null) return null;
    if (isHashedPassword(password)) return password.phc;
    await this.policy.assertAcceptable(password, about, manager);
    if (userId !== undefined) await this.history.assertNew(manager, userId, password);
    return (await this.passwords.hash(password)).phc;
  }
}

function isLogin(provider: string): provider is 'email' | 'phone' {
  return provider === 'email' || provider === 'phone';
}

/** Copies the columns, not the relations: those were loaded by the host, for reasons of its own. */
function refresh(user: NestAuthUser, updated: NestAuthUser): void {
  Object.assign(user, updated);
}

function noIdentityYet(provider: string): NestAuthError {
  return new NestAuthError('VALIDATION_FAILED', `The user has no ${provider} identity yet; pass its providerId`, {
    details: { issues: [{ path: 'providerId', message: 'is needed to make an identity' }] },
  });
}
