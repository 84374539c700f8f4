import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { assertUuid } from '../errors/input.js';
import { TenantContext } from '../isolation/tenant-context.js';
import type { Page } from '../transaction/keyset.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { invalidKey } from './api-key-refusals.policy.js';
import { ApiKeyOperations } from './api-key.operations.js';
import { ApiKeySettings } from './api-key.settings.js';
import type {
  ApiKey,
  ApiKeyOwner,
  ApiKeyPrincipal,
  CreateApiKeyInput,
  IssuedApiKey,
  ListApiKeysOptions,
  RotateApiKeyOptions,
} from './api-key.types.js';
import { findKeyOwner, noteUse } from './authenticate.queries.js';
import { type ReadKey, readKeyText } from './key-text.policy.js';

/** Whoever changes a key may take long, and a connection that waits for that is one that nobody else has. */
const NOTE_LOCK_TIMEOUT_MS = 10;

/**
 * Keys by which programs call: of a user, or of a service account. Needs the option `apiKeys` or `guard.apiKeys`;
 * without, every method throws `INVALID_OPTIONS`. It asks nobody for a right but where it says so; the caller does.
 *
 * Every method runs on the `manager` passed, else in the running transaction, else by itself. Of a key the database has
 * a hash alone; the secret is in the answer that made it, and in no event, activity or error. Keys of another owner are
 * refused like keys that do not exist; with row-level security a tenant finds those that work in it, and those of the
 * users of its own realm.
 */
@Injectable()
export class ApiKeyService {
  /** Of the keys whose use is being noted. */
  readonly #noting = new Set<string>();

  constructor(
    private readonly transactions: TransactionHost,
    private readonly operations: ApiKeyOperations,
    private readonly settings: ApiKeySettings,
    private readonly tenants: TenantContext,
  ) {}

  /**
   * Makes a key. Nobody makes one that opens more than they can: a user's key names what the user holds there, and
   * whoever acts holds what the key names, as docs/permissions.md says. A user who acts makes no key of another user.
   *
   * Transaction: several statements, in a transaction of their own where none is running; what the user and the actor
   * hold stays until it ends. A refusal leaves the caller's transaction usable. Announces `ApiKeyCreatedEvent`.
   * Errors: `GRANT_NOT_HELD` with `details.permissions`, `PERMISSION_DENIED` for another user's, `USER_NOT_FOUND`,
   * `USER_NOT_ACTIVE`, `TENANT_NOT_FOUND`, `ACCESS_NOT_FOUND`, `SERVICE_ACCOUNT_NOT_FOUND`, `VALIDATION_FAILED`,
   * `INVALID_OPTIONS`.
   */
  async createApiKey(input: CreateApiKeyInput, manager?: EntityManager): Promise<IssuedApiKey> {
    this.settings.assertInUse();
    return this.transactions.atomic(manager, (m) => this.operations.create(m, input));
  }

  /** The keys of the owner, ended ones too, the youngest first; 20 a page, at most 100. One statement. Errors: `VALIDATION_FAILED`, `TENANT_NOT_FOUND`, `INVALID_OPTIONS`. */
  async listApiKeys(owner: ApiKeyOwner, options?: ListApiKeysOptions, manager?: EntityManager): Promise<Page<ApiKey>> {
    this.settings.assertInUse();
    return this.transactions.operate(manager, (m) => this.operations.list(m, owner, options));
  }

  /**
   * Ends a key, for good: from the next request on it opens nothing, in no process.
   *
   * Transaction: one statement. Announces `ApiKeysRevokedEvent`.
   * Errors: `API_KEY_NOT_FOUND`, also when repeated; `VALIDATION_FAILED`, `TENANT_NOT_FOUND`, `INVALID_OPTIONS`.
   */
  async revokeApiKey(owner: ApiKeyOwner, keyId: string, manager?: EntityManager): Promise<void> {
    this.settings.assertInUse();
    assertUuid('keyId', keyId);
    return this.transactions.operate(manager, (m) => this.operations.revoke(m, owner, keyId));
  }

  /** Ends every key of the owner; answers how many. Otherwise as {@link revokeApiKey}; repeating it changes nothing. */
  async revokeAllApiKeys(owner: ApiKeyOwner, manager?: EntityManager): Promise<number> {
    this.settings.assertInUse();
    return this.transactions.operate(manager, (m) => this.operations.revokeAll(m, owner));
  }

  /**
   * Gives a key another secret. The old one is dead at once, or stays good beside the new one for `overlapSeconds`; a
   * key has two at most. With an overlap, of several rotations at once exactly one succeeds; without, the last one
   * counts, unless they pass `expectedVersion`. Scopes and owner stay. Whoever acts holds what the key names, and is
   * its user if it is a user's.
   *
   * Transaction: several statements, in a transaction of their own where none is running; the key is held. A
   * refusal leaves the caller's transaction usable. Announces `ApiKeyRotatedEvent`.
   * Errors: `API_KEY_NOT_FOUND` for one that is over too, `API_KEY_ROTATION_PENDING` with an overlap while there are two
   * secrets, `STALE_VERSION`, `GRANT_NOT_HELD`, `PERMISSION_DENIED`, `VALIDATION_FAILED`, `TENANT_NOT_FOUND`,
   * `INVALID_OPTIONS`.
   */
  async rotateApiKey(
    owner: ApiKeyOwner,
    keyId: string,
    options?: RotateApiKeyOptions,
    manager?: EntityManager,
  ): Promise<IssuedApiKey> {
    this.settings.assertInUse();
    assertUuid('keyId', keyId);
    return this.transactions.atomic(manager, (m) => this.operations.rotate(m, owner, keyId, options));
  }

  /**
   * Whose a key is. It is asked for every call and never remembered: one that was revoked or has run out, or whose user,
   * access, account or tenant is not active any more, is refused by the next request in every process.
   *
   * Transaction: one statement, by the clock of the database; none for a text that is no key of ours, which its checksum
   * tells. Once a minute and key its use is noted: after COMMIT, in a transaction of its own, without anybody waiting
   * and without a word when that fails, such as while somebody changes the key.
   * Tenancy: the key says the tenant. With row-level security it needs no `TenantContext`, and is refused with
   * `TENANT_CONTEXT_MISMATCH` inside a transaction of a tenant.
   * Errors: `API_KEY_INVALID`, which does not tell why; `INVALID_OPTIONS`.
   */
  async authenticateApiKey(key: string, manager?: EntityManager): Promise<ApiKeyPrincipal> {
    this.settings.assertInUse();
    const read = readKeyText(this.settings.prefix, key);
    if (read === null) throw invalidKey();
    const found = await this.tenants.asPlatform(() => this.transactions.operate(manager, (m) => findKeyOwner(m, read)));
    if (found === null) throw invalidKey();
    if (found.unseen) this.transactions.afterCommit(manager, () => this.#noteUse(read));
    return found.principal;
  }

  /** Many requests at once find that nobody has noted it: one of them does. */
  async #noteUse(key: ReadKey): Promise<void> {
    if (this.#noting.has(key.keyId)) return;
    this.#noting.add(key.keyId);
    try {
      const options = { lockTimeoutMs: NOTE_LOCK_TIMEOUT_MS, retries: 0 };
      await this.tenants.asPlatform(() => this.transactions.run((m) => noteUse(m, key), options));
    } catch {
      // A use that nobody has noted is no reason to refuse it; the next one is noted.
    } finally {
      this.#noting.delete(key.keyId);
    }
  }
}
