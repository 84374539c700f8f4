import { withClient } from './database.js';

/** Every row of every table of ours and of the host, as text: equal dumps mean that nothing has changed. */
export function dumpTables(url: string): Promise<Record<string, string[]>> {
  return withClient(url, async (client) => {
    const { rows: tables } = await client.query<{ name: string }>(
      `select table_name as name from information_schema.tables
       where table_schema = 'public' and table_name like any(array['nest_auth_%', 'app_%']) order by 1`,
    );
    const dump: Record<string, string[]> = Object.fromEntries(tables.map(({ name }) => [name, []]));
    // In one round trip: most tables are empty, and there are more than sixty.
    const each = tables.map(({ name }) => `select '${name}' as name, t::text as row from ${name} t`);
    const { rows } = await client.query<{ name: string; row: string }>(`${each.join(' union all ')} order by 1, 2`);
    for (const { name, row } of rows) dump[name]?.push(row);
    return dump;
  });
}

export async function countRows(url: string, table: string, where = 'true', values: unknown[] = []): Promise<number> {
  const { rows } = await withClient(url, (client) =>
    client.query<{ count: number }>(`select count(*)::integer as count from ${table} where ${where}`, values),
  );
  return rows[0]?.count ?? -1;
}

/**
 * Users whose identities are not what they must be: the email and phone identity are always the user's email and
 * phone, and nobody is without any. Looked up by SQL, so that no code of the package is believed.
 */
export async function brokenUsers(url: string): Promise<unknown[]> {
  const { rows } = await withClient(url, (client) =>
    client.query(`
      select u.id, u.email_norm, u.phone, array_agg(i.provider || ':' || i.provider_id) as identities
      from nest_auth_users u
      left join nest_auth_identities i on i.user_id = u.id and i.realm_id = u.realm_id
      group by u.id
      having count(i.provider_id) = 0
        or (array_agg(i.provider_id) filter (where i.provider = 'email')) is distinct from
          case when u.email_norm is not null then array[u.email_norm] end
        or (array_agg(i.provider_id) filter (where i.provider = 'phone')) is distinct from
          case when u.phone is not null then array[u.phone] end`),
  );
  return rows;
}

/** Resolves once a session of this database waits for a lock of another: then the race stands where it is wanted. */
export function untilSomebodyWaits(url: string): Promise<void> {
  return withClient(url, async (client) => {
    for (let attempt = 0; attempt < 500; attempt += 1) {
      const { rows } = await client.query(
        `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      );
      if (rows.length > 0) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error('nobody waits for a lock');
  });
}
