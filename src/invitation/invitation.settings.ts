import { NestAuthError } from '../errors/nest-auth.error.js';
import type { InvitationOptions } from './invitation.types.js';

const DAY = 86_400;
const DEFAULTS = { expiresInSeconds: 7 * DAY, keepExpiredDays: 30 } as const satisfies Required<InvitationOptions>;
const RANGES = { expiresInSeconds: [60, 90 * DAY], keepExpiredDays: [0, 3_650] } as const;

export const INVITATION_FIELDS = Object.keys(DEFAULTS);

/** What an application has configured about invitations, checked and with the defaults. */
export class InvitationSettings {
  readonly expiresInSeconds: number;
  readonly keepExpiredDays: number;

  constructor(options: InvitationOptions = {}) {
    const given = { ...DEFAULTS, ...options };
    for (const [name, [min, max]] of Object.entries(RANGES)) {
      const value = given[name as keyof typeof RANGES];
      if (!Number.isInteger(value) || value < min || value > max)
        refuse(name, `must be a whole number, ${min} to ${max}`);
    }
    this.expiresInSeconds = given.expiresInSeconds;
    this.keepExpiredDays = given.keepExpiredDays;
  }
}

function refuse(name: string, message: string): never {
  const option = `invitations.${name}`;
  throw new NestAuthError('INVALID_OPTIONS', `NestAuthModule: ${option} ${message}`, { details: { option } });
}
