import type { EntityManager } from 'typeorm';
import { InputIssues } from '../errors/input.js';
import { isNestAuthError } from '../errors/nest-auth.error.js';
import type { TenantContext } from '../isolation/tenant-context.js';
import type { SessionKeyOf } from '../session/session.types.js';
import type { Tenancy } from '../tenant/tenancy.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { type ProvenAccount, proveAccount } from './external-account.policy.js';
import { ExternalFlowPurposeEnum } from './external-flow.entity.js';
import { type FlowRow, openFlow, takeFlow } from './external-flow.queries.js';
import { invalidSignIn, providerUnavailable } from './external-refusals.policy.js';
import type { ExternalSettings } from './external.settings.js';
import type {
  BeginExternalOptions,
  ExternalAnswer,
  ExternalFlow,
  ExternalIdentity,
  IdentityProvider,
} from './external.types.js';
import { flowHash, newSecret, seal, unseal } from './flow-token.policy.js';

/** A flow whose person has come back, and who the provider says they are. */
export interface ProvenFlow {
  readonly flow: FlowRow;
  readonly provider: IdentityProvider;
  readonly account: ProvenAccount;
  readonly external: ExternalIdentity;
}

/** What is sealed: `state`, and what the provider keeps. */
interface Sealed {
  readonly state: string;
  readonly secrets: Readonly<Record<string, string>>;
}

/** As long as a URL that browsers and servers agree on, and more than any callback needs. */
const MAX_URL_LENGTH = 8_192;

/** The way to a provider and back. While the provider is asked, no statement of ours is running. */
export class ExternalFlowOperations {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly settings: ExternalSettings,
    private readonly tenancy: Tenancy,
    private readonly tenants: TenantContext,
  ) {}

  /** `session` is that of the user who links; null for a sign-in. */
  async begin(
    manager: EntityManager | undefined,
    name: string,
    options: BeginExternalOptions,
    session: SessionKeyOf | null,
  ): Promise<ExternalFlow> {
    const provider = this.settings.provider(name);
    const { tenantId, redirectTo } = this.#prepare(options, session !== null);
    const flowToken = newSecret();
    const state = newSecret();
    const { url, private: secrets } = await this.#ask(provider, () => provider.begin({ state }));
    const flow = {
      tokenHash: flowHash(flowToken) as Buffer,
      purpose: purposeOf(session),
      provider: provider.name,
      tenantId,
      userId: session?.userId ?? null,
      sessionId: session?.sessionId ?? null,
      redirectTo,
      sealed: seal(flowToken, { state, secrets } satisfies Sealed),
      seconds: this.settings.flowSeconds,
    };
    const expiresAt = await this.#ownStatement(manager, (m) => openFlow(m, flow));
    return { url, flowToken, expiresAt };
  }

  /**
   * Uses the flow up, whatever comes of it, and asks the provider who has come back. `session` is that of the user who
   * links; null for a sign-in.
   */
  async prove(
    manager: EntityManager | undefined,
    answer: ExternalAnswer,
    session: SessionKeyOf | null,
  ): Promise<ProvenFlow> {
    const { provider, params } = this.#read(answer);
    const hash = flowHash(answer.flowToken);
    if (hash === null) throw invalidSignIn('this browser has begun none');
    const flow = await this.#ownStatement(manager, (m) => takeFlow(m, hash));
    if (flow === undefined) throw invalidSignIn('this browser has begun none, or it was used');
    if (!flow.live) throw invalidSignIn('it took too long');
    if (!isFor(flow, provider, session)) throw invalidSignIn('it was begun for something else, or by somebody else');
    const { state, secrets } = unseal(answer.flowToken as string, flow.sealed) as Sealed;
    // One parameter and not several, of which provider and application might take different ones.
    const [given, ...others] = params.getAll('state');
    if (given !== state || others.length > 0) throw invalidSignIn('the answer belongs to another browser');
    const external = await this.#ask(provider, () => provider.complete({ params, state }, secrets));
    return { flow, provider, external, account: proveAccount(provider, external) };
  }

  #prepare(options: BeginExternalOptions, links: boolean): { tenantId: string | null; redirectTo: string | null } {
    const issues = new InputIssues();
    issues.fields(options, links ? ['redirectTo'] : ['tenantId', 'redirectTo']);
    const { tenantId = null, redirectTo = null } = options;
    if (tenantId !== null) issues.uuid('tenantId', tenantId);
    if (redirectTo !== null && !this.settings.allows(redirectTo))
      issues.add('redirectTo', 'must be one of externalSignIn.redirectTargets');
    issues.refuse('The sign-in cannot begin');
    const named = tenantId === null ? null : this.tenancy.named(tenantId).toLowerCase();
    // Refuses a sign-in without the tenant that it needs while somebody is there to be told.
    if (!links) this.tenancy.realmOf(named);
    return { tenantId: named, redirectTo };
  }

  #read(answer: ExternalAnswer): { provider: IdentityProvider; params: URLSearchParams } {
    const issues = new InputIssues();
    issues.fields(answer, ['provider', 'url', 'flowToken']);
    const { url } = answer;
    if (typeof url !== 'string' || url.length > MAX_URL_LENGTH)
      issues.add('url', `must be the URL that was called, of at most ${MAX_URL_LENGTH} characters`);
    issues.refuse('The sign-in cannot be completed');
    const provider = this.settings.provider(answer.provider);
    const [, query = ''] = /^[^?#]*\?([^#]*)/.exec(url) ?? [];
    return { provider, params: new URLSearchParams(query) };
  }

  /** A statement about flows: they are nobody's, and so the platform's. */
  #ownStatement<T>(manager: EntityManager | undefined, fn: (manager: EntityManager) => Promise<T>): Promise<T> {
    return this.tenants.asPlatform(() => this.transactions.operate(manager, fn));
  }

  /** Nothing of what a provider throws is passed on but a typed error: it may quote what must not be told. */
  async #ask<T>(provider: IdentityProvider, call: () => Promise<T>): Promise<T> {
    const { providerTimeoutMs } = this.settings;
    let timer: NodeJS.Timeout | undefined;
    const tooLong = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(providerUnavailable(provider.name, `no answer within ${providerTimeoutMs} ms`));
      }, providerTimeoutMs);
    });
    try {
      return await Promise.race([call(), tooLong]);
    } catch (error) {
      if (isNestAuthError(error)) throw error;
      throw providerUnavailable(provider.name, error instanceof Error ? error.name : 'it has failed');
    } finally {
      clearTimeout(timer);
    }
  }
}

function purposeOf(session: SessionKeyOf | null): ExternalFlowPurposeEnum {
  return session === null ? ExternalFlowPurposeEnum.SIGN_IN : ExternalFlowPurposeEnum.LINK;
}

/** Whether the flow was begun for just this: what it is for, at which provider, and in which session. */
function isFor(flow: FlowRow, { name }: IdentityProvider, session: SessionKeyOf | null): boolean {
  return (
    flow.purpose === purposeOf(session) &&
    flow.provider === name &&
    flow.user_id === (session?.userId ?? null) &&
    flow.session_id === (session?.sessionId ?? null)
  );
}
