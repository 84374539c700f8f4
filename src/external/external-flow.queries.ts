import type { EntityManager } from 'typeorm';
import { execute, executeOne, returnsRows, type Statement, statement } from '../transaction/statement.js';
import type { ExternalFlowPurposeEnum } from './external-flow.entity.js';

/** A flow that begins. */
export interface NewFlow {
  readonly tokenHash: Buffer;
  readonly purpose: ExternalFlowPurposeEnum;
  readonly provider: string;
  readonly tenantId: string | null;
  readonly userId: string | null;
  readonly sessionId: string | null;
  readonly redirectTo: string | null;
  readonly sealed: Buffer;
  readonly seconds: number;
}

const OPEN = statement<{ expires_at: Date }>(
  'open_external_flow',
  `insert into nest_auth_external_flows (token_hash, purpose, provider, tenant_id, user_id, session_id, redirect_to,
      sealed, expires_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, now() + interval '1 second' * $9::integer) returning expires_at`,
  returnsRows,
);

/** Answers until when the person may come back. */
export async function openFlow(manager: EntityManager, flow: NewFlow): Promise<Date> {
  const { tokenHash, purpose, provider, tenantId, userId, sessionId, redirectTo, sealed, seconds } = flow;
  const values = [tokenHash, purpose, provider, tenantId, userId, sessionId, redirectTo, sealed, seconds];
  const { expires_at: expiresAt } = await executeOne(manager, OPEN, values);
  return expiresAt;
}

/** A flow that was taken. */
export interface FlowRow {
  readonly purpose: ExternalFlowPurposeEnum;
  readonly provider: string;
  readonly tenant_id: string | null;
  readonly user_id: string | null;
  readonly session_id: string | null;
  readonly redirect_to: string | null;
  readonly sealed: Buffer;
  /** False when the person took too long. */
  readonly live: boolean;
}

/** Of many at once one finds the row: the others wait for it, and then it is gone. */
const TAKE = statement<FlowRow>(
  'take_external_flow',
  `delete from nest_auth_external_flows where token_hash = $1
    returning purpose, provider, tenant_id, user_id, session_id, redirect_to, sealed, expires_at > now() as live`,
  returnsRows,
);

/** The flow, which is used up by that; undefined when there is none. */
export async function takeFlow(manager: EntityManager, tokenHash: Buffer): Promise<FlowRow | undefined> {
  const [row] = await execute(manager, TAKE, [tokenHash]);
  return row;
}

const REMOVE_EXPIRED: Statement<{ removed: number }> = {
  text: `with gone as (delete from nest_auth_external_flows where expires_at <= now() returning 1)
    select count(*)::integer as removed from gone`,
  changes: ([row]) => row !== undefined && row.removed > 0,
};

/** Of people who never came back; answers how many. */
export async function removeExpiredFlows(manager: EntityManager): Promise<number> {
  const { removed } = await executeOne(manager, REMOVE_EXPIRED);
  return removed;
}
