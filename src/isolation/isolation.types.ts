/** A use of `TenantContext.withoutTenant`. */
export interface TenantBypass {
  /** Why, as the caller said it. */
  readonly reason: string;
  /** The tenant whose context was left for it; null when there was none. */
  readonly tenantId: string | null;
}

/** Settings of row-level security; `rls: true` takes the defaults. */
export interface RlsOptions {
  /**
   * Awaited before the work of every `withoutTenant` begins, so that it can be refused or recorded elsewhere. When it
   * throws, the work is not done.
   * @default nothing but the activity and `TenantBypassedEvent`
   */
  readonly onBypass?: (bypass: TenantBypass) => void | Promise<void>;
}
