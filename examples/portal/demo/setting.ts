import { type NestAuthTenant, PermissionService, RoleGuardEnum, RoleService, TenantService } from 'nest-auth-identity';
import type { INestApplicationContext } from '@nestjs/common';
import { PERMISSIONS, SYSTEM_ROLES } from '../app/portal.roles.js';

/** The tenants and roles of the demo, by the names that people.csv uses. */
export interface Setting {
  readonly tenants: ReadonlyMap<string, NestAuthTenant>;
  /** `member` for a role of the system, `kestrel-freight/dispatcher` for a tenant's own. */
  readonly roleIds: ReadonlyMap<string, string>;
  readonly permissions: number;
}

const TENANTS = [
  { slug: 'harbour-clinic', name: 'Harbour Clinic', own: { pharmacist: ['records.read', 'stock.dispense'] } },
  { slug: 'alder-school', name: 'Alder Street School', own: { 'form-teacher': ['records.read', 'records.write'] } },
  { slug: 'kestrel-freight', name: 'Kestrel Freight', own: { dispatcher: ['orders.read', 'orders.assign'] } },
  { slug: 'lumen-library', name: 'Lumen Library', own: { archivist: ['records.read', 'records.archive'] } },
  { slug: 'orchard-co-op', name: 'Orchard Co-op', own: { treasurer: ['ledger.read', 'ledger.write'] } },
];

/** Makes them, through the services that an application's own set-up script would use. */
export async function createSetting(app: INestApplicationContext): Promise<Setting> {
  const [tenantService, roleService, permissionService] = [
    app.get(TenantService),
    app.get(RoleService),
    app.get(PermissionService),
  ];
  const ownNames = [...new Set(TENANTS.flatMap((tenant) => Object.values(tenant.own).flat()))];
  const permissions = ownNames.map((name) => ({ name, guard: RoleGuardEnum.PORTAL }));
  const { created } = await permissionService.createPermissions(permissions);

  const roleIds = new Map<string, string>();
  // Those of the system the application has made itself.
  for (const { name, guard } of SYSTEM_ROLES) {
    const role = await roleService.getRoleByName(name, guard);
    if (role !== null) roleIds.set(name, role.id);
  }
  const tenants = new Map<string, NestAuthTenant>();
  for (const { slug, name, own } of TENANTS) {
    const tenant = await tenantService.createTenant({ slug, name });
    tenants.set(slug, tenant);
    for (const [roleName, names] of Object.entries(own)) {
      const role = await roleService.createRole({ name: roleName, guard: RoleGuardEnum.PORTAL, tenantId: tenant.id });
      await roleService.setRolePermissions(role.id, names);
      roleIds.set(`${slug}/${roleName}`, role.id);
    }
  }
  return { tenants, roleIds, permissions: PERMISSIONS.length + created.length };
}
