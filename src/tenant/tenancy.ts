import { NestAuthError } from '../errors/nest-auth.error.js';
import { assertUuid } from '../errors/input.js';
import { NIL_UUID, TenantModeEnum } from './tenant.types.js';

/** The tenancy of one application, and what follows from it. Pure. */
export class Tenancy {
  constructor(
    readonly mode: TenantModeEnum,
    /** The tenant a user is given access to when none is named; only in `SHARED`. */
    readonly defaultTenantId: string | null = null,
  ) {}

  /** The tenant a creation means: the one named, else the built-in or the configured default; null for none. */
  tenantForCreate(tenantId: string | null | undefined): string | null {
    if (this.mode === TenantModeEnum.DISABLED) return this.builtIn(tenantId);
    if (tenantId !== undefined && tenantId !== null) return this.named(tenantId);
    return this.defaultTenantId;
  }

  /** The realm in which a login of this tenant is unique. */
  realmOf(tenantId: string | null | undefined): string {
    if (this.mode !== TenantModeEnum.ISOLATED) {
      if (tenantId !== undefined && tenantId !== null) this.tenantForCreate(tenantId);
      return NIL_UUID;
    }
    if (tenantId === undefined || tenantId === null) {
      throw new NestAuthError(
        'TENANT_REQUIRED',
        'In ISOLATED tenancy an email or phone means nothing without its tenant; pass tenantId, or use the platform method',
      );
    }
    return this.named(tenantId);
  }

  /** A tenant named in a call about an existing access. */
  named(tenantId: string): string {
    assertUuid('tenantId', tenantId);
    if (this.mode === TenantModeEnum.DISABLED) return this.builtIn(tenantId);
    // The nil UUID is the realm of platform users: as a tenant it would put a tenant's people among them.
    if (tenantId === NIL_UUID)
      throw new NestAuthError('TENANT_NOT_FOUND', 'The nil UUID is a tenant only in DISABLED tenancy');
    return tenantId;
  }

  private builtIn(tenantId: string | null | undefined): string {
    if (tenantId !== undefined && tenantId !== null && tenantId !== NIL_UUID) {
      throw new NestAuthError('TENANT_NOT_FOUND', 'Tenancy is DISABLED: only the built-in default tenant exists');
    }
    return NIL_UUID;
  }
}
