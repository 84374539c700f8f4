/** How many there are of everything, and which belongs to which: a function of the number of users alone. */
export interface Shape {
  readonly users: number;
  readonly tenants: number;
}

/** System roles of the portal; everybody has one of them, so that each has a tenth of all users. */
export const SHARED_ROLES = 10;
const PERMISSIONS_PER_ROLE = 20;
/** Held by no role: what a change of a role adds and takes away. */
export const SPARE_PERMISSIONS = 10;
export const PERMISSIONS = SHARED_ROLES * PERMISSIONS_PER_ROLE + SPARE_PERMISSIONS;
const PERMISSIONS_OF_OWN_ROLE = 3;

/** A hundred users a tenant; but the first tenant alone has a tenth of all. */
export function shapeOf(users: number): Shape {
  return { users, tenants: Math.max(10, Math.floor(users / 100)) };
}

/** Version 7, as the application makes them: a time that grows with the index, and digits that look like chance. */
function idOf(firstMs: number, index: number): string {
  const time = (firstMs + index).toString(16).padStart(12, '0');
  const [a, b, c] = [mixed(index), mixed(index + 0x9e_37_79_b9), mixed(index + 0x3c_6e_f3_72)];
  return `${time.slice(0, 8)}-${time.slice(8)}-7${a.slice(0, 3)}-8${a.slice(3, 6)}-${b}${c.slice(0, 4)}`;
}

/** Eight hexadecimal digits; no two numbers of 32 bits have the same. */
function mixed(index: number): string {
  let x = Math.imul(index ^ (index >>> 16), 0x45_d9_f3_b);
  x = Math.imul(x ^ (x >>> 16), 0x45_d9_f3_b);
  return ((x ^ (x >>> 16)) >>> 0).toString(16).padStart(8, '0');
}

export const userId = (user: number): string => idOf(1_700_000_000_000, user);
export const tenantId = (tenant: number): string => idOf(1_600_000_000_000, tenant);
export const sharedRoleId = (role: number): string => idOf(1_610_000_000_000, role);
export const ownRoleId = (tenant: number): string => idOf(1_620_000_000_000, tenant);
export const permissionId = (permission: number): string => idOf(1_630_000_000_000, permission);
export const permissionName = (permission: number): string => `documents:action-${permission}`;
export const spareName = (index: number): string => permissionName(PERMISSIONS - SPARE_PERMISSIONS + index);

export const roleOf = (user: number): number => Math.floor(user / 10) % SHARED_ROLES;

export function permissionsOf(role: number): number[] {
  return Array.from({ length: PERMISSIONS_PER_ROLE }, (_, index) => role * PERMISSIONS_PER_ROLE + index);
}

export function permissionsOfOwn(tenant: number): number[] {
  return Array.from({ length: PERMISSIONS_OF_OWN_ROLE }, (_, index) => (tenant + index) % (PERMISSIONS - 10));
}

/** Where a user is by default. */
export function homeOf(user: number, { tenants }: Shape): number {
  return user % 10 === 0 ? 0 : 1 + (user % (tenants - 1));
}

/** Every fifth user is in a second tenant too, with a role of that tenant's own. */
export function secondOf(user: number, { tenants }: Shape): number | null {
  return user % 5 === 0 ? 1 + ((user + 1) % (tenants - 1)) : null;
}
