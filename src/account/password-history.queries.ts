import type { EntityManager } from 'typeorm';
import { execute, type Statement } from '../transaction/statement.js';

/** What replaces a hash, as SQL. */
interface HashReplacement {
  /** Locks the row; selects `id`, `realm_id` and `password_hash` at least. */
  readonly held: string;
  /** The UPDATE of the row that is held. */
  readonly changed: string;
  /** What follows in the WITH list, and the SELECT. */
  readonly rest: string;
  /** Parameters: the id of the row that is added, and how many are kept. */
  readonly id: string;
  readonly count: string;
}

/**
 * A statement that keeps the hash which it replaces, and drops what is older than `count` passwords. What drops does not
 * see the row that is added, so that it is counted by itself. Nor does it see what another statement has added meanwhile:
 * after two at once one row more than `count` may stay, until the next change.
 */
export function keepingHash({ held, changed, rest, id, count }: HashReplacement): string {
  return `with held as (${held}),
  changed as (${changed}),
  remembered as (
    insert into nest_auth_password_history (user_id, id, realm_id, password_hash)
    select held.id, ${id}::uuid, held.realm_id, held.password_hash
    from held join changed on changed.id = held.id where held.password_hash is not null),
  forgotten as (
    delete from nest_auth_password_history h using changed
    where h.user_id = changed.id and h.user_id = $1 and h.id in (
      select id from nest_auth_password_history where user_id = $1 order by id desc
      offset ${count}::bigint - (select count(*) from held where password_hash is not null))),
  ${rest}`;
}

/** The current one first, then the last ones before it. */
const HASHES: Statement<{ password_hash: string }> = {
  text: `select password_hash from nest_auth_users where id = $1 and deleted_at is null and password_hash is not null
    union all
    (select password_hash from nest_auth_password_history where user_id = $1 order by id desc limit $2)`,
};

export async function readHashes(manager: EntityManager, userId: string, count: number): Promise<string[]> {
  const rows = await execute(manager, HASHES, [userId, count]);
  return rows.map(({ password_hash: hash }) => hash);
}
