import { v7 as uuidv7 } from 'uuid';
import type { NestAuthEventName } from '../events/nest-auth.events.js';
import { type Statement, statement } from '../transaction/statement.js';
import { ActorTypeEnum } from './activity.types.js';
import { IdentityContext } from './identity-context.js';

/** How a statement tells what it does. Everything but `type` and `subjectType` is SQL over the statement's CTEs. */
export interface ActivityParts {
  /** Of the event; the name under which the change is announced. */
  readonly type: NestAuthEventName;
  /** The FROM clause with its conditions: one row for each thing that really changed, none when nothing did. */
  readonly from: string;
  /** Id of the user who was changed. */
  readonly userId?: string;
  /** The tenant it happened in. @default that of row-level security, which lets no other pass; else of the context; else none */
  readonly tenantId?: string;
  /** What was changed: `user`, `role`, … */
  readonly subjectType: string;
  /** Id of what was changed. @default `userId` */
  readonly subjectId?: string;
  /** A jsonb object of the values that went; never a secret. */
  readonly before?: string;
  /** A jsonb object of the values that came; never a secret. */
  readonly after?: string;
  /** A jsonb object of what else helps to understand it. */
  readonly details?: string;
  /** Ids for a statement that changes several things: an expression of one fresh UUID a row. */
  readonly id?: string;
}

/** Stands for the parameter with the facts of the context, until the statement is declared. */
const FACTS = '$facts';

/**
 * A CTE, named `activity`, that writes what the statement has done into the activity log: together with the change or
 * not at all, and without another statement on the wire. Use it in a text that is declared by {@link audited}.
 */
export function activity(parts: ActivityParts): string {
  return `activity as (${activityInsert({ ...parts, type: `'${parts.type}'`, subjectType: `'${parts.subjectType}'` })})`;
}

/** The INSERT behind {@link activity}, of which `type` and `subjectType` are SQL too. Followed by a RETURNING, if any. */
export function activityInsert(parts: Omit<ActivityParts, 'type'> & { readonly type: string }): string {
  const { userId = 'null::uuid', tenantId = 'null::uuid', before = 'null::jsonb', after = 'null::jsonb' } = parts;
  return `
    insert into nest_auth_activities (id, occurred_at, xid, type, actor_type, actor_id, impersonator_id, user_id,
      tenant_id, subject_type, subject_id, before, after, details, ip, user_agent, request_id)
    select ${parts.id ?? 'facts.id'}, now(), pg_current_xact_id()::text::bigint, ${parts.type}, facts.actor_type,
      facts.actor_id, facts.impersonator_id, ${userId},
      coalesce(${tenantId}, nullif(current_setting('nest_auth.tenant_id', true), '')::uuid, facts.tenant_id),
      ${parts.subjectType}, ${parts.subjectId ?? userId}, ${before}, ${after}, ${withSession(parts.details)},
      facts.ip, facts.user_agent, facts.request_id
    from jsonb_to_record(${FACTS}::jsonb) as facts (id uuid, actor_type text, actor_id text, impersonator_id uuid,
      tenant_id uuid, session_id uuid, key_id uuid, ip inet, user_agent text, request_id text), ${parts.from}`;
}

/** Under a name of its own: the details may be about another session than that in which it is done. */
function withSession(details = 'null::jsonb'): string {
  return `case when coalesce(facts.session_id, facts.key_id) is null then ${details}
        else coalesce(${details}, '{}') || jsonb_strip_nulls(
          jsonb_build_object('actorSessionId', facts.session_id, 'actorApiKeyId', facts.key_id)) end`;
}

/**
 * Declares a statement that holds an {@link activity}; the facts are added to its values whenever it is sent.
 *
 * @param name - As for `statement`; undefined for one that is not prepared by name.
 */
export function audited<Row>(
  name: string | undefined,
  text: string,
  changes: (rows: readonly Row[]) => boolean,
): Statement<Row> {
  const numbered = text.replaceAll(FACTS, `$${parameterCount(text) + 1}`);
  const declared = name === undefined ? { text: numbered.trim(), changes } : statement(name, numbered, changes);
  return { ...declared, facts: activityFacts };
}

function parameterCount(text: string): number {
  return Math.max(0, ...[...text.matchAll(/\$(\d+)/g)].map(([, number]) => Number(number)));
}

/** The facts of the running code, with the id of the activity, as JSON. */
function activityFacts(): string {
  const { actor, impersonatorId, sessionId, apiKey, tenantId, ip, userAgent, requestId } = IdentityContext.current;
  return JSON.stringify({
    id: uuidv7(),
    actor_type: actor?.type ?? ActorTypeEnum.SYSTEM,
    actor_id: actor?.id,
    impersonator_id: impersonatorId,
    tenant_id: tenantId,
    session_id: sessionId,
    key_id: apiKey?.id,
    ip,
    user_agent: userAgent,
    request_id: requestId,
  });
}
