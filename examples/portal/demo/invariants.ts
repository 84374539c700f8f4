import type { INestApplicationContext } from '@nestjs/common';
import { Client } from 'pg';
import { Announcements } from '../app/announcements.js';

/** Something that must be true of the database, with what was found. */
export interface Invariant {
  readonly claim: string;
  readonly expected: number;
  readonly found: number;
}

/** What happened outside the database, to compare it with. */
export interface Happened {
  /** Ids of the auth users whose creation and deletion were announced. */
  readonly announced: readonly string[];
  readonly deleted: readonly string[];
}

export function happenedIn(app: INestApplicationContext): Happened {
  const { created: announced, deleted } = app.get(Announcements);
  return { announced, deleted };
}

const ONE_HALF = [
  [
    'auth users without an AppUser',
    'SELECT FROM nest_auth_users u WHERE NOT EXISTS (SELECT FROM app_users a WHERE a.auth_user_id = u.id)',
  ],
  [
    'AppUsers without an auth user',
    'SELECT FROM app_users a WHERE NOT EXISTS (SELECT FROM nest_auth_users u WHERE u.id = a.auth_user_id)',
  ],
  [
    'AppUsers whose email or phone is not the auth user’s',
    'SELECT FROM app_users a JOIN nest_auth_users u ON u.id = a.auth_user_id WHERE (a.email, a.phone) IS DISTINCT FROM (u.email, u.phone)',
  ],
  [
    'emails and phones without their identity',
    `SELECT FROM nest_auth_users u
       CROSS JOIN LATERAL (VALUES ('email', u.email_norm), ('phone', u.phone)) AS login (provider, value)
     WHERE value IS NOT NULL AND NOT EXISTS (
       SELECT FROM nest_auth_identities i
       WHERE i.user_id = u.id AND i.provider = login.provider AND i.provider_id = login.value)`,
  ],
  [
    'users with neither a tenant nor platform access',
    `SELECT FROM nest_auth_users u
     WHERE NOT EXISTS (SELECT FROM nest_auth_user_accesses a WHERE a.user_id = u.id)
       AND NOT EXISTS (SELECT FROM nest_auth_platform_accesses p WHERE p.user_id = u.id)`,
  ],
  [
    'assigned roles that belong to another tenant',
    `SELECT FROM nest_auth_user_access_roles g JOIN nest_auth_roles r ON r.id = g.role_id
     WHERE r.tenant_id IS NOT NULL AND r.tenant_id <> g.tenant_id`,
  ],
  [
    'accepted invitations whose user is not in the tenant',
    `SELECT FROM nest_auth_invitations i JOIN nest_auth_users u ON u.id = i.accepted_by
     WHERE NOT EXISTS (SELECT FROM nest_auth_user_accesses a WHERE a.user_id = u.id AND a.tenant_id = i.tenant_id)`,
  ],
] as const;

const LOGINS = 'SELECT coalesce(sum((email IS NOT NULL)::int + (phone IS NOT NULL)::int), 0)::int FROM nest_auth_users';
const GONE =
  'SELECT FROM unnest($1::uuid[]) AS told (id) WHERE NOT EXISTS (SELECT FROM nest_auth_users u WHERE u.id = told.id)';
const UNTOLD = 'SELECT FROM nest_auth_users u WHERE NOT u.id = ANY ($1::uuid[])';
const GHOSTS = `SELECT FROM app_mails m
  WHERE NOT EXISTS (SELECT FROM nest_auth_users u WHERE u.id = m.auth_user_id) AND NOT m.auth_user_id = ANY ($1::uuid[])`;
const NOT_WELCOME =
  'SELECT FROM nest_auth_users u WHERE NOT EXISTS (SELECT FROM app_mails m WHERE m.auth_user_id = u.id)';
const TWICE = 'SELECT FROM app_mails GROUP BY auth_user_id HAVING count(*) > 1';

/** Asks the database, on a connection of its own that sees only what is committed. */
export async function readInvariants(url: string, { announced, deleted }: Happened): Promise<Invariant[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  const one = async (sql: string, values: unknown[] = []): Promise<number> => {
    const { rows } = await client.query<[number]>({ text: sql, values, rowMode: 'array' });
    return rows[0]?.[0] ?? Number.NaN;
  };
  const howMany = (rows: string, values: unknown[] = []) => one(`SELECT count(*)::int FROM (${rows}) AS found`, values);
  const still = (ids: readonly string[]): string[] => ids.filter((id) => !deleted.includes(id));
  try {
    const halves = [];
    for (const [claim, rows] of ONE_HALF) halves.push({ claim, expected: 0, found: await howMany(rows) });
    return [
      ...halves,
      {
        claim: 'identities, one for each email and phone',
        expected: await one(LOGINS),
        found: await howMany('SELECT FROM nest_auth_identities'),
      },
      {
        claim: 'welcome messages to users that were never committed',
        expected: 0,
        found: await howMany(GHOSTS, [deleted]),
      },
      { claim: 'users without their welcome message', expected: 0, found: await howMany(NOT_WELCOME) },
      { claim: 'users with two welcome messages', expected: 0, found: await howMany(TWICE) },
      {
        claim: 'events of users that were never committed',
        expected: 0,
        found: await howMany(GONE, [still(announced)]),
      },
      { claim: 'committed users without their event', expected: 0, found: await howMany(UNTOLD, [announced]) },
    ];
  } finally {
    await client.end();
  }
}

export const holds = ({ expected, found }: Invariant): boolean => expected === found;

/** How many rows each table has, as another connection sees them. */
export async function countRows(url: string): Promise<Record<string, number>> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<Record<string, number>>(`SELECT
      (SELECT count(*)::int FROM nest_auth_users) AS users,
      (SELECT count(*)::int FROM nest_auth_identities) AS identities,
      (SELECT count(*)::int FROM nest_auth_user_accesses) AS accesses,
      (SELECT count(*)::int FROM nest_auth_user_access_roles) AS roles,
      (SELECT count(*)::int FROM app_users) AS "AppUsers",
      (SELECT count(*)::int FROM app_mails) AS mails`);
    return rows[0] ?? {};
  } finally {
    await client.end();
  }
}
