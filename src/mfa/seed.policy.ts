import { seal, unseal } from '../secret/sealed-value.js';
import type { SecretSettings } from '../secret/secret.settings.js';
import type { SealedSeed } from './challenge.queries.js';

/** To whom a seed belongs: put beside another user it does not open. `userId` is in lower case. */
export function seedOwner(userId: string): string {
  return `totp:${userId}`;
}

/** The seed, in base32, as it is stored. */
export function sealSeed(secrets: SecretSettings, userId: string, secret: string): SealedSeed {
  return seal(secrets, seedOwner(userId), Buffer.from(secret));
}

/** Throws `SECRET_UNREADABLE` when its key is gone. */
export function openSeed(secrets: SecretSettings, userId: string, seed: SealedSeed): string {
  return unseal(secrets, seedOwner(userId), seed).toString();
}
