import type { EntityManager } from 'typeorm';
import { InputIssues } from '../errors/input.js';
import { isNestAuthError } from '../errors/nest-auth.error.js';
import { seal, type SealedValue, unseal } from '../secret/sealed-value.js';
import type { SecretSettings } from '../secret/secret.settings.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import type { RotateSecretsOptions, RotateSecretsResult, SealedKind, StaleSecret } from './rotation.types.js';

const CHUNK = 100;
const MAX_CHUNK = 1_000;

type Counts = { rotated: number; unreadable: number };

/**
 * Encrypts again what older keys have encrypted, a chunk a transaction. Nothing is remembered between chunks: what has
 * the newest key is not due any more, so that a run that was killed is simply run again, by whichever process.
 */
export class RotationOperations {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly secrets: SecretSettings,
    private readonly kinds: readonly SealedKind[],
  ) {}

  async run(options: RotateSecretsOptions, manager: EntityManager | undefined): Promise<RotateSecretsResult> {
    check(options);
    const pinned = this.transactions.pin(manager);
    const counts = { rotated: 0, unreadable: 0 };
    for (const kind of this.kinds) {
      let after: string | undefined = NIL_UUID;
      while (after !== undefined && !isStopped(options)) {
        after = await this.#chunk(pinned, kind, after, options, counts);
        options.onProgress?.({ ...counts });
      }
    }
    return { ...counts, isComplete: !isStopped(options) };
  }

  /** Answers where the next chunk begins; undefined after the last one. */
  async #chunk(
    manager: EntityManager | undefined,
    kind: SealedKind,
    after: string,
    { chunkSize = CHUNK, dryRun = false }: RotateSecretsOptions,
    counts: Counts,
  ): Promise<string | undefined> {
    // Without keys nothing can be read, and there is none to be the newest.
    const newest = this.secrets.isInUse ? this.secrets.ids[0] : '';
    const stale = await this.transactions.operate(manager, (m) => kind.findStale(m, newest, after, chunkSize));
    const sealed = stale.map((secret) => ({ ...secret, next: this.#again(kind, secret) }));
    const readable = sealed.filter((one): one is typeof one & { next: SealedValue } => one.next !== null);
    counts.unreadable += sealed.length - readable.length;
    counts.rotated += dryRun ? readable.length : await this.#replace(manager, kind, readable);
    return stale.length < chunkSize ? undefined : stale.at(-1)?.userId;
  }

  /** In the order of users, as every process does: two that meet wait for each other, and neither for both. */
  #replace(
    manager: EntityManager | undefined,
    kind: SealedKind,
    readable: readonly (StaleSecret & { readonly next: SealedValue })[],
  ): Promise<number> {
    return this.transactions.atomic(manager, async (m) => {
      let replaced = 0;
      for (const { userId, value, next } of readable) if (await kind.replace(m, userId, value, next)) replaced += 1;
      return replaced;
    });
  }

  /** Null for what cannot be decrypted: one row must not keep the others from having the newest key. */
  #again(kind: SealedKind, { userId, value }: StaleSecret): SealedValue | null {
    const owner = kind.ownerOf(userId);
    try {
      return seal(this.secrets, owner, unseal(this.secrets, owner, value));
    } catch (error) {
      if (isNestAuthError(error, 'SECRET_UNREADABLE')) return null;
      throw error;
    }
  }
}

/** A function: the signal changes while a chunk runs. */
function isStopped({ signal }: RotateSecretsOptions): boolean {
  return signal?.aborted === true;
}

function check(options: RotateSecretsOptions): void {
  const issues = new InputIssues();
  issues.fields(options, ['chunkSize', 'dryRun', 'signal', 'onProgress'] satisfies (keyof RotateSecretsOptions)[]);
  const { chunkSize = CHUNK, dryRun, onProgress } = options;
  if (!Number.isInteger(chunkSize) || chunkSize < 1 || chunkSize > MAX_CHUNK)
    issues.add('chunkSize', `must be a whole number, 1 to ${MAX_CHUNK}`);
  if (dryRun !== undefined) issues.boolean('dryRun', dryRun);
  if (onProgress !== undefined && typeof onProgress !== 'function') issues.add('onProgress', 'must be a function');
  issues.refuse('The secrets cannot be rotated');
}
