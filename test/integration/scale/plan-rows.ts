import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';

import * as shape from '../../bench/scale/shape.js';

/** How many users {@link giveLives} puts into each state but the active one. */
export const IN_EACH_STATE = 200;

const FIRST = 30_001;

const LONG_AGO = `now() - interval '3 years'`;

/** Where a batch takes users up, all of them due. */
const STATES: readonly string[] = [
  `activated_at = ${LONG_AGO}`,
  `status = 'pending', is_active = false, activated_at = null, created_at = ${LONG_AGO}`,
  `status = 'inactive', is_active = false, activated_at = ${LONG_AGO}, deactivated_at = ${LONG_AGO}`,
  `status = 'disabled', is_active = false, disabled_at = ${LONG_AGO}`,
  `status = 'disabled', is_active = false, disabled_at = ${LONG_AGO}, deleted_at = ${LONG_AGO}, parked_identities = '[]'`,
  `status = 'scheduled_deletion', is_active = false, disabled_at = ${LONG_AGO}, deleted_at = ${LONG_AGO},
     parked_identities = '[]', scheduled_deletion_at = ${LONG_AGO}`,
];

/** Puts a few of the seeded users, who are all active, into every state, so that each batch finds some among many. */
export async function giveLives(client: Client): Promise<void> {
  for (const [index, state] of STATES.entries()) {
    const first = FIRST + index * IN_EACH_STATE;
    const ids = Array.from({ length: IN_EACH_STATE }, (_, offset) => shape.userId(first + offset));
    // The host's rows would keep them from being deleted.
    await client.query('delete from app_users where auth_user_id = any($1::uuid[])', [ids]);
    await client.query(`update nest_auth_users set ${state} where id = any($1::uuid[])`, [ids]);
  }
}

/** As the tables are in use: what a transaction that was still running kept from being marked would make other plans. */
export async function settle(client: Client): Promise<void> {
  const hidden = `select 1 from pg_class where relkind = 'r' and relname like 'nest_auth_%' and relallvisible < relpages`;
  for (let attempt = 0; attempt < 20; attempt += 1) {
    await client.query('vacuum (analyze)');
    if ((await client.query(hidden)).rows.length === 0) return;
    await sleep(500);
  }
  throw new Error('Somebody keeps a snapshot: the tables cannot be vacuumed');
}

/** What somebody did who did little, among the activities of {@link ACTIVITIES}. */
export const RARE = { type: 'crm.rare', actorId: 'rare-actor', user: 4_711, tenant: 77 };

/**
 * Activities of the month that has begun, or of one for which there is no partition: all of a few users, tenants, types
 * and actors but for every thousandth one.
 *
 * @param at - SQL for the moment of activity `n`.
 */
export const ACTIVITIES = (at: string): string => `
  insert into nest_auth_activities (id, occurred_at, xid, type, actor_type, actor_id, user_id, tenant_id, subject_type)
  select gen_random_uuid(), ${at}, n, case when is_rare then '${RARE.type}' else 'crm.usual-' || n % 5 end,
    case when is_rare then 'job' else 'user' end, case when is_rare then '${RARE.actorId}' else 'actor-' || n % 50 end,
    case when is_rare then '${shape.userId(RARE.user)}'::uuid else ('00000000-0000-7000-8000-' || lpad((n % 999)::text, 12, '0'))::uuid end,
    case when is_rare then '${shape.tenantId(RARE.tenant)}'::uuid else '${shape.tenantId(1)}'::uuid end, 'user'
  from generate_series(1, 30000) as n, lateral (select n % 1000 = 0 as is_rare) as rare`;

/** Everybody who is active is soft-deleted at once, and nobody has told the planner: as right after a batch. */
export async function endAllLives(client: Client): Promise<void> {
  await client.query('alter table nest_auth_users set (autovacuum_enabled = false)');
  await client.query(
    `update nest_auth_users set status = 'disabled', is_active = false, disabled_at = now(), deleted_at = now(),
       parked_identities = '[]' where status = 'active'`,
  );
  // Not ANALYZE.
  await client.query('vacuum nest_auth_users');
}
