import type { INestApplicationContext } from '@nestjs/common';
import { isNestAuthError } from 'nest-auth-identity';
import { Client } from 'pg';
import { PortalUserService } from '../app/portal-user.service.js';
import { ProfileRefusedError } from '../app/profile.errors.js';
import type { ImportResult } from './import.js';
import { heading, mark, paint, print, table } from './terminal.js';

/** What one of the three places holds of somebody. */
interface Stored {
  readonly email: string | null;
  readonly phone: string | null;
  readonly name?: string;
}

type Places = readonly [authUser: Stored | null, identities: Stored | null, appUser: Stored | null];

/** Emails that fit the table, and are spelled alike in all three places. */
const SHORT_EMAIL = /^[a-z0-9.+]{1,13}@example\.(com|org|net)$/;

/** A change of email and phone, two that are refused, and a deletion, each with what is stored before and after. */
export async function showChanges(
  app: INestApplicationContext,
  url: string,
  { outcomes }: ImportResult,
): Promise<boolean> {
  heading('Changing and deleting somebody: auth user, identities and AppUser together');
  const portal = app.get(PortalUserService);
  const users = outcomes.flatMap(({ user }) =>
    user?.email && SHORT_EMAIL.test(user.email) && user.phone ? [user] : [],
  );
  const [somebody, another] = users;
  if (somebody === undefined || another === undefined)
    throw new Error('the import made too few users with email and phone');
  const id = somebody.authUserId;
  const change = { email: 'renamed@example.org', phone: '+49 1512 3456789', displayName: 'Renamed Person' };

  const client = new Client({ connectionString: url });
  await client.connect();
  const stored = () => readPlaces(client, id);
  try {
    return [
      await show('updateUser with a new email, phone and name', stored, CHANGES, () => portal.updateUser(id, change)),
      await show('updateUser with the email of somebody else', stored, 'EMAIL_ALREADY_EXISTS', () =>
        portal.updateUser(id, { email: another.email, displayName: 'Never Seen' }),
      ),
      await show('updateUser with a new email and a birthday to come', stored, 'DATE_OF_BIRTH_REFUSED', () =>
        portal.updateUser(id, { email: 'free@example.org', dateOfBirth: '2999-01-01' }),
      ),
      await show('deleteUser', stored, CHANGES, () => portal.deleteUser(id)),
    ].every(Boolean);
  } finally {
    await client.end();
  }
}

/** `expected` is the code of a refusal, which must leave everything as it was. */
async function show(
  title: string,
  stored: () => Promise<Places>,
  expected: string,
  call: () => Promise<unknown>,
): Promise<boolean> {
  const before = await stored();
  const answer = await call().then(() => CHANGES, codeOf);
  const after = await stored();
  const isSame = JSON.stringify(before) === JSON.stringify(after);
  const ok = answer === expected && agree(after) && isSame === (expected !== CHANGES);
  print(`${mark(ok)} ${paint('bold', title)}${answer === CHANGES ? '' : ` → ${paint('yellow', answer)}`}`);
  const states = isSame ? [['as before', after] as const] : [['before', before] as const, ['after', after] as const];
  const rows = (['email', 'phone', 'name'] as const).flatMap((field) =>
    states.map(([when, places], index) => [
      index === 0 ? field : '',
      when,
      ...places.map((place, at) => (field === 'name' && at < 2 ? '' : (place?.[field] ?? DASH))),
    ]),
  );
  table(COLUMNS, rows, '  ');
  print();
  return ok;
}

const CHANGES = 'changes';
const DASH = '–';
const COLUMNS = [
  { title: '', width: 5 },
  { title: '', width: 9 },
  { title: 'nest_auth_users', width: 24 },
  { title: 'nest_auth_identities', width: 24 },
  { title: 'app_users', width: 24 },
];

/** Whether all three say the same, or nothing. */
function agree([authUser, ...others]: Places): boolean {
  return others.every((other) => other?.email === authUser?.email && other?.phone === authUser?.phone);
}

function codeOf(error: unknown): string {
  if (error instanceof ProfileRefusedError || isNestAuthError(error)) return error.code;
  throw error;
}

async function readPlaces(client: Client, id: string): Promise<Places> {
  const { rows } = await client.query<{ place: Stored | null }>(
    `SELECT (SELECT jsonb_build_object('email', email, 'phone', phone) FROM nest_auth_users WHERE id = $1) AS place
     UNION ALL
     SELECT jsonb_object_agg(provider, provider_id) FROM nest_auth_identities WHERE user_id = $1
     UNION ALL
     SELECT (SELECT jsonb_build_object('email', email, 'phone', phone, 'name', display_name) FROM app_users WHERE auth_user_id = $1)`,
    [id],
  );
  const [authUser = null, identities = null, appUser = null] = rows.map(({ place }) => place);
  return [authUser, identities, appUser];
}
