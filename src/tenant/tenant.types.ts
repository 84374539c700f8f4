import type { PageOptions } from '../transaction/keyset.js';

/** How tenants and people relate; chosen once for an application. */
export enum TenantModeEnum {
  /** One built-in default tenant; tenants are not asked for. */
  DISABLED = 'disabled',
  /** One person, one account, any number of tenants: an email is unique everywhere. */
  SHARED = 'shared',
  /** Every tenant has people of its own: an email is unique within its tenant. */
  ISOLATED = 'isolated',
}

/**
 * The nil UUID (RFC 9562, 5.9): the realm of users that are unique everywhere, the owner of system roles, and the id
 * of the built-in default tenant.
 */
export const NIL_UUID = '00000000-0000-0000-0000-000000000000';

/**
 * What a tenant demands of its members beside what they sign in with: a second factor of those who have enrolled one;
 * of everybody; of everybody and at every sign-in, so that no device is trusted.
 */
export const SECOND_FACTOR_POLICIES = ['optional', 'required', 'always'] as const;
export type SecondFactorPolicy = (typeof SECOND_FACTOR_POLICIES)[number];

/** What `createTenant` takes. */
export interface CreateTenantInput {
  readonly name: string;
  /** Lower-case letters, digits and single hyphens, at most 63; unique. */
  readonly slug: string;
  readonly description?: string | null;
  /** @default true */
  readonly isActive?: boolean;
  /** @default 'optional' */
  readonly secondFactorPolicy?: SecondFactorPolicy;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** What `updateTenant` takes; absent fields stay as they are. */
export interface UpdateTenantInput {
  readonly name?: string;
  readonly slug?: string;
  readonly description?: string | null;
  readonly isActive?: boolean;
  /** A stricter one ends the sessions in the tenant that do not meet it. */
  readonly secondFactorPolicy?: SecondFactorPolicy;
  /** Merged into what is there, key by key; `null` removes a key. */
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** Refuses with `STALE_VERSION` when the row has another version. */
  readonly expectedVersion?: number;
}

/** Which tenants a list holds. */
export interface TenantFilter {
  /** Part of the name or slug, without regard to case. */
  readonly search?: string;
  readonly isActive?: boolean;
}

/** What `getTenants` takes: at most 100 at once, 20 unless told. */
export interface GetTenantsOptions extends TenantFilter, PageOptions {}
