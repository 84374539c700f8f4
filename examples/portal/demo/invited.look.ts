import { withClient } from './database.js';

/** What the tables have of somebody, over a connection that nothing of the package is between. */
interface Stored {
  readonly invitation: string | null;
  readonly users: number;
  readonly identities: number;
  readonly appUserEmail: string | null;
  readonly openSessions: number;
}

const STORED = `SELECT
    (SELECT i.status FROM nest_auth_invitations i
      WHERE i.email_norm = $1 OR i.accepted_by IN (SELECT id FROM nest_auth_users WHERE email_norm = $1)) AS invitation,
    (SELECT count(*)::int FROM nest_auth_users WHERE email_norm = $1) AS users,
    (SELECT count(*)::int FROM nest_auth_identities WHERE provider_id = $1) AS identities,
    (SELECT email FROM app_users WHERE email = $1) AS "appUserEmail",
    (SELECT count(*)::int FROM nest_auth_sessions s JOIN nest_auth_users u ON u.id = s.user_id
      WHERE u.email_norm = $1 AND s.revoked_at IS NULL) AS "openSessions"`;

export function whatIsStored(url: string, email: string): Promise<Stored> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<Stored>(STORED, [email]);
    return rows[0] ?? { invitation: null, users: 0, identities: 0, appUserEmail: null, openSessions: 0 };
  });
}

/** Pending, and of the person nothing at all. */
export function isUntouched({ invitation, users, identities, appUserEmail }: Stored): boolean {
  return invitation === 'pending' && users === 0 && identities === 0 && appUserEmail === null;
}

/** How many of the secrets stand in any column of any table. */
export function tokensStored(url: string, secrets: readonly string[]): Promise<{ found: number; searched: number }> {
  return withClient(url, async (client) => {
    const { rows: tables } = await client.query<{ name: string }>(
      `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = 'public'`,
    );
    const found = new Set<string>();
    for (const { name } of tables) {
      const { rows } = await client.query<{ secret: string }>(
        `SELECT DISTINCT secret FROM ${name} AS t, unnest($1::text[]) AS secret WHERE strpos(t::text, secret) > 0`,
        [secrets],
      );
      for (const { secret } of rows) found.add(secret);
    }
    return { found: found.size, searched: tables.length };
  });
}
