import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import type { AccessDependents } from '../access/access-dependents.js';
import { readGrants } from '../access/access.queries.js';
import { type Delegation, worksIn } from '../access/delegation.operations.js';
import { holdActor } from '../access/delegation.queries.js';
import { coveringNames } from '../access/permission-names.policy.js';
import type { LifecycleDependents } from '../account/lifecycle-dependents.js';
import { ActorTypeEnum } from '../audit/activity.types.js';
import { IdentityContext } from '../audit/identity-context.js';
import { isUuid } from '../errors/input.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import type { EventPublisher } from '../events/event-publisher.js';
import type { RecoveryDependents } from '../recovery/recovery-dependents.js';
import { ApiKeyCreatedEvent, ApiKeyRotatedEvent, ApiKeysRevokedEvent } from '../events/nest-auth.events.js';
import type { Tenancy } from '../tenant/tenancy.js';
import { cursorKind, encodeCursor, type Page, readIdCursor, readPage, toPage } from '../transaction/keyset.js';
import { endsWrongly, noAccount, noKey, notForOthers, notHeld } from './api-key-refusals.policy.js';
import { checkKeyList, checkRotation, holderOf, holderOfNew, readCreateKey } from './api-key-input.policy.js';
import { findScopes, holdKey, insertKey, listKeys, rotateKey } from './api-key.queries.js';
import { type EndedKeys, endKeys, endKeysOfUsers } from './end-key.queries.js';
import { type KeyHolder, toApiKey } from './key-rows.queries.js';
import type { ApiKeySettings } from './api-key.settings.js';
import type {
  ApiKey,
  ApiKeyEndReason,
  ApiKeyOwner,
  CreateApiKeyInput,
  IssuedApiKey,
  ListApiKeysOptions,
  RotateApiKeyOptions,
} from './api-key.types.js';
import { makeKeyText } from './key-text.policy.js';
import { readOwnerState } from './owner-state.queries.js';
import { holdAccount } from './service-account.queries.js';

const LIMITS = { defaultLimit: 20, maxLimit: 100 } as const;

type UserHolder = Extract<KeyHolder, { readonly kind: 'user' }>;

/** The rules of API keys: validate, write, announce. */
export class ApiKeyOperations {
  constructor(
    private readonly events: EventPublisher,
    private readonly tenancy: Tenancy,
    private readonly delegation: Delegation,
    private readonly settings: ApiKeySettings,
  ) {}

  /** Where there are no keys there is nothing to end, and a change of a user stays one statement. */
  register(users: LifecycleDependents, accesses: AccessDependents, recoveries: RecoveryDependents): void {
    if (!this.settings.isInUse) return;
    users.register({
      name: 'api-keys',
      end: (manager, userIds) => this.#endOfUsers(manager, userIds, 'user_not_active'),
    });
    recoveries.register({ end: (manager, userId) => this.#endOfUsers(manager, [userId], 'password_reset') });
    accesses.register({
      name: 'api-keys',
      end: async (manager, userId, tenantId) => {
        await this.#end(manager, { kind: 'user', userId, tenantId }, 'access_ended');
      },
    });
  }

  /** `manager` must be a transaction's: whoever gives the scopes holds them until it ends. */
  async create(manager: EntityManager, input: CreateApiKeyInput): Promise<IssuedApiKey> {
    const scopes = readCreateKey(input, this.settings);
    const holder = holderOfNew(input.owner, this.tenancy);
    await this.#assertMayMake(manager, holder, scopes);
    const id = uuidv7();
    const { text, hash } = this.#makeText(holder, id);
    const { maxDays, defaultDays } = this.settings;
    const { expiresAt = null, expiresInDays = defaultDays } = input;
    const createdBy = actingUser();
    const made = { id, hash, name: input.name, scopes, createdBy, expiresAt, expiresInDays, maxDays };
    const row = await insertKey(manager, holder, made);
    if (row === undefined) throw endsWrongly(maxDays);
    const apiKey = toApiKey(row);
    this.events.publish(manager, new ApiKeyCreatedEvent(apiKey));
    return issued(apiKey, text);
  }

  /** The youngest first. */
  async list(manager: EntityManager, owner: ApiKeyOwner, options: ListApiKeysOptions = {}): Promise<Page<ApiKey>> {
    checkKeyList(options);
    const holder = holderOf(owner, this.tenancy);
    const { limit, after } = readPage(options, LIMITS);
    const kind = cursorKind('api-keys', { ...holder, tenantId: String(holder.tenantId) });
    const rows = await listKeys(manager, holder, readIdCursor(kind, after), limit + 1);
    return toPage(rows, limit, toApiKey, ({ id }) => encodeCursor(kind, { id }));
  }

  async revoke(manager: EntityManager, owner: ApiKeyOwner, id: string): Promise<void> {
    const ended = await this.#end(manager, holderOf(owner, this.tenancy), 'revoked', id);
    if (ended === 0) throw noKey('revokeApiKey');
  }

  /** How many there were. */
  async revokeAll(manager: EntityManager, owner: ApiKeyOwner): Promise<number> {
    return this.#end(manager, holderOf(owner, this.tenancy), 'revoked');
  }

  /** `manager` must be a transaction's: the key is held. */
  async rotate(
    manager: EntityManager,
    owner: ApiKeyOwner,
    id: string,
    options: RotateApiKeyOptions = {},
  ): Promise<IssuedApiKey> {
    checkRotation(options, this.settings);
    const { maxDays, rotationOverlapSeconds } = this.settings;
    const {
      overlapSeconds = rotationOverlapSeconds,
      expectedVersion,
      expiresAt = null,
      expiresInDays = null,
    } = options;
    const holder = holderOf(owner, this.tenancy);
    await this.#assertMayHave(manager, holder, id);
    const held = await holdKey(manager, holder, id, { expiresAt, expiresInDays, maxDays, overlapSeconds });
    if (held === undefined || !held.is_open) throw noKey('rotateApiKey');
    if (expectedVersion !== undefined && expectedVersion !== held.version) throw stale();
    if (overlapSeconds > 0 && held.overlaps) throw overlapping();
    if (!held.may_end) throw endsWrongly(maxDays);
    const { text, hash } = this.#makeText(holder, id);
    const previousExpiresAt = overlapSeconds > 0 ? held.overlaps_until : null;
    const row = await rotateKey(manager, holder, id, { hash, previousExpiresAt, expiresAt: held.ends_at });
    const apiKey = toApiKey(row);
    this.events.publish(manager, new ApiKeyRotatedEvent(apiKey));
    return issued(apiKey, text);
  }

  /** A user's key opens at most what the user holds, a service account's what whoever makes it holds. */
  async #assertMayMake(manager: EntityManager, holder: KeyHolder, scopes: readonly string[]): Promise<void> {
    if (holder.kind === 'user') await assertOwnerHolds(manager, holder, scopes);
    else if (!(await holdAccount(manager, holder.tenantId, holder.serviceAccountId))) throw noAccount('createApiKey');
    const place = { tenantId: holder.tenantId ?? null };
    assertWithinActingKey(place.tenantId, scopes);
    await this.delegation.assertMayGrant(manager, place, { permissionNames: scopes });
  }

  /**
   * Whoever rotates a key has it afterwards. Scopes never change, so that the key need not be held for that: whoever
   * ends a user holds the user first, and the keys after.
   */
  async #assertMayHave(manager: EntityManager, holder: KeyHolder, id: string): Promise<void> {
    if (holder.kind === 'user') assertActsForItself(holder.userId);
    if (!this.delegation.applies && IdentityContext.current.apiKey === undefined) return;
    const found = await findScopes(manager, holder, id);
    if (found === undefined) throw noKey('rotateApiKey');
    assertWithinActingKey(found.tenant_id, found.scopes);
    await this.delegation.assertMayGrant(manager, { tenantId: found.tenant_id }, { permissionNames: found.scopes });
  }

  #makeText(holder: KeyHolder, keyId: string): { text: string; hash: Buffer } {
    const holderId = holder.kind === 'user' ? holder.userId : holder.tenantId;
    return makeKeyText(this.settings.prefix, { kind: holder.kind, holderId, keyId });
  }

  async #endOfUsers(manager: EntityManager, userIds: readonly string[], reason: ApiKeyEndReason): Promise<void> {
    for (const one of await endKeysOfUsers(manager, userIds, reason)) this.#announceEnd(manager, one, reason);
  }

  async #end(manager: EntityManager, holder: KeyHolder, reason: ApiKeyEndReason, id?: string): Promise<number> {
    const ended = await endKeys(manager, holder, reason, id);
    if (ended !== undefined) this.#announceEnd(manager, ended, reason);
    return ended?.keyIds.length ?? 0;
  }

  #announceEnd(
    manager: EntityManager,
    { userId, serviceAccountId, tenantId, keyIds }: EndedKeys,
    reason: ApiKeyEndReason,
  ) {
    const owner = { userId, serviceAccountId, tenantId };
    this.events.publish(manager, new ApiKeysRevokedEvent(owner, keyIds, reason));
  }
}

/** What the user holds there stays as it is until the transaction ends. */
async function assertOwnerHolds(manager: EntityManager, holder: UserHolder, scopes: readonly string[]): Promise<void> {
  const { userId, tenantId = null } = holder;
  assertActsForItself(userId);
  await holdActor(manager, userId, tenantId);
  const state = await readOwnerState(manager, userId, tenantId);
  if (state.user_active === null) throw new NestAuthError('USER_NOT_FOUND', 'createApiKey: there is no such user');
  if (!state.user_active) throw new NestAuthError('USER_NOT_ACTIVE', 'createApiKey: the user is not active');
  if (tenantId !== null && state.tenant_active !== true) {
    throw new NestAuthError('TENANT_NOT_FOUND', 'createApiKey: there is no such tenant, or it is not active');
  }
  if (tenantId !== null && state.access_active !== true) {
    throw new NestAuthError('ACCESS_NOT_FOUND', 'createApiKey: the user is no active member of the tenant');
  }
  const grants = await readGrants(manager, { userId, tenantId });
  const missing = scopes.filter((scope) => grants?.can(scope) !== true);
  if (missing.length > 0) throw notHeld(missing);
}

/** By a key nobody gets another one that opens more or works elsewhere, whatever the option `access.delegation` says. */
function assertWithinActingKey(tenantId: string | null, scopes: readonly string[]): void {
  const { apiKey } = IdentityContext.current;
  if (apiKey === undefined) return;
  // From the platform every tenant can be reached.
  const reaches = apiKey.tenantId === null || worksIn(apiKey, tenantId);
  const missing = scopes.filter(
    (scope) => !reaches || !coveringNames(scope).some((name) => apiKey.scopes.includes(name)),
  );
  if (missing.length > 0) throw notHeld(missing);
}

/**
 * With the key of somebody else one would be somebody else, and whoever acts in the name of a user would be that user for
 * good. A job or script of the application may make one.
 */
function assertActsForItself(userId: string): void {
  const { actor, apiKey, impersonatorId } = IdentityContext.current;
  const isOther =
    actor?.type === ActorTypeEnum.USER
      ? actor.id?.toLowerCase() !== userId.toLowerCase()
      : apiKey !== undefined || actor?.type === ActorTypeEnum.ANONYMOUS;
  if (isOther || impersonatorId !== undefined) throw notForOthers();
}

/** Who makes something, if it is a user. */
export function actingUser(): string | null {
  const { actor } = IdentityContext.current;
  return actor?.type === ActorTypeEnum.USER && isUuid(actor.id) ? actor.id : null;
}

function issued(apiKey: ApiKey, secret: string): IssuedApiKey {
  return { apiKey, secret };
}

function stale(): NestAuthError {
  return new NestAuthError('STALE_VERSION', 'rotateApiKey: the key was rotated since its version was read');
}

function overlapping(): NestAuthError {
  return new NestAuthError(
    'API_KEY_ROTATION_PENDING',
    'rotateApiKey: the secret before this one is still good, and a key has two at most; wait, or pass overlapSeconds: 0',
  );
}
