import { type NestAuthTenant, PermissionService, RoleGuardEnum, RoleService, TenantService } from 'nest-auth-identity';
import type { INestApplicationContext } from '@nestjs/common';

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

const SYSTEM_ROLES = [
  { name: 'member', guard: RoleGuardEnum.PORTAL, permissions: ['profile.read', 'profile.write'] },
  { name: 'editor', guard: RoleGuardEnum.PORTAL, permissions: ['profile.read', 'records.read', 'records.write'] },
  { name: 'manager', guard: RoleGuardEnum.PORTAL, permissions: ['profile.read', 'members.invite', 'members.remove'] },
  { name: 'platform-support', guard: RoleGuardEnum.ADMIN, permissions: ['tenants.read', 'users.read'] },
  { name: 'platform-owner', guard: RoleGuardEnum.ADMIN, permissions: ['tenants.read', 'tenants.write', 'users.read'] },
];

/** Makes them, through the services that an application's own set-up script would use. */
export async function createSetting(app: INestApplicationContext): Promise<Setting> {
  const [tenantService, roleService, permissionService] = [
    app.get(TenantService),
    app.get(RoleService),
    app.get(PermissionService),
  ];
  const permissions = permissionsByGuard();
  await permissionService.createPermissions(permissions);

  const roleIds = new Map<string, string>();
  for (const { name, guard, permissions: names } of SYSTEM_ROLES) {
    const role = await roleService.createRole({ name, guard, isSystem: true });
    await roleService.setRolePermissions(role.id, names);
    roleIds.set(name, role.id);
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
  return { tenants, roleIds, permissions: permissions.length };
}

function permissionsByGuard(): { name: string; guard: string }[] {
  const portal = [
    ...SYSTEM_ROLES.filter(({ guard }) => guard === RoleGuardEnum.PORTAL).flatMap(({ permissions }) => permissions),
    ...TENANTS.flatMap(({ own }) => Object.values(own).flat()),
  ];
  const admin = SYSTEM_ROLES.filter(({ guard }) => guard === RoleGuardEnum.ADMIN).flatMap(
    ({ permissions }) => permissions,
  );
  return [
    ...[...new Set(portal)].map((name) => ({ name, guard: RoleGuardEnum.PORTAL })),
    ...[...new Set(admin)].map((name) => ({ name, guard: RoleGuardEnum.ADMIN })),
  ];
}
