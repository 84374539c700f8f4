import {
  type NestAuthModuleOptions,
  PasswordRecoveryService,
  type RequestedProof,
  VerificationService,
} from '../../../src/index.js';
import { freshEmail, freshPhone, type NestApp } from '../../support/nest-app.js';
import { AUTH as SIGN_IN, PASSWORD, query } from '../session/fixture.js';

export const SECRETS = { keys: [{ id: 'k1', secret: 'thirty-two characters of chance!' }] };

/** Nothing here is about how often one may ask; and who is locked stays so, however slow the machine is. */
export const AUTH: NestAuthModuleOptions = {
  ...SIGN_IN,
  secrets: SECRETS,
  rateLimits: { enabled: false },
  lockout: { delaySeconds: 900 },
};

export const NEW_PASSWORD = 'seven purple otters dance';
export const INVALID = { code: 'ONE_TIME_TOKEN_INVALID' };

export const verification = ({ context }: NestApp): VerificationService => context.get(VerificationService);
export const recovery = ({ context }: NestApp): PasswordRecoveryService => context.get(PasswordRecoveryService);

export interface Somebody {
  readonly id: string;
  readonly email: string;
  readonly phone: string;
}

/** Somebody with email, phone and password, of whom nothing is proven. */
export async function somebody(app: NestApp, tenantId?: string): Promise<Somebody> {
  const [email, phone] = [freshEmail(), freshPhone()];
  const { id } = await app.users.createUser({ email, phone, password: await app.passwords.hash(PASSWORD) }, tenantId);
  return { id, email, phone };
}

export function tokenOf(requested: Pick<RequestedProof, 'reveal'> | { reveal(): { token: string } | null }): string {
  const revealed = requested.reveal();
  if (revealed === null || !('token' in revealed)) throw new Error('No link was made');
  return revealed.token;
}

export function codeOf(requested: RequestedProof): string {
  const revealed = requested.reveal();
  if (revealed === null || !('code' in revealed)) throw new Error('No code was made');
  return revealed.code;
}

/** Another code than this one; the `index`-th of them. */
export function wrong(code: string, index = 1): string {
  return ((Number(code) + index) % 1_000_000).toString().padStart(6, '0');
}

/** The link to reset the password of an email. */
export async function resetToken(app: NestApp, email: string, tenantId?: string): Promise<string> {
  return tokenOf(await recovery(app).requestPasswordReset({ email, tenantId }));
}

export interface StoredUser {
  readonly email: string | null;
  readonly phone: string | null;
  readonly email_verified: boolean;
  readonly phone_verified: boolean;
  readonly security_stamp: number;
  readonly password_hash: string | null;
}

export async function stored(url: string, userId: string): Promise<StoredUser> {
  const [row] = await query<StoredUser>(
    url,
    `select email, phone, email_verified_at is not null as email_verified,
       phone_verified_at is not null as phone_verified, security_stamp, password_hash from nest_auth_users where id = $1`,
    [userId],
  );
  if (row === undefined) throw new Error('No such user');
  return row;
}

/** As if every link and code of the user had been made so long ago that it has expired by a moment. */
export function expire(url: string, userId: string): Promise<unknown> {
  return query(
    url,
    `update nest_auth_one_time_tokens set expires_at = now() - interval '1 millisecond' where user_id = $1`,
    [userId],
  );
}
