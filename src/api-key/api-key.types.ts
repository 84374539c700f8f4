import type { PageOptions } from '../transaction/keyset.js';

/** What an application has configured about API keys. With the group, also an empty one, they are in use. */
export interface ApiKeyOptions {
  /**
   * How every key begins, so that people and scanners for secrets know one when they see it: lower-case letters and
   * digits, and `_` at the end. Keys of another prefix are refused. @default 'nak_'
   */
  readonly prefix?: string;
  /** How long a key is good for that is made without `expiresAt` and `expiresInDays`. @default 90 */
  readonly defaultDays?: number;
  /** How long a key may be good for at most. @default 365 */
  readonly maxDays?: number;
  /** How long the old secret stays good beside the new one, for a rotation that does not say it. @default 0 not at all */
  readonly rotationOverlapSeconds?: number;
}

/** Whose a key is: a user's, or a service account's. */
export type ApiKeyOwner = ApiKeyOfUser | ApiKeyOfServiceAccount;

export interface ApiKeyOfUser {
  readonly userId: string;
  /**
   * The tenant in which the key works; null for the platform. For a new key, left out, it is the built-in tenant where
   * tenancy is `DISABLED`, else the platform. For keys that there are, left out, it is all of them.
   */
  readonly tenantId?: string | null | undefined;
}

export interface ApiKeyOfServiceAccount {
  readonly serviceAccountId: string;
  /** The tenant of the account. Where tenancy is `DISABLED` it can be left out. */
  readonly tenantId?: string | undefined;
}

/** How long a key is good for. */
export interface ApiKeyLifetime {
  /** When it ends, by the clock of the database. */
  readonly expiresAt?: Date | undefined;
  /** In how many days it ends, instead of `expiresAt`. @default `apiKeys.defaultDays` */
  readonly expiresInDays?: number | undefined;
}

export interface CreateApiKeyInput extends ApiKeyLifetime {
  readonly owner: ApiKeyOwner;
  /** For people. */
  readonly name: string;
  /** Names of permissions, or wildcards, beyond which the key opens nothing; at least one. */
  readonly scopes: readonly string[];
}

export interface RotateApiKeyOptions extends ApiKeyLifetime {
  /** How long the old secret stays good: 0 for not at all. @default `apiKeys.rotationOverlapSeconds` */
  readonly overlapSeconds?: number | undefined;
  /** Refuse unless the key has this version. @default any */
  readonly expectedVersion?: number | undefined;
}

export type ListApiKeysOptions = Omit<PageOptions, 'offset' | 'replica'>;

/** Why a key is over. */
export type ApiKeyEndReason = 'revoked' | 'user_not_active' | 'access_ended' | 'password_reset';

/** A key without its secret, which is nowhere. */
export interface ApiKey {
  readonly id: string;
  /** Null for a service account's. */
  readonly userId: string | null;
  /** Null for a user's. */
  readonly serviceAccountId: string | null;
  /** The tenant in which it works; null for the platform. */
  readonly tenantId: string | null;
  readonly name: string;
  readonly scopes: readonly string[];
  /** 1, and one more with every rotation. */
  readonly version: number;
  /** Id of the user who made it; null for anything else. */
  readonly createdBy: string | null;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  /** Until when the secret before the last rotation is good; null for not at all. */
  readonly previousExpiresAt: Date | null;
  /** When it was used last, but for the minute before; null for never. */
  readonly lastUsedAt: Date | null;
  readonly revokedAt: Date | null;
  readonly revokedReason: ApiKeyEndReason | null;
}

/** A key with its secret, which can be had this once. */
export interface IssuedApiKey {
  readonly apiKey: ApiKey;
  /** What whoever calls has to send. Give it to them, and keep it nowhere. */
  readonly secret: string;
}

/** Whose a key is, as it was verified. */
export type ApiKeyPrincipal = UserKeyPrincipal | ServiceAccountPrincipal;

interface KeyPrincipal {
  readonly type: 'api_key';
  readonly keyId: string;
  /** Beyond these the key opens nothing. */
  readonly scopes: readonly string[];
  readonly expiresAt: Date;
}

/** A user's key: it can do what the user can, as far as the scopes go. */
export interface UserKeyPrincipal extends KeyPrincipal {
  readonly kind: 'user';
  readonly userId: string;
  readonly serviceAccountId: null;
  /** Null for a key to the platform. */
  readonly tenantId: string | null;
}

/** A service account's key: it can do what the scopes name, in the tenant of the account. */
export interface ServiceAccountPrincipal extends KeyPrincipal {
  readonly kind: 'service_account';
  readonly userId: null;
  readonly serviceAccountId: string;
  readonly tenantId: string;
}

export interface CreateServiceAccountInput {
  /** Where tenancy is `DISABLED` it can be left out. */
  readonly tenantId?: string | undefined;
  /** Unique in the tenant. */
  readonly name: string;
  readonly description?: string | null | undefined;
}

export interface ListServiceAccountsOptions extends PageOptions {
  /** Where tenancy is `DISABLED` it can be left out. */
  readonly tenantId?: string | undefined;
}
