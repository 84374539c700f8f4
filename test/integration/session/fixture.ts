import type { NestAuthModuleOptions } from '../../../src/index.js';
import {
  AuthService,
  generateSessionKeys,
  type NestAuthActivity,
  SessionService,
  type SignInResult,
  UserLifecycleService,
} from '../../../src/index.js';
import { withClient } from '../../support/database.js';
import { freshEmail, type NestApp } from '../../support/nest-app.js';

export const PASSWORD = 'correct horse battery staple';

/** The cheapest parameters that are not refused: these tests are about other things than the hash. */
export const CHEAP = { memoryKiB: 7_168, iterations: 5, parallelism: 1 };

export const keys = generateSessionKeys();

export const AUTH: NestAuthModuleOptions = { session: { keys }, password: CHEAP };

export const auth = ({ context }: NestApp): AuthService => context.get(AuthService);
export const sessions = ({ context }: NestApp): SessionService => context.get(SessionService);
export const lifecycle = ({ context }: NestApp): UserLifecycleService => context.get(UserLifecycleService);

/** Somebody with a password. */
export async function person(app: NestApp, tenantId?: string): Promise<{ id: string; email: string }> {
  const email = freshEmail();
  const { id } = await app.users.createUser({ email, password: await app.passwords.hash(PASSWORD) }, tenantId);
  return { id, email };
}

export async function signedIn(app: NestApp, tenantId?: string): Promise<SignInResult & { email: string }> {
  const { email } = await person(app, tenantId);
  return { ...(await auth(app).signIn({ email, password: PASSWORD, tenantId })), email };
}

export function query<Row extends object>(url: string, sql: string, values: unknown[] = []): Promise<Row[]> {
  return withClient(url, async (client) => (await client.query<Row>(sql, values)).rows);
}

/** The activities about a user, the newest last. */
export function activitiesOf(url: string, userId: string): Promise<Pick<NestAuthActivity, 'type' | 'details'>[]> {
  return query(url, 'select type, details from nest_auth_activities where user_id = $1 order by xid, id', [userId]);
}

/** As a session that was used last, and began, so many minutes ago. */
export function age(url: string, sessionId: string, minutes: number): Promise<unknown> {
  const past = `- interval '1 minute' * $2::integer`;
  return query(
    url,
    `update nest_auth_sessions set last_seen_at = last_seen_at ${past}, idle_expires_at = idle_expires_at ${past},
       expires_at = expires_at ${past} where id = $1`,
    [sessionId, minutes],
  );
}

/** As if every token of the session had been used so many seconds earlier. */
export function ageTokens(url: string, sessionId: string, seconds: number): Promise<unknown> {
  return query(
    url,
    `update nest_auth_refresh_tokens set used_at = used_at - interval '1 second' * $2::integer where session_id = $1`,
    [sessionId, seconds],
  );
}
