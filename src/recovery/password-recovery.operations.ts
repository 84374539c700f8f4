import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { aboutUser } from '../account/password-about.policy.js';
import type { PasswordHistory } from '../account/password-history.operations.js';
import type { PasswordPolicy } from '../account/password-policy.service.js';
import type { PasswordService } from '../account/password.service.js';
import { storePasswordHash } from '../account/user-change.queries.js';
import type { NestAuthUser } from '../account/user.entity.js';
import type { UserOperations } from '../account/user.operations.js';
import type { EventPublisher } from '../events/event-publisher.js';
import { PasswordResetEvent, PasswordResetRequestedEvent, SessionsRevokedEvent } from '../events/nest-auth.events.js';
import { findLinkedIdentities } from '../external/external-link.queries.js';
import { asUser } from '../session/auth.operations.js';
import { endSessions } from '../session/end-session.queries.js';
import type { LockoutOperations } from '../session/lockout.operations.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { findHolder, issueReset, spendReset } from './issue.queries.js';
import type { OneTimeTokenOperations } from './one-time-token.operations.js';
import { endTokens } from './one-time-token.queries.js';
import { changePassword, dropAccounts, findLinkHolder } from './password.queries.js';
import type { ReauthenticationOperations } from './reauthentication.operations.js';
import type { PreparedReset } from './recovery-input.policy.js';
import type { RecoveryDependents } from './recovery-dependents.js';
import { invalidToken, wrongPassword } from './recovery-refusals.policy.js';
import { type PasswordChangeInput, type PasswordResetInput, RequestedReset } from './recovery.types.js';

const PURPOSE = 'password_reset';

/** The rules of another password. It is judged and hashed before anything is written. */
export class PasswordRecoveryOperations {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly events: EventPublisher,
    private readonly users: UserOperations,
    private readonly passwords: PasswordService,
    private readonly policy: PasswordPolicy,
    private readonly history: PasswordHistory,
    private readonly lockout: LockoutOperations,
    private readonly tokens: OneTimeTokenOperations,
    private readonly reauthentication: ReauthenticationOperations,
    private readonly dependents: RecoveryDependents,
  ) {}

  /** The same statements for everybody; for nobody a link is made that is never stored. */
  async requestReset(manager: EntityManager | undefined, wanted: PreparedReset): Promise<RequestedReset> {
    const holder = await this.transactions.operate(manager, (m) => findHolder(m, wanted.realmId, wanted.email ?? ''));
    const userId = holder ?? uuidv7();
    const made = this.tokens.make(PURPOSE, 'link', userId);
    const issueId = await this.transactions.operate(manager, async (m) => {
      const id = await issueReset(m, made, wanted);
      this.events.publish(m, new PasswordResetRequestedEvent(id === null ? null : userId, id));
      return id;
    });
    return new RequestedReset(() => {
      const revealed = issueId === null ? null : this.tokens.reveal(PURPOSE, 'link', userId, made);
      return revealed !== null && 'token' in revealed ? { ...revealed, userId } : null;
    });
  }

  async reset(manager: EntityManager | undefined, { token, password }: PasswordResetInput): Promise<void> {
    const shown = this.tokens.read(PURPOSE, { token });
    const holder = await this.transactions.operate(manager, (m) => findLinkHolder(m, shown));
    if (holder === undefined) throw invalidToken();
    await this.policy.assertAcceptable(password, aboutUser(holder), manager);
    await this.history.assertNew(manager, shown.userId, password);
    const { phc } = await this.passwords.hash(password);
    await asUser(shown.userId, () =>
      this.transactions.atomic(manager, async (m) => {
        const spent = await spendReset(m, shown);
        if (spent === undefined) throw invalidToken();
        this.events.publish(m, new PasswordResetEvent(shown.userId, spent.id));
        const user = await this.#store(m, shown.userId, () =>
          storePasswordHash(m, shown.userId, phc, this.history.size),
        );
        if (!spent.email_verified) await this.#proveEmail(m, user, spent.address);
        await this.#endSessions(m, shown.userId, undefined);
        // Whoever was in the account until now may have asked for it: also to prove a phone number of theirs.
        await endTokens(m, shown.userId);
        await this.dependents.end(m, shown.userId);
        await this.lockout.clear(m, shown.userId);
      }),
    );
  }

  async change(manager: EntityManager | undefined, input: PasswordChangeInput): Promise<void> {
    const { userId, currentPassword, newPassword, keepSessionId } = input;
    const proven = await this.reauthentication.password(manager, userId, currentPassword);
    await this.policy.assertAcceptable(newPassword, aboutUser(proven), manager);
    await this.history.assertNew(manager, proven.id, newPassword);
    const { phc } = await this.passwords.hash(newPassword);
    const change = { userId: proven.id, phc, stamp: proven.security_stamp, session: keepSessionId ?? null };
    await asUser(proven.id, () =>
      this.transactions.atomic(manager, async (m) => {
        await this.#store(m, proven.id, async () => {
          const changed = await changePassword(m, change, this.history.size);
          // Somebody else was faster, and the password that was shown is not the current one any more.
          if (changed === null) throw wrongPassword();
          return changed;
        });
        await this.#endSessions(m, proven.id, keepSessionId);
      }),
    );
  }

  /** Between the hooks of the host, and announced, as by `setPassword`. */
  async #store(
    manager: EntityManager,
    userId: string,
    store: () => Promise<NestAuthUser | null>,
  ): Promise<NestAuthUser> {
    const { user } = await this.users.change(manager, userId, { passwordChanged: true }, ['password'], async () => {
      const stored = await store();
      return stored === null ? null : { user: stored, changed: true };
    });
    return user;
  }

  /**
   * The link has shown whose the email is. Whoever made the account under it before need not have been that person: what
   * was linked to it until then goes, or it would be a way in that stays.
   */
  async #proveEmail(manager: EntityManager, user: NestAuthUser, address: string): Promise<void> {
    const providers = (await findLinkedIdentities(manager, user.id)).map(({ provider }) => provider);
    if (providers.length > 0) {
      const identities = [...new Set(providers)];
      await this.users.change(manager, user.id, { identities }, ['identities'], async () => ({
        user,
        changed: await dropAccounts(manager, user),
      }));
    }
    await this.users.verify(manager, user.id, 'email', true, address);
  }

  async #endSessions(manager: EntityManager, userId: string, keep: string | undefined): Promise<void> {
    const ended = await endSessions(manager, keep === undefined ? 'all' : 'others', userId, 'password_changed', keep);
    if (ended.length > 0) this.events.publish(manager, new SessionsRevokedEvent(userId, ended, 'password_changed'));
  }
}
