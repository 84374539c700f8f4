import { setTimeout as sleep } from 'node:timers/promises';

import type { ActivityService, SealActivitiesOptions, SealActivitiesResult } from '../../../src/index.js';
import { withClient } from '../../support/database.js';

export interface Planted {
  readonly count: number;
  /** Of the first one; the others follow at a distance of `everyMs`. */
  readonly at: string;
  readonly everyMs?: number;
  /** SQL over `i`, the number of the row. */
  readonly userId?: string;
  readonly tenantId?: string;
  readonly actorId?: string;
  readonly type?: string;
}

/** Writes activities of another time, as the package would have written them then. */
export function plant(url: string, planted: Planted): Promise<unknown> {
  const {
    count,
    at,
    everyMs = 1,
    userId = 'null',
    tenantId = 'null',
    actorId = 'null',
    type = `'test.planted'`,
  } = planted;
  return withClient(url, (client) =>
    client.query(
      `insert into nest_auth_activities (id, occurred_at, xid, type, actor_type, actor_id, user_id, tenant_id,
         subject_type, after)
       select gen_random_uuid(), $1::timestamptz + i * interval '${everyMs} milliseconds',
         pg_current_xact_id()::text::bigint, ${type}, 'system', ${actorId}, ${userId}, ${tenantId}, 'test',
         jsonb_build_object('i', i)
       from generate_series(1, $2::integer) as i`,
      [at, count],
    ),
  );
}

/** The beginning of the month that is so many months from now. Of months that are over, the log has no partitions. */
export function monthStart(ahead: number): string {
  const now = new Date();
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + ahead, 1)).toISOString();
}

/** As the seals name it: `2026-11`. */
export const monthName = (ahead: number): string => monthStart(ahead).slice(0, 7);

/** The table of a month. */
export const partition = (ahead: number): string => `nest_auth_activities_${monthName(ahead).replace('-', '_')}`;

/** So many milliseconds after the beginning of a month, or before it. */
export const inMonth = (ahead: number, milliseconds: number): string =>
  new Date(Date.parse(monthStart(ahead)) + milliseconds).toISOString();

export const DAY_MS = 24 * 60 * 60_000;

/** A UUID that SQL makes of a number. */
export const uuidOf = (number: string): string => `lpad(to_hex(${number}), 32, '0')::uuid`;

/**
 * Seals until nothing is left. Tests of other files run on the same server, and what is written while one of their
 * transactions is open can be sealed only when that is over.
 */
export async function sealAll(
  activities: ActivityService,
  url: string,
  options?: SealActivitiesOptions,
): Promise<SealActivitiesResult> {
  const total = { seals: 0, activities: 0 };
  for (let attempt = 0; attempt < 1_000; attempt += 1) {
    const result = await activities.sealActivities(options);
    total.seals += result.seals;
    total.activities += result.activities;
    const { rows } = await withClient(url, (client) =>
      client.query<{ done: boolean }>(`select coalesce((select sum(activities) from nest_auth_activity_seals), 0)
        >= (select count(*) from nest_auth_activities) as done`),
    );
    if (rows[0]?.done === true) return { ...result, ...total };
    await sleep(10);
  }
  throw new Error('a transaction of somebody else is open all the time');
}
