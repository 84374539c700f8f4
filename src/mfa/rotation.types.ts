import type { EntityManager } from 'typeorm';
import type { SealedValue } from '../secret/sealed-value.js';

/** How `SecretRotationService.rotateSecrets` goes about it. */
export interface RotateSecretsOptions {
  /** Secrets a transaction, 1 to 1000. @default 100 */
  readonly chunkSize?: number;
  /** Counts what there is to do, and does nothing. @default false */
  readonly dryRun?: boolean;
  /** Stops after the current chunk. */
  readonly signal?: AbortSignal;
  /** Told after each chunk what is done so far. */
  readonly onProgress?: (counts: Omit<RotateSecretsResult, 'isComplete'>) => void;
}

export interface RotateSecretsResult {
  /** Encrypted by the newest key now; with `dryRun` those that would be. */
  readonly rotated: number;
  /** Left as they are: their key is not configured any more, or they were changed. */
  readonly unreadable: number;
  /** False when it was told to stop. With nothing unreadable the older keys are needed no more for what is encrypted. */
  readonly isComplete: boolean;
}

/** A value that is encrypted by an older key. */
export interface StaleSecret {
  readonly userId: string;
  readonly value: SealedValue;
}

/** A kind of values that are stored encrypted, one a user. */
export interface SealedKind {
  /** What a value belongs to, as `seal` has it. */
  ownerOf(userId: string): string;
  /** Those of other keys than `keyId`, of users above `after`, in the order of users. */
  findStale(manager: EntityManager, keyId: string, after: string, limit: number): Promise<StaleSecret[]>;
  /** Puts `to` where `from` is still the value; answers whether it was. One row by its key. */
  replace(manager: EntityManager, userId: string, from: SealedValue, to: SealedValue): Promise<boolean>;
}
