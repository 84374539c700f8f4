import { isNestAuthError } from '../errors/nest-auth.error.js';
import type { SecondFactorPolicy } from '../tenant/tenant.types.js';

/** What a session has that was opened from a trusted device: a second factor that was shown there before. */
export const BY_TRUSTED_DEVICE = 'trusted_device';

/** As {@link meetsPolicy}, for values that were read. */
export function satisfies(policy: SecondFactorPolicy, secondFactor: string | null): boolean {
  if (policy === 'optional') return true;
  return secondFactor !== null && (policy === 'required' || secondFactor !== BY_TRUSTED_DEVICE);
}

/** In SQL: that what was shown is what the tenant demands. */
export function meetsPolicy(policy: string, secondFactor: string): string {
  return `(${policy} = 'optional' or (${secondFactor} is not null
        and (${policy} = 'required' or ${secondFactor} <> '${BY_TRUSTED_DEVICE}')))`;
}

/** That the first factor was right, and more is asked for. */
export function isDemand(error: unknown): boolean {
  return isNestAuthError(error, 'SECOND_FACTOR_REQUIRED') || isNestAuthError(error, 'SECOND_FACTOR_ENROLMENT_REQUIRED');
}
