import type { EntityManager } from 'typeorm';
import type { PasswordService } from '../account/password.service.js';
import { upgradePasswordHash } from '../account/user-change.queries.js';
import type { NestAuthUser } from '../account/user.entity.js';
import { ActorTypeEnum } from '../audit/activity.types.js';
import { IdentityContext } from '../audit/identity-context.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import type { EventPublisher } from '../events/event-publisher.js';
import { UserLoggedInEvent, UserLoginFailedEvent } from '../events/nest-auth.events.js';
import { addressOf } from '../rate-limit/network.policy.js';
import { shielded } from '../transaction/optimistic.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import type { AccessTokenSigner } from './access-token.signer.js';
import type { IssuingRow } from './live-session.queries.js';
import { hashOf, newRefreshToken } from './refresh-token.policy.js';
import type { LockoutOperations } from './lockout.operations.js';
import type { Attempt, Verdict } from './lockout.queries.js';
import { isDemand } from './second-factor.policy.js';
import type { SecondFactorDemand, SecondFactorPort } from './second-factor.port.js';
import type { SecondFactorPolicy } from '../tenant/tenant.types.js';
import type { SessionSettings } from './session.settings.js';
import type { SessionTokens, SignInRefusal, SignInResult } from './session.types.js';
import type { PreparedSignIn } from './sign-in-input.policy.js';
import {
  type CredentialsRow,
  findCredentials,
  openSession,
  type SessionOpening,
  writeFailedSignIn,
} from './sign-in.queries.js';

/** Somebody who has shown who they are, and under which stamp that was. */
export interface ProvenUser extends Pick<CredentialsRow, 'id' | 'security_stamp'> {
  /** What was shown beside the first factor; absent for nothing. */
  readonly secondFactor?: string | null;
  /** Of the token of a device that may be trusted. */
  readonly deviceHash?: Buffer | null;
}

/** A session that is open, before anybody has its tokens. */
export interface OpenedSession {
  readonly user: NestAuthUser;
  readonly issuing: IssuingRow;
  readonly refreshToken: string;
}

/** Somebody whose password was right. */
type Proven = CredentialsRow & { readonly password_hash: string };

/**
 * The rules of signing in. Each statement is sent by itself, so that no connection is held while a password is hashed;
 * in a transaction of the caller they all belong to that.
 */
export class AuthOperations {
  #secondFactors: SecondFactorPort | undefined;

  constructor(
    private readonly transactions: TransactionHost,
    private readonly events: EventPublisher,
    private readonly passwords: PasswordService,
    private readonly signer: AccessTokenSigner,
    private readonly settings: SessionSettings,
    private readonly lockout: LockoutOperations,
    private readonly platformPolicy: SecondFactorPolicy,
  ) {}

  /** Who asks for second factors. Without, nobody comes in who has one. */
  demandBy(secondFactors: SecondFactorPort): void {
    this.#secondFactors = secondFactors;
  }

  /** Look up, verify, write: the same steps at the same cost for everybody, and one refusal for all reasons. */
  async signIn(manager: EntityManager | undefined, wanted: PreparedSignIn): Promise<SignInResult> {
    const { realmId, provider, login } = wanted;
    const found = await this.transactions.operate(manager, (m) =>
      findCredentials(m, { realmId, provider, login: login ?? '' }),
    );
    const attempt = this.lockout.attemptOf(found?.id, wanted);
    return this.lockout.inTurn(manager, attempt, () => this.#try(manager, found, wanted, attempt));
  }

  async #try(
    manager: EntityManager | undefined,
    found: CredentialsRow | null,
    wanted: PreparedSignIn,
    attempt: Attempt,
  ): Promise<SignInResult> {
    const { password } = wanted;
    const verdict = await this.lockout.reserve(manager, attempt);
    const proven = await this.#prove(manager, found, password, attempt, verdict);
    if (typeof proven === 'string') return this.#refuse(manager, found, wanted, proven);
    const rehashed = await this.#rehash(proven, password);
    const { deviceHash } = wanted;
    const opened = await this.open(manager, { ...proven, deviceHash }, wanted.tenantId).catch(
      async (error: unknown) => {
        // The password was right: what is demanded now is counted by itself, and a lost connection is no guess.
        await this.lockout.forgive(manager, attempt, verdict);
        if (isDemand(error) && rehashed !== undefined) await this.#upgrade(manager, proven, rehashed);
        throw error;
      },
    );
    if (opened === null) return this.#refuse(manager, found, wanted, 'no_access_to_tenant');
    await this.lockout.forgive(manager, attempt, verdict);
    if (rehashed !== undefined) await this.#upgrade(manager, proven, rehashed);
    return this.admit(opened);
  }

  /**
   * Opens the session of somebody who is proven, by whatever that was: the one place where more is demanded. Null when
   * what was proven does not hold any more, or the user is no active member of the tenant. Of somebody who has a second
   * factor and has not shown it, throws `SecondFactorRequiredError`; the challenge in it stays when the caller's
   * transaction is rolled back, for which a second connection is needed there.
   */
  async open(
    manager: EntityManager | undefined,
    proven: ProvenUser,
    tenantId: string | null,
  ): Promise<OpenedSession | null> {
    const opened = await this.tryToOpen(manager, proven, tenantId);
    if (opened !== null && 'kinds' in opened) throw await this.demand(manager, opened);
    return opened;
  }

  /** As {@link open}, for whoever has a transaction to leave first: {@link demand} makes the error then. */
  tryToOpen(
    manager: EntityManager | undefined,
    proven: ProvenUser,
    tenantId: string | null,
  ): Promise<OpenedSession | SecondFactorDemand | null> {
    const refreshToken = newRefreshToken(proven.id);
    return asUser(proven.id, async () => {
      const opened = await this.#open(manager, proven, tenantId, refreshToken);
      if (opened === null) return null;
      if ('user' in opened) return { ...opened, refreshToken };
      return { userId: proven.id, stamp: proven.security_stamp, tenantId, kinds: opened.demanded };
    });
  }

  /** The error by which a second factor is demanded, with a challenge. */
  demand(manager: EntityManager | undefined, demanded: SecondFactorDemand): Promise<NestAuthError> {
    const port = this.#secondFactors;
    if (port === undefined) throw new NestAuthError('SECOND_FACTOR_REQUIRED', 'The user has a second factor');
    return asUser(demanded.userId, () => port.challenge(manager, demanded));
  }

  /** What somebody gets whose session is open. */
  async admit({ user, issuing, refreshToken }: OpenedSession): Promise<SignInResult> {
    return { ...(await this.issue(user.id, issuing, refreshToken)), user };
  }

  /** Whoever is locked pays for a hash, too, and learns nothing by it. */
  async #prove(
    manager: EntityManager | undefined,
    found: CredentialsRow | null,
    password: string,
    attempt: Attempt,
    verdict: Verdict,
  ): Promise<Proven | SignInRefusal> {
    const isAllowed = verdict !== 'refused';
    const stored = isAllowed ? (found?.password_hash ?? null) : null;
    const matches = await this.passwords.verify(stored, password).catch(async (error: unknown) => {
      if (isAllowed) await this.lockout.giveBack(manager, attempt, verdict);
      throw error;
    });
    return isAllowed ? provenOf(found, matches) : 'locked';
  }

  /** The tokens of a session. */
  async issue(userId: string, issuing: IssuingRow, refreshToken: string): Promise<SessionTokens> {
    const { session_id: sessionId, tenant_id: tenantId, stamp, expires_at: sessionExpiresAt } = issuing;
    const claims = { userId, sessionId, tenantId, stamp, issuedAt: issuing.asked_at, sessionExpiresAt };
    const { token, expiresAt } = await this.signer.sign(claims);
    return {
      accessToken: token,
      accessTokenExpiresAt: expiresAt,
      refreshToken,
      userId,
      sessionId,
      tenantId,
      sessionExpiresAt,
    };
  }

  #open(
    manager: EntityManager | undefined,
    { id, security_stamp: stamp, secondFactor = null, deviceHash = null }: ProvenUser,
    tenantId: string | null,
    refreshToken: string,
  ): Promise<SessionOpening | null> {
    const { idleSeconds, maxSeconds } = this.settings;
    const { ip = null, userAgent = null } = IdentityContext.current;
    return this.transactions.operate(manager, async (m) => {
      const tokenHash = hashOf(refreshToken);
      const from = { ip: ip === null ? null : addressOf(ip), userAgent };
      const made = { userId: id, stamp, tenantId, tokenHash, idleSeconds, maxSeconds, ...from };
      const { platformPolicy } = this;
      const opened = await openSession(m, { ...made, secondFactor, deviceHash, platformPolicy });
      if (opened !== null && 'user' in opened) this.events.publish(m, new UserLoggedInEvent(opened.user));
      return opened;
    });
  }

  /** Made before the session is, so that the row of the user is not held meanwhile. */
  async #rehash({ password_hash: stored }: Proven, password: string): Promise<string | undefined> {
    if (!this.passwords.needsRehash(stored)) return undefined;
    // With a full queue the next sign-in does it.
    return this.passwords.hash(password).then(
      ({ phc }) => phc,
      () => undefined,
    );
  }

  /** The person is signed in whether or not the stronger hash can be written: the old one still holds. */
  async #upgrade(manager: EntityManager | undefined, { id, password_hash: old }: Proven, phc: string): Promise<void> {
    await this.transactions
      .operate(manager, (m) => shielded(m, (inner) => upgradePasswordHash(inner, id, old, phc)))
      .catch(() => undefined);
  }

  /** Written by itself: thrown inside, the refusal would take its own record with it. */
  async #refuse(
    manager: EntityManager | undefined,
    found: CredentialsRow | null,
    { tenantId }: PreparedSignIn,
    reason: SignInRefusal,
  ): Promise<never> {
    await this.recordRefusal(manager, found?.id ?? null, tenantId, reason);
    throw new NestAuthError('INVALID_CREDENTIALS', 'The sign-in is refused: login and password do not fit');
  }

  /** Why somebody was refused, for the activity log and for listeners. */
  recordRefusal(
    manager: EntityManager | undefined,
    userId: string | null,
    tenantId: string | null,
    reason: SignInRefusal,
  ): Promise<void> {
    return this.transactions.operate(manager, async (m) => {
      await writeFailedSignIn(m, userId, tenantId, reason);
      this.events.publish(m, new UserLoginFailedEvent(userId, tenantId, reason));
    });
  }
}

/** Judged when the cost has been paid. */
function provenOf(found: CredentialsRow | null, matches: boolean): Proven | SignInRefusal {
  if (found === null) return 'unknown_login';
  const { password_hash: hash } = found;
  if (hash === null) return 'no_password';
  if (!matches) return 'wrong_password';
  return found.status === 'active' ? { ...found, password_hash: hash } : 'user_not_active';
}

/** Whoever has shown the password is who does it, unless somebody else is said to. */
export function asUser<T>(id: string, fn: () => Promise<T>): Promise<T> {
  if (IdentityContext.current.actor !== undefined) return fn();
  return IdentityContext.run({ actor: { type: ActorTypeEnum.USER, id } }, fn);
}
