import type { DataSource } from 'typeorm';

import { IdentityContext } from '../../../src/audit/identity-context.js';

/** An activity as the tests compare it. */
export interface ActivityLine {
  readonly type: string;
  readonly actor: string;
  readonly ip: string | null;
  readonly requestId: string | null;
  readonly userId: string | null;
  readonly tenantId: string | null;
  readonly subject: string;
  readonly before: Record<string, unknown> | null;
  readonly after: Record<string, unknown> | null;
  readonly details: Record<string, unknown> | null;
}

/** What a call made by {@link asAdmin} leaves of its context. */
export const WHO = { actor: 'service:console', ip: '192.0.2.7', requestId: 'request-1' };

/** Runs `fn` for a known actor and request. */
export function asAdmin<T>(fn: () => Promise<T>): Promise<T> {
  const facts = { actor: { type: 'service', id: 'console' }, ip: WHO.ip, requestId: WHO.requestId } as const;
  return IdentityContext.run(facts, fn);
}

/** Every activity about something, in the order in which it was committed. */
export function linesOf(dataSource: DataSource, subjectId: string): Promise<ActivityLine[]> {
  return dataSource.query(
    `select type, concat_ws(':', actor_type, actor_id) as actor, host(ip) as ip, request_id as "requestId",
       user_id as "userId", tenant_id as "tenantId", subject_type as subject, before, after, details
     from nest_auth_activities where subject_id = $1 order by xid, id`,
    [subjectId],
  );
}
