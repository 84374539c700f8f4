import type { EntityManager } from 'typeorm';
import { userDisabled } from '../account/user-refusals.policy.js';
import type { NestAuthUser } from '../account/user.entity.js';
import type { UserOperations } from '../account/user.operations.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import type { EventPublisher } from '../events/event-publisher.js';
import {
  EmailChangeRequestedEvent,
  PhoneChangeRequestedEvent,
  VerificationRequestedEvent,
} from '../events/nest-auth.events.js';
import type { TwoFactorOperations } from '../mfa/two-factor.operations.js';
import { isHeld } from '../session/apart.js';
import { asUser } from '../session/auth.operations.js';
import { direct, shielded } from '../transaction/optimistic.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { issueChange, issueVerification } from './issue.queries.js';
import type { OneTimeTokenOperations } from './one-time-token.operations.js';
import {
  type IssuedRow,
  type NewToken,
  type ShownProof,
  type SpentToken,
  spendToken,
} from './one-time-token.queries.js';
import type { ReauthenticationOperations } from './reauthentication.operations.js';
import type { NewAddress } from './recovery-input.policy.js';
import { invalidToken, reauthenticationRequired } from './recovery-refusals.policy.js';
import { type AddressChangeInput, type ProofForm, type RecoveryPurpose, RequestedProof } from './recovery.types.js';

type Login = 'email' | 'phone';

/** The rules of proving an email or a phone number, the one that a user has or another. */
export class VerificationOperations {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly events: EventPublisher,
    private readonly users: UserOperations,
    private readonly tokens: OneTimeTokenOperations,
    private readonly reauthentication: ReauthenticationOperations,
    private readonly secondFactor: Pick<TwoFactorOperations, 'proofOf' | 'using'>,
  ) {}

  async requestVerification(
    manager: EntityManager | undefined,
    userId: string,
    login: Login,
    form: ProofForm,
  ): Promise<RequestedProof> {
    const made = this.tokens.make(`${login}_verification`, form, userId);
    const issued = await this.transactions.operate(manager, async (m) => {
      const row = await issueVerification(m, login, made);
      if (row === undefined) await this.#assertNothingToVerify(m, userId, login);
      else this.events.publish(m, new VerificationRequestedEvent(userId, row.id));
      return row;
    });
    return this.#requested(`${login}_verification`, made, issued);
  }

  async verify(manager: EntityManager | undefined, shown: ShownProof, login: Login): Promise<NestAuthUser> {
    return this.#prove(manager, shown, (m, { address }) => this.users.verify(m, shown.userId, login, true, address));
  }

  async requestChange(
    manager: EntityManager | undefined,
    login: Login,
    { typed }: NewAddress,
    who: AddressChangeInput,
  ): Promise<RequestedProof> {
    const { userId, code, recoveryCode } = who;
    const purpose = `${login}_change` as const;
    const made = this.tokens.make(purpose, login === 'email' ? 'link' : 'code', userId);
    const stamp = await this.reauthentication.stampOf(manager, who);
    // A factor that is enabled after this look gives the user another stamp, under which no link of this one is good.
    const proof = await this.secondFactor.proofOf(manager, userId, { code, recoveryCode });
    const issued = await this.secondFactor.using(manager, userId, proof, async (m) => {
      const row = await issueChange(m, login, made, { address: typed, stamp });
      // Between the password and this it was changed, or the user was taken away.
      if (row === undefined) throw reauthenticationRequired();
      const Event = login === 'email' ? EmailChangeRequestedEvent : PhoneChangeRequestedEvent;
      this.events.publish(m, new Event(userId, row.id));
      return row;
    });
    return this.#requested(purpose, made, issued);
  }

  /** Writes the address of the token, and no other, by the operation that `updateUser` uses. */
  async confirmChange(manager: EntityManager | undefined, shown: ShownProof, login: Login): Promise<NestAuthUser> {
    return this.#prove(manager, shown, async (m, { address }) => {
      const user = await this.users.update(m, shown.userId, { [login]: address });
      // A hook of the host may have written another one, which nobody has proven.
      return user[login] === address ? this.users.verify(m, shown.userId, login, true, address) : user;
    });
  }

  /** Uses the proof up and does what it is for, both or neither: after a refusal the caller's transaction can go on. */
  async #prove(
    manager: EntityManager | undefined,
    shown: ShownProof,
    fn: (manager: EntityManager, spent: SpentToken) => Promise<NestAuthUser>,
  ): Promise<NestAuthUser> {
    await this.tokens.assertGuessed(manager, shown);
    const attempt = isHeld(manager) ? shielded : direct;
    return asUser(shown.userId, () =>
      this.transactions.atomic(manager, (m) =>
        attempt(m, async (inner) => {
          const spent = await spendToken(inner, shown);
          if (spent === undefined) throw invalidToken();
          return fn(inner, spent);
        }),
      ),
    );
  }

  #requested(purpose: RecoveryPurpose, made: NewToken, issued: IssuedRow | undefined): RequestedProof {
    if (issued === undefined) return new RequestedProof(null, () => null);
    const { userId, form, keyId, salt } = made;
    return new RequestedProof(issued.expires_at, () => this.tokens.reveal(purpose, form, userId, { keyId, salt }));
  }

  async #assertNothingToVerify(manager: EntityManager, userId: string, login: Login): Promise<void> {
    const user = await this.users.getOrThrow(manager, userId);
    if (user[login] === null) {
      throw new NestAuthError('VALIDATION_FAILED', `The user has no ${login} that could be verified`, {
        details: { issues: [{ path: 'userId', message: `names a user without ${login}` }] },
      });
    }
    if (user[`${login}VerifiedAt`] !== null) return;
    if (user.disabledAt !== null) throw userDisabled(userId);
    throw new NestAuthError('USER_NOT_ACTIVE', 'A user who was deactivated is asked for nothing', {
      details: { ids: [userId] },
    });
  }
}
