import type { EntityManager } from 'typeorm';
import { execute, type Statement } from '../transaction/statement.js';
import { type LifecycleCommand, TRANSITIONS } from './transitions.policy.js';
import { isEligible } from './verdict.queries.js';

const DUE = new Map<string, Statement<DueRow>>();

interface DueRow {
  readonly id: string;
  readonly due: boolean;
  readonly scanned: number;
}

/** Which of the next users with this status, in the order of their ids, a command concerns. */
export async function scanDue(
  manager: EntityManager,
  scan: { readonly command: LifecycleCommand; readonly status: string; readonly tenants: boolean },
  window: { readonly after: string; readonly size: number },
  value: number | undefined,
): Promise<{ due: string[]; last: string | undefined; scanned: number }> {
  const { command, status, tenants } = scan;
  const key = `${command}_${status}_${tenants}`;
  let found = DUE.get(key);
  if (found === undefined) {
    found = { text: dueSql(command, tenants) };
    DUE.set(key, found);
  }
  const hasGrace = TRANSITIONS[command].grace !== undefined;
  const rows = await execute(manager, found, [status, window.after, window.size, ...(hasGrace ? [value] : [])]);
  const due = rows.filter((row) => row.due).map(({ id }) => id);
  return { due, last: rows.at(-1)?.id, scanned: rows[0]?.scanned ?? 0 };
}

/**
 * Reads a part of the index that does not grow with the number of users; answers those who are due, and the last.
 *
 * Always by the index of the status: how many users have it is what a batch changes, and what the planner has heard of
 * it is out of date by then. Told the status, it would go through all users by their ids, or sort all that have it.
 */
function dueSql(command: LifecycleCommand, tenants: boolean): string {
  return `with page as (
      select u.id, ${isEligible(command, tenants, '$4::integer')} as due from nest_auth_users u
      where u.status = any(array(select $1::text)) and u.id > $2::uuid order by u.status, u.id limit $3)
    select id, due, (select count(*) from page)::integer as scanned from page
    where due or id = (select id from page order by id desc limit 1) order by id`;
}
