import type { EntityManager } from 'typeorm';
import { UserStatusEnum } from '../account/account.types.js';
import { normaliseEmail } from '../account/contact.policy.js';
import type { CreateUserOperations } from '../account/create-user.operations.js';
import type { IdentityOperations } from '../account/identity.operations.js';
import { CONFLICT_ATTEMPTS } from '../account/login-conflict.queries.js';
import { lostEveryRace } from '../account/user-refusals.policy.js';
import type { UserOperations } from '../account/user.operations.js';
import { lockUser } from '../account/user.queries.js';
import { isNestAuthError, NestAuthError, type NestAuthErrorCode } from '../errors/nest-auth.error.js';
import type { AuthOperations, OpenedSession, ProvenUser } from '../session/auth.operations.js';
import type { SecondFactorDemand } from '../session/second-factor.port.js';
import type { SignInRefusal } from '../session/session.types.js';
import type { Tenancy } from '../tenant/tenancy.js';
import { TenantModeEnum } from '../tenant/tenant.types.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import type { ProvenFlow } from './external-flow.operations.js';
import { linkRequired } from './external-refusals.policy.js';
import { type ExternalUserRow, findUserOfIdentity } from './external-user.queries.js';
import type { ExternalSignInResult } from './external.types.js';

/** Somebody may come in, with the session that is open; or has to enrol a second factor first; or not, and why. */
type Decision =
  | { readonly opened: OpenedSession; readonly account: ExternalSignInResult['account'] }
  | { readonly demand: SecondFactorDemand }
  | { readonly refusal: SignInRefusal; readonly userId: string | null };

/** What makes the whole worth another look: somebody else was faster with the account or the email. */
const RACES: readonly NestAuthErrorCode[] = ['IDENTITY_ALREADY_EXISTS', 'EMAIL_ALREADY_EXISTS'];

/** Rolls back what was written for somebody who may not come in after all. */
class Refused extends Error {
  constructor(readonly userId: string | null) {
    super('refused');
  }
}

/** Rolls back what was written for somebody who has to show more first. */
class Demanded extends Error {
  constructor(readonly demand: SecondFactorDemand) {
    super('demanded');
  }
}

/** The rules of coming in by a provider: who an account belongs to, and what becomes of one that nobody has. */
export class ExternalSignInOperations {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly tenancy: Tenancy,
    private readonly creations: CreateUserOperations,
    private readonly users: UserOperations,
    private readonly identities: IdentityOperations,
    private readonly auth: AuthOperations,
  ) {}

  /** `deviceHash` is that of the token of a device that may be trusted. */
  async signIn(
    manager: EntityManager | undefined,
    proven: ProvenFlow,
    deviceHash: Buffer | null,
  ): Promise<ExternalSignInResult> {
    const { flow, external } = proven;
    const decision = await this.#decide(manager, proven, deviceHash);
    if ('demand' in decision) throw await this.auth.demand(manager, decision.demand);
    if ('refusal' in decision) return this.#refuse(manager, decision.userId, flow.tenant_id, decision.refusal);
    const tokens = await this.auth.admit(decision.opened);
    return { ...tokens, redirectTo: flow.redirect_to, account: decision.account, external };
  }

  async #decide(manager: EntityManager | undefined, proven: ProvenFlow, deviceHash: Buffer | null): Promise<Decision> {
    for (let attempt = 0; attempt < CONFLICT_ATTEMPTS; attempt += 1) {
      const decision = await this.#attempt(manager, proven, deviceHash).catch(async (error: unknown) => {
        if (error instanceof Refused) return notAMember(error.userId);
        // Here, where the transaction is left: a pool of one has no connection for both.
        if (error instanceof Demanded) throw await this.auth.demand(manager, error.demand);
        if (isNestAuthError(error) && RACES.includes(error.code)) return null;
        throw error;
      });
      if (decision !== null) return decision;
    }
    throw lostEveryRace();
  }

  /** Null when it is to be looked at again. */
  async #attempt(
    manager: EntityManager | undefined,
    proven: ProvenFlow,
    deviceHash: Buffer | null,
  ): Promise<Decision | null> {
    const { account, flow, provider } = proven;
    const realmId = this.tenancy.realmOf(flow.tenant_id);
    const find = (name: string, providerId: string): Promise<ExternalUserRow | null> =>
      this.transactions.operate(manager, (m) => findUserOfIdentity(m, { realmId, provider: name, providerId }));
    const findKnown = (): Promise<ExternalUserRow | null> => find(account.provider, account.providerId);
    const known = await findKnown();
    if (known !== null) return this.#comeIn(manager, { ...known, deviceHash }, flow.tenant_id);
    const owner = account.email === null ? null : await find('email', account.email.norm);
    if (owner === null) {
      if (provider.signUp === true) return this.#signUp(manager, proven);
      return { refusal: 'unknown_identity', userId: null };
    }
    // The owner may be this very person, signed up by the same account since it was looked for.
    const meanwhile = await findKnown();
    if (meanwhile !== null) return this.#comeIn(manager, { ...meanwhile, deviceHash }, flow.tenant_id);
    // An email that the user has not verified may be anybody's who has typed it in: it is worth nothing here.
    const isLinked = provider.linkVerifiedEmail === true && owner.email_verified;
    if (!isLinked) return { refusal: 'link_required', userId: owner.id };
    if (owner.status !== UserStatusEnum.ACTIVE) return { refusal: 'user_not_active', userId: owner.id };
    return this.#link(manager, { ...owner, deviceHash }, proven);
  }

  async #comeIn(
    manager: EntityManager | undefined,
    known: ExternalUserRow & ProvenUser,
    tenantId: string | null,
  ): Promise<Decision> {
    if (known.status !== UserStatusEnum.ACTIVE) return { refusal: 'user_not_active', userId: known.id };
    const opened = await this.auth.open(manager, known, tenantId);
    return opened === null ? notAMember(known.id) : { opened, account: 'known' };
  }

  /** User, identity and session, or nothing. */
  async #signUp(manager: EntityManager | undefined, { account, flow }: ProvenFlow): Promise<Decision> {
    const { provider, providerId, email } = account;
    const input = { identities: [{ provider, providerId }], ...(email === null ? {} : { email: email.typed }) };
    // To name a tenant makes nobody its member: only where users are of one tenant it is a part of who they are.
    const home = this.tenancy.mode === TenantModeEnum.ISOLATED ? flow.tenant_id : null;
    const creation = this.creations.plan(input, null, home, { source: 'social' }, false);
    return this.transactions.atomic(manager, async (m) => {
      const user = await this.creations.create(m, creation);
      // Hooks may have given the user another email, or none: that one has been verified by nobody.
      if (email !== null && isEmail(user.email, email.norm)) await this.users.verify(m, user.id, 'email', true);
      const made = await findUserOfIdentity(m, { realmId: creation.realmId, provider, providerId });
      if (made === null || made.id !== user.id) throw new Refused(null);
      // Somebody may have to let them in first.
      if (made.status !== UserStatusEnum.ACTIVE) return { refusal: 'user_not_active', userId: made.id };
      const opened = await this.auth.tryToOpen(m, made, flow.tenant_id);
      if (opened === null) throw new Refused(made.id);
      // The user stays: who else would enrol?
      return 'kinds' in opened ? { demand: opened } : { opened, account: 'created' };
    });
  }

  /** Null when the user is not any more as it was seen. */
  async #link(
    manager: EntityManager | undefined,
    owner: ExternalUserRow & ProvenUser,
    { account, flow }: ProvenFlow,
  ): Promise<Decision | null> {
    return this.transactions.atomic(manager, async (m) => {
      const held = await lockUser(m, owner.id);
      if (held === null || held.emailNorm !== account.email?.norm || held.user.emailVerifiedAt === null) return null;
      await this.identities.findOrCreateIdentity(held.user, account.provider, account.providerId, m);
      return { opened: await this.#openOrUndo(m, owner, flow.tenant_id), account: 'linked' };
    });
  }

  async #openOrUndo(manager: EntityManager, user: ProvenUser, tenantId: string | null): Promise<OpenedSession> {
    const opened = await this.auth.tryToOpen(manager, user, tenantId);
    if (opened === null) throw new Refused(user.id);
    if ('kinds' in opened) throw new Demanded(opened);
    return opened;
  }

  async #refuse(
    manager: EntityManager | undefined,
    userId: string | null,
    tenantId: string | null,
    reason: SignInRefusal,
  ): Promise<never> {
    await this.auth.recordRefusal(manager, userId, tenantId, reason);
    if (reason === 'link_required') throw linkRequired();
    throw new NestAuthError('INVALID_CREDENTIALS', 'The sign-in is refused: nobody may come in by this account');
  }
}

function isEmail(typed: string | null, norm: string): boolean {
  const normalised = typed === null ? null : normaliseEmail(typed);
  return normalised !== null && 'value' in normalised && normalised.value === norm;
}

function notAMember(userId: string | null): Decision {
  return { refusal: 'no_access_to_tenant', userId };
}
