import type { EntityManager } from 'typeorm';
import type { IdentityOperations } from '../account/identity.operations.js';
import { userNotFound } from '../account/user-refusals.policy.js';
import type { UserOperations } from '../account/user.operations.js';
import { lockUser } from '../account/user.queries.js';
import { invalidAccessToken } from '../session/access-token.signer.js';
import type { ProvenFlow } from './external-flow.operations.js';
import { findLinkedIdentities, findUserInSession, hasPasswordLogin, unlinkIdentity } from './external-link.queries.js';
import { lastWayIn } from './external-refusals.policy.js';
import type { ExternalSettings } from './external.settings.js';
import type { ExternalLinkResult, LinkedIdentity } from './external.types.js';

/** The rules of accounts at providers that belong to users. Each function runs on the manager it is given. */
export class ExternalLinkOperations {
  constructor(
    private readonly users: UserOperations,
    private readonly identities: IdentityOperations,
    private readonly settings: ExternalSettings,
  ) {}

  /** Links the account to whoever has begun it, in the session in which that was. */
  async link(manager: EntityManager, { flow, account }: ProvenFlow): Promise<ExternalLinkResult> {
    const session = { userId: flow.user_id as string, sessionId: flow.session_id as string };
    await lockUser(manager, session.userId);
    const user = await findUserInSession(manager, session);
    if (user === null) throw invalidAccessToken();
    const { provider, providerId } = account;
    const { createdAt } = await this.identities.findOrCreateIdentity(user, provider, providerId, manager);
    return { identity: { provider, providerId, createdAt }, redirectTo: flow.redirect_to };
  }

  /** False when the account was not the user's. */
  async unlink(manager: EntityManager, userId: string, wanted: Omit<LinkedIdentity, 'createdAt'>): Promise<boolean> {
    // Held, so that two ways in cannot be taken away at once, each because there is still the other.
    const held = await lockUser(manager, userId);
    if (held === null) throw userNotFound(userId);
    const linked = await findLinkedIdentities(manager, userId);
    if (!linked.some((identity) => isSame(identity, wanted))) return false;
    const usable = linked.filter(
      (identity) => !isSame(identity, wanted) && this.settings.names.includes(identity.provider),
    );
    if (usable.length === 0 && !(await hasPasswordLogin(manager, userId))) throw lastWayIn();
    const { provider } = wanted;
    const { changed } = await this.users.change(
      manager,
      userId,
      { identities: [provider] },
      ['identities'],
      async () => ({
        user: held.user,
        changed: await unlinkIdentity(manager, held.user, wanted),
      }),
    );
    return changed;
  }
}

function isSame(a: Omit<LinkedIdentity, 'createdAt'>, b: Omit<LinkedIdentity, 'createdAt'>): boolean {
  return a.provider === b.provider && a.providerId === b.providerId;
}
