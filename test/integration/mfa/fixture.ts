import { generate } from 'otplib';
import {
  type NestAuthModuleOptions,
  type SecondFactorChallenge,
  type SecondFactorRequiredError,
  TwoFactorService,
} from '../../../src/index.js';
import type { NestApp } from '../../support/nest-app.js';
import { auth, AUTH, PASSWORD, person, query } from '../session/fixture.js';

export const SECRETS = { keys: [{ id: 'k1', secret: 'the first key of the tests of mfa 0' }] };

/** Who tries many codes in a test is no attacker. */
export const MFA: NestAuthModuleOptions = { ...AUTH, secrets: SECRETS, rateLimits: { enabled: false } };

export const twoFactor = ({ context }: Pick<NestApp, 'context'>): TwoFactorService => context.get(TwoFactorService);

/** An application on a database that can be asked directly. */
type Stage = NestApp & { readonly url: string };

/** What the authenticator shows, by the database's clock, so many steps from now. */
export async function codeOf({ url }: Pick<Stage, 'url'>, secret: string, steps = 0): Promise<string> {
  const [row] = await query<{ epoch: number }>(url, 'select floor(extract(epoch from now()))::integer as epoch');
  return generate({ secret, epoch: (row?.epoch ?? 0) + steps * 30 });
}

/** A code that is none. */
export function wrong(code: string): string {
  return String((Number(code) + 1) % 1_000_000).padStart(6, '0');
}

/** As if no code of the user had been taken yet: the one of now can be shown again. */
export function forgetSteps(url: string, userId: string): Promise<unknown> {
  return query(url, `update nest_auth_second_factors set last_step = 0 where user_id = $1 and kind = 'totp'`, [userId]);
}

export interface Enrolled {
  readonly id: string;
  readonly email: string;
  readonly tenantId: string | undefined;
  readonly secret: string;
  readonly recoveryCodes: readonly string[];
}

/** Somebody with a password and an authenticator, of which no code counts as taken. */
export async function enrolled(app: Stage, tenantId?: string): Promise<Enrolled> {
  const { id, email } = await person(app, tenantId);
  const { secret } = await twoFactor(app).enableTwoFactor(id, { currentPassword: PASSWORD });
  const { recoveryCodes } = await twoFactor(app).verifyTwoFactorSetup(id, await codeOf(app, secret));
  await forgetSteps(app.url, id);
  return { id, email, tenantId, secret, recoveryCodes };
}

/** The challenge with which a sign-in by password is answered. */
export async function challenged(
  app: NestApp,
  { email, tenantId }: Pick<Enrolled, 'email' | 'tenantId'>,
): Promise<SecondFactorChallenge> {
  const refused = await auth(app)
    .signIn({ email, password: PASSWORD, tenantId })
    .then(
      () => null,
      (error: SecondFactorRequiredError) => error,
    );
  if (refused?.code !== 'SECOND_FACTOR_REQUIRED') throw new Error('No second factor was demanded', { cause: refused });
  return refused.challenge;
}
