import { AsyncLocalStorage } from 'node:async_hooks';
import { isIP } from 'node:net';
import { InputIssues } from '../errors/input.js';
import { type ActingKey, ActorTypeEnum, type IdentityFacts } from './activity.types.js';

const MAX_USER_AGENT = 512;
const MAX_REQUEST_ID = 200;
const MAX_ACTOR_ID = 200;

const contexts = new AsyncLocalStorage<IdentityFacts>();
const NOTHING: IdentityFacts = {};

/**
 * For whom, and by which request, the running code works. Every activity that is written inside tells it.
 *
 * It follows `await`, timers and listeners, and needs no dependency injection.
 */
export const IdentityContext = {
  /**
   * Runs `fn` with these facts; what they leave out is taken from the context around it.
   *
   * Errors: `VALIDATION_FAILED` for an unknown actor type, a tenant, session or impersonator that is no UUID, or an `ip` that is
   * no address. Too long values are cut.
   */
  run<T>(facts: IdentityFacts, fn: () => T): T {
    const outer = contexts.getStore();
    const inner = checked(facts);
    // What one actor may do by a key says nothing about another actor, and is no less for being said again.
    const { actor = outer?.actor } = inner;
    const isSame = actor?.type === outer?.actor?.type && actor?.id?.toLowerCase() === outer?.actor?.id?.toLowerCase();
    const kept = isSame || outer?.apiKey === undefined ? outer : { ...outer, apiKey: undefined };
    return contexts.run({ ...kept, ...inner }, fn);
  },

  /** The facts of the running code; empty outside of any context. */
  get current(): IdentityFacts {
    return contexts.getStore() ?? NOTHING;
  },
};

const FIELDS = ['actor', 'impersonatorId', 'sessionId', 'apiKey', 'tenantId', 'ip', 'userAgent', 'requestId'];
const ACTOR_TYPES: readonly unknown[] = Object.values(ActorTypeEnum);

/** What is passed along by strangers is cut and cleaned; what the host decides is refused when it is wrong. */
function checked(facts: IdentityFacts): IdentityFacts {
  const { actor, impersonatorId, sessionId, apiKey, tenantId, ip, userAgent, requestId } = facts;
  const issues = new InputIssues();
  issues.fields(facts, FIELDS);
  if (actor !== undefined) {
    issues.fields(actor, ['type', 'id']);
    if (!ACTOR_TYPES.includes(actor.type)) issues.add('actor.type', `must be one of ${ACTOR_TYPES.join(', ')}`);
    if (actor.id !== undefined) issues.text('actor.id', actor.id, { max: MAX_ACTOR_ID });
    // Without this nobody could be asked about later.
    else if (actor.type === ActorTypeEnum.USER) issues.add('actor.id', 'must name the user');
  }
  if (impersonatorId !== undefined) issues.uuid('impersonatorId', impersonatorId);
  if (sessionId !== undefined) issues.uuid('sessionId', sessionId);
  if (apiKey !== undefined) checkKey(issues, apiKey);
  if (tenantId !== undefined) issues.uuid('tenantId', tenantId);
  // Node takes an address with the zone of a link for one; PostgreSQL does not.
  if (ip !== undefined && (isIP(ip) === 0 || ip.includes('%'))) issues.add('ip', 'must be an IPv4 or IPv6 address');
  issues.refuse('IdentityContext.run got facts it cannot keep');
  return {
    ...(actor === undefined ? {} : { actor }),
    ...(impersonatorId === undefined ? {} : { impersonatorId }),
    ...(sessionId === undefined ? {} : { sessionId }),
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(tenantId === undefined ? {} : { tenantId }),
    ...(ip === undefined ? {} : { ip }),
    ...(userAgent === undefined ? {} : { userAgent: storable(userAgent, MAX_USER_AGENT) }),
    ...(requestId === undefined ? {} : { requestId: storable(requestId, MAX_REQUEST_ID) }),
  };
}

function checkKey(issues: InputIssues, apiKey: ActingKey): void {
  issues.fields(apiKey, ['id', 'tenantId', 'scopes']);
  issues.uuid('apiKey.id', apiKey.id);
  if (apiKey.tenantId !== null) issues.uuid('apiKey.tenantId', apiKey.tenantId);
  if (!Array.isArray(apiKey.scopes)) issues.add('apiKey.scopes', 'must be an array');
}

/** PostgreSQL keeps neither NUL nor half a character; control characters would only serve to forge a log line. */
function storable(text: string, max: number): string {
  return text.slice(0, max).replaceAll(/\p{Cc}|\p{Surrogate}/gu, ' ');
}
