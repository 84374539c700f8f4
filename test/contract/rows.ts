import type { EntityManager } from 'typeorm';
import { v4 as uuidv4, v7 as uuidv7 } from 'uuid';

import {
  AccessGate,
  AccessStatusEnum,
  type AuthPrincipal,
  AuthService,
  definePermissions,
  IdentityFeedService,
  JobHistoryService,
  type NestAuthUser,
  type PermissionRegistry,
  PermissionRegistryService,
  RoleGuardEnum,
  SessionService,
  type SignInResult,
  UserLifecycleService,
  UserStatisticsService,
} from '../../src/index.js';
import { withClient } from '../support/database.js';
import { freshEmail, freshPhone, type NestAppFixture } from '../support/nest-app.js';
import { API_KEY_ROWS, SERVICE_ACCOUNT_ROWS } from './api-key.rows.js';
import { externalRows } from './external.rows.js';
import { INVITATION_ROWS } from './invitation.rows.js';
import { ENROLMENT_ROWS, ROTATION_ROWS, SECOND_FACTOR_CODE_ROWS, TRUSTED_DEVICE_ROWS } from './factors.rows.js';
import { TWO_FACTOR_ROWS } from './mfa.rows.js';
import { RECOVERY_ROWS, VERIFICATION_ROWS } from './recovery.rows.js';

const inAnHour = (): Date => new Date(Date.now() + 3_600_000);

/** What every call finds: a user with access and roles, a platform user, and things that nobody uses. */
export interface Stage {
  readonly user: NestAuthUser;
  readonly email: string;
  readonly phone: string;
  readonly platformUser: NestAuthUser;
  readonly platformEmail: string;
  readonly tenantId: string;
  readonly member: string;
  readonly editor: string;
  readonly admin: string;
  readonly roleName: string;
  readonly unusedTenantId: string;
  readonly slug: string;
  readonly unusedRoleId: string;
  readonly unusedRoleName: string;
  readonly unusedPermissionId: string;
  readonly permissionName: string;
  /** A durable subscriber that no process works for, and the event it has given up on. */
  readonly subscriber: string;
  readonly deadEventId: string;
  readonly unique: string;
}

export async function setStage(app: NestAppFixture): Promise<Stage> {
  const unique = uuidv4().slice(0, 8);
  const { tenantId, member, editor, admin } = app.seed;
  const [email, phone, platformEmail] = [freshEmail(), freshPhone(), freshEmail()];
  const user = await app.users.createUser({ email, phone, roleIds: [member] }, tenantId);
  const platformUser = await app.users.createPlatformUser({ email: platformEmail, platformRoleIds: [admin] });
  const tenant = await app.tenants.createTenant({ name: 'Unused', slug: `unused-${unique}` });
  const permission = await app.permissions.createPermission({ name: `p:${unique}`, guard: RoleGuardEnum.PORTAL });
  const unusedRoleName = `unused-${unique}`;
  const role = await app.roles.createRole({ name: unusedRoleName, guard: RoleGuardEnum.PORTAL, isSystem: true });
  const { name: roleName = '' } = (await app.roles.getRoleById(member)) ?? {};
  const [subscriber, deadEventId] = [`crm-${unique}`, uuidv7()];
  await withClient(app.url, async (client) => {
    await client.query(`insert into nest_auth_subscriptions (name, position_xid, position_id) values ($1, 1, $2)`, [
      subscriber,
      deadEventId,
    ]);
    await client.query(
      `insert into nest_auth_dead_letters (subscription, activity_id, xid, type, attempts, error)
        values ($1, $2, 1, 'nest_auth.user.created', 1, 'down')`,
      [subscriber, deadEventId],
    );
  });
  return {
    user,
    email,
    phone,
    platformUser,
    platformEmail,
    tenantId,
    member,
    editor,
    admin,
    roleName,
    unusedTenantId: tenant.id,
    slug: tenant.slug,
    unusedRoleId: role.id,
    unusedRoleName,
    unusedPermissionId: permission.id,
    permissionName: permission.name,
    subscriber,
    deadEventId,
    unique,
  };
}

export interface Row {
  /** Whether the call changes rows and announces it; `silently` for a change without an event. */
  readonly writes?: true | 'silently';
  /** It signs in by a password, and counts that apart from the transaction of the caller: on a second connection. */
  readonly apart?: true;
  /** Why a row that writes has no activity of its own. */
  readonly unaudited?: string;
  readonly call: (app: NestAppFixture, stage: Stage, manager?: EntityManager) => Promise<unknown>;
  /** The same from another tenant, or about an id of nobody: the code it is refused with, or the answer. */
  readonly foreign?: {
    readonly call: (app: NestAppFixture, stage: Stage, manager?: EntityManager) => Promise<unknown>;
    readonly code?: string;
    readonly answers?: unknown;
  };
  /** Why a row has no call: it is about transactions themselves and tested with them. */
  readonly elsewhere?: string;
}

const nobody = uuidv7();
const missing = (call: NonNullable<Row['foreign']>['call'], code: string) => ({ call, code });
const answers = (call: NonNullable<Row['foreign']>['call'], value: unknown) => ({ call, answers: value });
const elsewhere = (why: string): Row => ({ call: () => Promise.resolve(), elsewhere: why });

/** Each signs in first, which writes. */
const IN_SESSION = { writes: true, apart: true } as const;
const NOBODYS_TOKEN = `${'A'.repeat(22)}.${'A'.repeat(43)}`;

async function signIn(app: NestAppFixture, stage: Stage, manager?: EntityManager): Promise<SignInResult> {
  const password = 'correct horse battery staple';
  await stage.user.setPassword(password, manager);
  return auth(app).signIn({ email: stage.email, password }, {}, manager);
}

/** For a sign-in that is to be refused, and for nothing else. */
const refused = (call: Promise<unknown>): Promise<void> =>
  call.then(
    () => Promise.reject(new Error('nobody was refused')),
    (error: { code?: string }) => {
      if (error.code !== 'INVALID_CREDENTIALS') throw error;
    },
  );

const auth = ({ context }: NestAppFixture): AuthService => context.get(AuthService);
const sessions = ({ context }: NestAppFixture): SessionService => context.get(SessionService);
const gate = ({ context }: NestAppFixture): AccessGate => context.get(AccessGate);

const registry = ({ context }: NestAppFixture): PermissionRegistryService => context.get(PermissionRegistryService);

const declared = (unique: string): PermissionRegistry =>
  definePermissions({
    permissions: { [`declared:${unique}`]: {} },
    roles: { [`declared-${unique}`]: { permissions: [`declared:${unique}`] } },
  });

async function ownerRole({ roles }: NestAppFixture, { unique }: Stage, manager?: EntityManager): Promise<string> {
  const input = { name: `owner-${unique}`, guard: RoleGuardEnum.PORTAL, isSystem: true, isOwner: true };
  return (await roles.createRole(input, manager)).id;
}

/** Who is signed in, as a guard has it; the session itself plays no part in what is asked. */
const principalOf = (userId: string, tenantId: string): AuthPrincipal => ({
  type: 'user',
  userId,
  sessionId: nobody,
  tenantId,
  expiresAt: new Date(),
});
const feed = ({ context }: NestAppFixture): IdentityFeedService => context.get(IdentityFeedService);

/** How far a subscriber has come is no fact about an identity. */
const OF_SUBSCRIBER = {
  writes: 'silently',
  unaudited: 'it changes what is delivered to a subscriber, and no identity',
} as const;

export const ROWS: Readonly<Record<string, Readonly<Record<string, Row>>>> = {
  users: {
    runInTransaction: elsewhere('the transaction tests'),
    afterCommit: elsewhere('the transaction tests'),
    createUser: {
      writes: true,
      call: ({ users }, { tenantId, member }, m) =>
        users.createUser({ email: freshEmail(), roleIds: [member] }, tenantId, {}, m),
      foreign: missing(
        ({ users, seed }, { tenantId }, m) =>
          users.createUser({ email: freshEmail(), roleIds: [seed.foreign] }, tenantId, {}, m),
        'ROLE_SCOPE_MISMATCH',
      ),
    },
    createPlatformUser: {
      writes: true,
      call: ({ users }, { admin }, m) =>
        users.createPlatformUser({ email: freshEmail(), platformRoleIds: [admin] }, {}, m),
      foreign: missing(
        ({ users }, { member }, m) =>
          users.createPlatformUser({ email: freshEmail(), platformRoleIds: [member] }, {}, m),
        'ROLE_SCOPE_MISMATCH',
      ),
    },
    createUsers: {
      writes: true,
      call: ({ users }, { tenantId }, m) =>
        users.createUsers([{ email: freshEmail() }, { email: freshEmail() }, {}], { tenantId }, m),
      foreign: missing(
        ({ users }, _, m) => users.createUsers([{ email: freshEmail() }], { tenantId: nobody }, m),
        'TENANT_NOT_FOUND',
      ),
    },
    updateUser: {
      writes: true,
      call: ({ users }, { user }, m) => users.updateUser(user.id, { email: freshEmail(), phone: freshPhone() }, m),
      foreign: missing(({ users }, _, m) => users.updateUser(nobody, { email: freshEmail() }, m), 'USER_NOT_FOUND'),
    },
    deleteUser: {
      writes: true,
      call: ({ users }, { user }, m) => users.deleteUser(user.id, m),
      foreign: missing(({ users }, _, m) => users.deleteUser(nobody, m), 'USER_NOT_FOUND'),
    },
    verifyUser: {
      writes: true,
      call: ({ users }, { user }, m) => users.verifyUser(user.id, 'email', m),
      foreign: missing(({ users }, _, m) => users.verifyUser(nobody, 'email', m), 'USER_NOT_FOUND'),
    },
    unverifyUser: {
      writes: true,
      call: async ({ users }, { user }, m) => {
        await users.verifyUser(user.id, 'phone', m);
        await users.unverifyUser(user.id, 'phone', m);
      },
      foreign: missing(({ users }, _, m) => users.unverifyUser(nobody, 'email', m), 'USER_NOT_FOUND'),
    },
    updateUserStatus: {
      writes: true,
      call: ({ users }, { user }, m) => users.updateUserStatus(user.id, false, m),
      foreign: missing(({ users }, _, m) => users.updateUserStatus(nobody, false, m), 'USER_NOT_FOUND'),
    },
    updateUserMetadata: {
      writes: true,
      call: ({ users }, { user }, m) => users.updateUserMetadata(user.id, { a: 1 }, m),
      foreign: missing(({ users }, _, m) => users.updateUserMetadata(nobody, { a: 1 }, m), 'USER_NOT_FOUND'),
    },
    getUserById: {
      call: ({ users }, { user }, m) => users.getUserById(user.id, {}, m),
      foreign: answers(({ users }, _, m) => users.getUserById(nobody, {}, m), null),
    },
    getUserByEmail: {
      call: ({ users }, { email, tenantId }, m) => users.getUserByEmail(email, tenantId, {}, m),
      foreign: answers(
        ({ users }, { email, unusedTenantId }, m) => users.getUserByEmail(email, unusedTenantId, {}, m),
        null,
      ),
    },
    getUserByPhone: {
      call: ({ users }, { phone, tenantId }, m) => users.getUserByPhone(phone, tenantId, {}, m),
      foreign: answers(
        ({ users }, { phone, unusedTenantId }, m) => users.getUserByPhone(phone, unusedTenantId, {}, m),
        null,
      ),
    },
    getPlatformUserByEmail: {
      call: ({ users }, { platformEmail }, m) => users.getPlatformUserByEmail(platformEmail, {}, m),
      foreign: answers(({ users }, { email }, m) => users.getPlatformUserByEmail(email, {}, m), null),
    },
    emailExists: {
      call: ({ users }, { email }, m) => users.emailExists(email, null, m),
      foreign: answers(({ users }, _, m) => users.emailExists(freshEmail(), null, m), false),
    },
    getUsers: {
      call: ({ users }, { tenantId }, m) => users.getUsers({ tenantId }, m),
      foreign: answers(({ users }, { unusedTenantId }, m) => users.getUsers({ tenantId: unusedTenantId }, m), []),
    },
    getUsersPage: {
      call: ({ users }, { tenantId }, m) => users.getUsersPage({ tenantId }, m),
      foreign: answers(({ users }, { unusedTenantId }, m) => users.getUsersPage({ tenantId: unusedTenantId }, m), {
        items: [],
        nextCursor: null,
      }),
    },
    getUsersAndCount: {
      call: ({ users }, { tenantId }, m) => users.getUsersAndCount({ tenantId }, m),
      foreign: answers(
        ({ users }, { unusedTenantId }, m) => users.getUsersAndCount({ tenantId: unusedTenantId }, m),
        [[], 0],
      ),
    },
    countUsers: {
      call: ({ users }, { tenantId }, m) => users.countUsers({ tenantId }, m),
      foreign: answers(({ users }, { unusedTenantId }, m) => users.countUsers({ tenantId: unusedTenantId }, m), 0),
    },
    getUsersByRole: {
      call: ({ users }, { roleName, tenantId }, m) => users.getUsersByRole(roleName, 'portal', tenantId, m),
      foreign: answers(
        ({ users }, { roleName, unusedTenantId }, m) => users.getUsersByRole(roleName, 'portal', unusedTenantId, m),
        [],
      ),
    },
    getPlatformUsers: {
      call: ({ users }, _, m) => users.getPlatformUsers({}, m),
      foreign: answers(
        ({ users }, { unusedTenantId }, m) => users.getPlatformUsers({ tenantId: unusedTenantId }, m),
        [],
      ),
    },
    getPlatformUsersAndCount: {
      call: ({ users }, _, m) => users.getPlatformUsersAndCount({}, m),
      foreign: answers(
        ({ users }, { unusedTenantId }, m) => users.getPlatformUsersAndCount({ tenantId: unusedTenantId }, m),
        [[], 0],
      ),
    },
    getPlatformUsersByRole: {
      call: ({ users }, _, m) => users.getPlatformUsersByRole('root', m),
      foreign: answers(({ users }, { roleName }, m) => users.getPlatformUsersByRole(roleName, m), []),
    },
    getUserTenants: {
      call: ({ users }, { user }, m) => users.getUserTenants(user.id, m),
      foreign: answers(({ users }, _, m) => users.getUserTenants(nobody, m), []),
    },
    getTenantsByEmail: {
      call: ({ users }, { email }, m) => users.getTenantsByEmail(email, m),
      foreign: answers(({ users }, _, m) => users.getTenantsByEmail(freshEmail(), m), []),
    },
    getTenantsByPhone: {
      call: ({ users }, { phone }, m) => users.getTenantsByPhone(phone, m),
      foreign: answers(({ users }, _, m) => users.getTenantsByPhone(freshPhone(), m), []),
    },
    isUserInTenant: {
      call: ({ users }, { user, tenantId }, m) => users.isUserInTenant(user.id, tenantId, m),
      foreign: answers(
        ({ users }, { user, unusedTenantId }, m) => users.isUserInTenant(user.id, unusedTenantId, m),
        false,
      ),
    },
    ensureUserAccess: {
      writes: true,
      call: ({ users }, { user, unusedTenantId }, m) => users.ensureUserAccess(user.id, unusedTenantId, m),
      foreign: missing(({ users }, { tenantId }, m) => users.ensureUserAccess(nobody, tenantId, m), 'USER_NOT_FOUND'),
    },
    setUserAccessRoles: {
      writes: true,
      call: ({ users }, { user, tenantId, editor }, m) => users.setUserAccessRoles(user.id, tenantId, [editor], m),
      foreign: missing(
        ({ users, seed }, { user, tenantId }, m) => users.setUserAccessRoles(user.id, tenantId, [seed.foreign], m),
        'ROLE_SCOPE_MISMATCH',
      ),
    },
    deleteUserAccess: {
      writes: true,
      call: ({ users }, { user, tenantId }, m) => users.deleteUserAccess(user.id, tenantId, m),
      foreign: answers(
        ({ users }, { user, unusedTenantId }, m) => users.deleteUserAccess(user.id, unusedTenantId, m),
        false,
      ),
    },
  },
  tenants: {
    createTenant: {
      writes: true,
      call: ({ tenants }, { unique }, m) =>
        tenants.createTenant({ name: 'New', slug: `new-${unique}-${uuidv4().slice(0, 8)}` }, m),
      foreign: missing(
        ({ tenants }, { slug }, m) => tenants.createTenant({ name: 'Taken', slug }, m),
        'TENANT_ALREADY_EXISTS',
      ),
    },
    updateTenant: {
      writes: true,
      call: ({ tenants }, { unusedTenantId }, m) => tenants.updateTenant(unusedTenantId, { name: 'Renamed' }, m),
      foreign: missing(({ tenants }, _, m) => tenants.updateTenant(nobody, { name: 'x' }, m), 'TENANT_NOT_FOUND'),
    },
    deleteTenant: {
      writes: true,
      call: ({ tenants }, { unusedTenantId }, m) => tenants.deleteTenant(unusedTenantId, m),
      foreign: missing(({ tenants }, { tenantId }, m) => tenants.deleteTenant(tenantId, m), 'TENANT_IN_USE'),
    },
    getTenantById: {
      call: ({ tenants }, { tenantId }, m) => tenants.getTenantById(tenantId, m),
      foreign: answers(({ tenants }, _, m) => tenants.getTenantById(nobody, m), null),
    },
    getTenantBySlug: {
      call: ({ tenants }, { slug }, m) => tenants.getTenantBySlug(slug, m),
      foreign: answers(({ tenants }, _, m) => tenants.getTenantBySlug('nobody', m), null),
    },
    getTenants: { call: ({ tenants }, _, m) => tenants.getTenants({}, m) },
    getTenantsPage: { call: ({ tenants }, _, m) => tenants.getTenantsPage({}, m) },
    getTenantsAndCount: { call: ({ tenants }, _, m) => tenants.getTenantsAndCount({}, m) },
    countTenants: { call: ({ tenants }, _, m) => tenants.countTenants({}, m) },
  },
  roles: {
    createRole: {
      writes: true,
      call: ({ roles }, { tenantId }, m) => roles.createRole({ name: uuidv4(), guard: 'portal', tenantId }, m),
      foreign: missing(
        ({ roles }, _, m) => roles.createRole({ name: uuidv4(), guard: 'portal', tenantId: nobody }, m),
        'TENANT_NOT_FOUND',
      ),
    },
    updateRole: {
      writes: true,
      call: ({ roles }, { unusedRoleId }, m) => roles.updateRole(unusedRoleId, { description: uuidv4() }, m),
      foreign: missing(({ roles }, _, m) => roles.updateRole(nobody, { description: 'x' }, m), 'ROLE_NOT_FOUND'),
    },
    deleteRole: {
      writes: true,
      call: ({ roles }, { unusedRoleId }, m) => roles.deleteRole(unusedRoleId, m),
      foreign: missing(({ roles }, { member }, m) => roles.deleteRole(member, m), 'ROLE_IN_USE'),
    },
    getRoleById: {
      call: ({ roles }, { member }, m) => roles.getRoleById(member, {}, m),
      foreign: answers(({ roles }, _, m) => roles.getRoleById(nobody, {}, m), null),
    },
    getRoleByName: {
      call: ({ roles }, { roleName }, m) => roles.getRoleByName(roleName, 'portal', null, m),
      foreign: answers(
        ({ roles }, { roleName, tenantId }, m) => roles.getRoleByName(roleName, 'portal', tenantId, m),
        null,
      ),
    },
    getRoles: { call: ({ roles }, { tenantId }, m) => roles.getRoles({ tenantId }, m) },
    getRolesPage: { call: ({ roles }, { tenantId }, m) => roles.getRolesPage({ tenantId }, m) },
    getSystemRoles: { call: ({ roles }, _, m) => roles.getSystemRoles({}, m) },
    setRolePermissions: {
      writes: true,
      call: ({ roles }, { unusedRoleId, permissionName }, m) =>
        roles.setRolePermissions(unusedRoleId, [permissionName], m),
      foreign: missing(
        ({ roles }, { unusedRoleId }, m) => roles.setRolePermissions(unusedRoleId, ['nothing'], m),
        'PERMISSION_NOT_FOUND',
      ),
    },
    addRolePermissions: {
      writes: true,
      call: ({ roles }, { unusedRoleId, permissionName }, m) =>
        roles.addRolePermissions(unusedRoleId, [permissionName], m),
      foreign: missing(
        ({ roles }, { permissionName }, m) => roles.addRolePermissions(nobody, [permissionName], m),
        'ROLE_NOT_FOUND',
      ),
    },
    removeRolePermissions: {
      writes: true,
      call: async ({ roles }, { unusedRoleId, permissionName }, m) => {
        await roles.addRolePermissions(unusedRoleId, [permissionName], m);
        await roles.removeRolePermissions(unusedRoleId, [permissionName], m);
      },
      foreign: missing(
        ({ roles }, { permissionName }, m) => roles.removeRolePermissions(nobody, [permissionName], m),
        'ROLE_NOT_FOUND',
      ),
    },
    setRoleParents: {
      writes: true,
      call: ({ roles }, { unusedRoleId, member }, m) => roles.setRoleParents(unusedRoleId, [member], m),
      foreign: missing(
        ({ roles, seed }, { editor }, m) => roles.setRoleParents(editor, [seed.foreign], m),
        'ROLE_SCOPE_MISMATCH',
      ),
    },
    addRoleParents: {
      writes: true,
      call: ({ roles }, { unusedRoleId, member }, m) => roles.addRoleParents(unusedRoleId, [member], m),
      foreign: missing(({ roles }, { member }, m) => roles.addRoleParents(nobody, [member], m), 'ROLE_NOT_FOUND'),
    },
    removeRoleParents: {
      writes: true,
      call: async ({ roles }, { unusedRoleId, member }, m) => {
        await roles.addRoleParents(unusedRoleId, [member], m);
        await roles.removeRoleParents(unusedRoleId, [member], m);
      },
      foreign: missing(({ roles }, { member }, m) => roles.removeRoleParents(nobody, [member], m), 'ROLE_NOT_FOUND'),
    },
  },
  permissions: {
    createPermission: {
      writes: true,
      call: ({ permissions }, _, m) => permissions.createPermission({ name: uuidv4(), guard: 'portal' }, m),
      foreign: missing(
        ({ permissions }, { permissionName }, m) =>
          permissions.createPermission({ name: permissionName, guard: 'portal' }, m),
        'PERMISSION_ALREADY_EXISTS',
      ),
    },
    createPermissions: {
      writes: true,
      call: ({ permissions }, _, m) => permissions.createPermissions([{ name: uuidv4(), guard: 'portal' }], m),
      foreign: missing(
        ({ permissions }, _, m) => permissions.createPermissions([{ name: uuidv4(), guard: 'unknown' }], m),
        'VALIDATION_FAILED',
      ),
    },
    updatePermission: {
      writes: true,
      call: ({ permissions }, { unusedPermissionId }, m) =>
        permissions.updatePermission(unusedPermissionId, { description: uuidv4() }, m),
      foreign: missing(
        ({ permissions }, _, m) => permissions.updatePermission(nobody, { description: 'x' }, m),
        'PERMISSION_NOT_FOUND',
      ),
    },
    deletePermission: {
      writes: true,
      call: ({ permissions }, { unusedPermissionId }, m) => permissions.deletePermission(unusedPermissionId, m),
      foreign: missing(({ permissions }, _, m) => permissions.deletePermission(nobody, m), 'PERMISSION_NOT_FOUND'),
    },
    getPermissionById: {
      call: ({ permissions }, { unusedPermissionId }, m) => permissions.getPermissionById(unusedPermissionId, m),
      foreign: answers(({ permissions }, _, m) => permissions.getPermissionById(nobody, m), null),
    },
    getPermissionByName: {
      call: ({ permissions }, { permissionName }, m) => permissions.getPermissionByName(permissionName, 'portal', m),
      foreign: answers(
        ({ permissions }, { permissionName }, m) => permissions.getPermissionByName(permissionName, 'admin', m),
        null,
      ),
    },
    getPermissions: { call: ({ permissions }, _, m) => permissions.getPermissions({}, m) },
    getPermissionsPage: { call: ({ permissions }, _, m) => permissions.getPermissionsPage({}, m) },
  },
  activities: {
    logActivity: {
      writes: 'silently',
      call: ({ activities }, { user }, m) => activities.logActivity({ type: 'crm.noted', userId: user.id }, m),
      foreign: missing(
        ({ activities }, { user }, m) => activities.logActivity({ type: 'nest_auth.role.created', userId: user.id }, m),
        'VALIDATION_FAILED',
      ),
    },
    findActivities: {
      call: ({ activities }, { user }, m) => activities.findActivities({ userId: user.id }, {}, m),
      foreign: answers(({ activities }, _, m) => activities.findActivities({ userId: nobody }, {}, m), {
        items: [],
        nextCursor: null,
      }),
    },
    exportActivities: {
      call: async ({ activities }, { user }, m) =>
        (await activities.exportActivities({ userId: user.id }, { format: 'csv' }, m)).toArray(),
      foreign: answers(
        async ({ activities }, _, m) =>
          (await activities.exportActivities({ userId: nobody }, { format: 'jsonl' }, m)).toArray(),
        [],
      ),
    },
    // What can be sealed depends on the transactions of everybody else on the server.
    sealActivities: elsewhere('the tests of the chain'),
    verifyActivities: { call: ({ activities }, _, m) => activities.verifyActivities({}, m) },
    maintainPartitions: {
      call: ({ activities }, _, m) => activities.maintainPartitions({}, m),
      foreign: missing(
        ({ activities }, _, m) => activities.maintainPartitions({ retentionMonths: 0 }, m),
        'VALIDATION_FAILED',
      ),
    },
  },
  access: {
    can: {
      call: ({ access }, { user, tenantId, permissionName }, m) => access.can(user.id, tenantId, permissionName, m),
      foreign: answers(
        ({ access }, { user, unusedTenantId, permissionName }, m) =>
          access.can(user.id, unusedTenantId, permissionName, m),
        false,
      ),
    },
    canAll: {
      call: ({ access }, { user, tenantId, permissionName }, m) =>
        access.canAll(user.id, tenantId, [permissionName], m),
      foreign: answers(
        ({ access }, { tenantId, permissionName }, m) => access.canAll(nobody, tenantId, [permissionName], m),
        false,
      ),
    },
    canAny: {
      call: ({ access }, { user, tenantId, permissionName }, m) =>
        access.canAny(user.id, tenantId, [permissionName], m),
      foreign: answers(
        ({ access }, { tenantId, permissionName }, m) => access.canAny(nobody, tenantId, [permissionName], m),
        false,
      ),
    },
    canOnPlatform: {
      call: ({ access }, { platformUser, permissionName }, m) =>
        access.canOnPlatform(platformUser.id, permissionName, m),
      foreign: answers(
        ({ access }, { user, permissionName }, m) => access.canOnPlatform(user.id, permissionName, m),
        false,
      ),
    },
    getGrants: {
      call: ({ access }, { user, tenantId }, m) => access.getGrants(user.id, tenantId, m),
      foreign: answers(({ access }, { user, unusedTenantId }, m) => access.getGrants(user.id, unusedTenantId, m), null),
    },
    getPlatformGrants: {
      call: ({ access }, { platformUser }, m) => access.getPlatformGrants(platformUser.id, m),
      foreign: answers(({ access }, { user }, m) => access.getPlatformGrants(user.id, m), null),
    },
    getPermissions: {
      call: ({ access }, { user, tenantId }, m) => access.getPermissions(user.id, tenantId, m),
      foreign: answers(
        ({ access }, { user, unusedTenantId }, m) => access.getPermissions(user.id, unusedTenantId, m),
        [],
      ),
    },
    getPlatformPermissions: {
      call: ({ access }, { platformUser }, m) => access.getPlatformPermissions(platformUser.id, m),
      foreign: answers(({ access }, { user }, m) => access.getPlatformPermissions(user.id, m), []),
    },
    getRoles: {
      call: ({ access }, { user, tenantId }, m) => access.getRoles(user.id, tenantId, m),
      foreign: answers(({ access }, { user, unusedTenantId }, m) => access.getRoles(user.id, unusedTenantId, m), []),
    },
    explain: {
      call: ({ access }, { user, tenantId, permissionName }, m) => access.explain(user.id, tenantId, permissionName, m),
      foreign: answers(
        ({ access }, { user, unusedTenantId, permissionName }, m) =>
          access.explain(user.id, unusedTenantId, permissionName, m),
        {
          allowed: false,
          reason: 'NO_ACCESS',
        },
      ),
    },
    grantAccessRole: {
      writes: true,
      call: ({ access }, { user, tenantId, editor }, m) =>
        access.grantAccessRole(user.id, tenantId, editor, { expiresAt: inAnHour() }, m),
      foreign: missing(
        ({ access, seed }, { user, tenantId }, m) => access.grantAccessRole(user.id, tenantId, seed.foreign, {}, m),
        'ROLE_SCOPE_MISMATCH',
      ),
    },
    getOwners: {
      call: ({ access }, { tenantId }, m) => access.getOwners(tenantId, m),
      foreign: answers(({ access }, { unusedTenantId }, m) => access.getOwners(unusedTenantId, m), []),
    },
    transferOwnership: {
      writes: true,
      call: async (app, stage, m) => {
        const { user, platformUser, unusedTenantId } = stage;
        await app.access.addUserAccessRoles(user.id, unusedTenantId, [await ownerRole(app, stage, m)], m);
        return app.access.transferOwnership(unusedTenantId, user.id, platformUser.id, m);
      },
      foreign: missing(
        ({ access }, { user, platformUser, tenantId }, m) =>
          access.transferOwnership(tenantId, user.id, platformUser.id, m),
        'OWNER_NOT_FOUND',
      ),
    },
    grantPlatformAccessRole: {
      writes: true,
      call: ({ access }, { platformUser, admin }, m) =>
        access.grantPlatformAccessRole(platformUser.id, admin, { expiresAt: inAnHour() }, m),
      foreign: missing(
        ({ access }, { platformUser, member }, m) => access.grantPlatformAccessRole(platformUser.id, member, {}, m),
        'ROLE_SCOPE_MISMATCH',
      ),
    },
    grantPermission: {
      writes: true,
      call: ({ access }, { user, tenantId, permissionName }, m) =>
        access.grantPermission(user.id, tenantId, permissionName, { expiresAt: inAnHour(), reason: 'stands in' }, m),
      foreign: missing(
        ({ access }, { user, unusedTenantId, permissionName }, m) =>
          access.grantPermission(user.id, unusedTenantId, permissionName, {}, m),
        'ACCESS_NOT_FOUND',
      ),
    },
    denyPermission: {
      writes: true,
      call: ({ access }, { user, tenantId, permissionName }, m) =>
        access.denyPermission(user.id, tenantId, permissionName, {}, m),
      foreign: missing(
        ({ access }, { user, unusedTenantId, permissionName }, m) =>
          access.denyPermission(user.id, unusedTenantId, permissionName, {}, m),
        'ACCESS_NOT_FOUND',
      ),
    },
    revokePermission: {
      writes: true,
      call: async ({ access }, { user, tenantId, permissionName }, m) => {
        await access.denyPermission(user.id, tenantId, permissionName, {}, m);
        await access.revokePermission(user.id, tenantId, permissionName, m);
      },
      foreign: missing(
        ({ access }, { user, unusedTenantId, permissionName }, m) =>
          access.revokePermission(user.id, unusedTenantId, permissionName, m),
        'ACCESS_NOT_FOUND',
      ),
    },
    getDirectPermissions: {
      call: ({ access }, { user, tenantId }, m) => access.getDirectPermissions(user.id, tenantId, m),
      foreign: answers(
        ({ access }, { user, unusedTenantId }, m) => access.getDirectPermissions(user.id, unusedTenantId, m),
        [],
      ),
    },
    grantPlatformPermission: {
      writes: true,
      call: async ({ access, permissions }, { platformUser, unique }, m) => {
        await permissions.createPermission({ name: `grant:${unique}`, guard: 'admin' }, m);
        await access.grantPlatformPermission(platformUser.id, `grant:${unique}`, {}, m);
      },
      foreign: missing(
        ({ access }, { platformUser, permissionName }, m) =>
          access.grantPlatformPermission(platformUser.id, permissionName, {}, m),
        'PERMISSION_NOT_FOUND',
      ),
    },
    denyPlatformPermission: {
      writes: true,
      call: async ({ access, permissions }, { platformUser, unique }, m) => {
        await permissions.createPermission({ name: `deny:${unique}`, guard: 'admin' }, m);
        await access.denyPlatformPermission(platformUser.id, `deny:${unique}`, {}, m);
      },
      foreign: missing(
        ({ access }, { user, permissionName }, m) => access.denyPlatformPermission(user.id, permissionName, {}, m),
        'ACCESS_NOT_FOUND',
      ),
    },
    revokePlatformPermission: {
      writes: true,
      call: async ({ access, permissions }, { platformUser, unique }, m) => {
        await permissions.createPermission({ name: `revoke:${unique}`, guard: 'admin' }, m);
        await access.grantPlatformPermission(platformUser.id, `revoke:${unique}`, {}, m);
        await access.revokePlatformPermission(platformUser.id, `revoke:${unique}`, m);
      },
      foreign: missing(
        ({ access }, { user, permissionName }, m) => access.revokePlatformPermission(user.id, permissionName, m),
        'ACCESS_NOT_FOUND',
      ),
    },
    getDirectPlatformPermissions: {
      call: ({ access }, { platformUser }, m) => access.getDirectPlatformPermissions(platformUser.id, m),
      foreign: answers(({ access }, { user }, m) => access.getDirectPlatformPermissions(user.id, m), []),
    },
    purgeExpiredGrants: {
      call: ({ access }, _, m) => access.purgeExpiredGrants({}, m),
      foreign: missing(({ access }, _, m) => access.purgeExpiredGrants({ batchSize: 0 }, m), 'VALIDATION_FAILED'),
    },
    setUserAccessStatus: {
      writes: true,
      call: ({ access }, { user, tenantId }, m) =>
        access.setUserAccessStatus(user.id, tenantId, AccessStatusEnum.SUSPENDED, m),
      foreign: missing(
        ({ access }, { user, unusedTenantId }, m) =>
          access.setUserAccessStatus(user.id, unusedTenantId, AccessStatusEnum.SUSPENDED, m),
        'ACCESS_NOT_FOUND',
      ),
    },
    setDefaultAccess: {
      writes: true,
      call: async ({ access, users }, { user, unusedTenantId }, m) => {
        await users.ensureUserAccess(user.id, unusedTenantId, m);
        await access.setDefaultAccess(user.id, unusedTenantId, m);
      },
      foreign: missing(
        ({ access }, { user, unusedTenantId }, m) => access.setDefaultAccess(user.id, unusedTenantId, m),
        'ACCESS_NOT_FOUND',
      ),
    },
    addUserAccessRoles: {
      writes: true,
      call: ({ access }, { user, tenantId, editor }, m) => access.addUserAccessRoles(user.id, tenantId, [editor], m),
      foreign: missing(
        ({ access, seed }, { user, tenantId }, m) => access.addUserAccessRoles(user.id, tenantId, [seed.foreign], m),
        'ROLE_SCOPE_MISMATCH',
      ),
    },
    removeUserAccessRoles: {
      writes: true,
      call: ({ access }, { user, tenantId, member }, m) => access.removeUserAccessRoles(user.id, tenantId, [member], m),
      foreign: missing(
        ({ access }, { tenantId, member }, m) => access.removeUserAccessRoles(nobody, tenantId, [member], m),
        'USER_NOT_FOUND',
      ),
    },
    setPlatformAccessRoles: {
      writes: true,
      call: ({ access }, { platformUser }, m) => access.setPlatformAccessRoles(platformUser.id, [], m),
      foreign: missing(
        ({ access }, { platformUser, member }, m) => access.setPlatformAccessRoles(platformUser.id, [member], m),
        'ROLE_SCOPE_MISMATCH',
      ),
    },
  },
  lifecycle: {
    activateById: {
      writes: true,
      call: async (app, _, m) => life(app).activateById((await pending(app, m)).id, m),
      foreign: missing((app, _, m) => life(app).activateById(nobody, m), 'USER_NOT_FOUND'),
    },
    reactivateById: {
      writes: true,
      call: async (app, { user }, m) => {
        await life(app).deactivateById(user.id, m);
        await life(app).reactivateById(user.id, m);
      },
      foreign: missing((app, { user }, m) => life(app).reactivateById(user.id, m), 'USER_ALREADY_ACTIVE'),
    },
    deactivateById: {
      writes: true,
      call: (app, { user }, m) => life(app).deactivateById(user.id, m),
      foreign: missing((app, _, m) => life(app).deactivateById(nobody, m), 'USER_NOT_FOUND'),
    },
    deactivatePendingUser: {
      writes: true,
      call: async (app, _, m) =>
        life(app).deactivatePendingUser({ id: (await pending(app, m)).id, gracePeriodInDays: 0 }, m),
      foreign: missing((app, _, m) => life(app).deactivatePendingUser({ id: nobody }, m), 'USER_NOT_FOUND'),
    },
    deactivateActiveUser: {
      writes: true,
      call: (app, { user }, m) => life(app).deactivateActiveUser({ id: user.id, gracePeriodInMonths: 0 }, m),
      foreign: missing((app, { user }, m) => life(app).deactivateActiveUser({ id: user.id }, m), 'USER_STILL_ACTIVE'),
    },
    disableById: {
      writes: true,
      call: (app, { user }, m) => life(app).disableById(user.id, m),
      foreign: missing((app, _, m) => life(app).disableById(nobody, m), 'USER_NOT_FOUND'),
    },
    softDeleteById: {
      writes: true,
      call: (app, { user }, m) => softDeleted(app, user.id, m),
      foreign: missing((app, _, m) => life(app).softDeleteById(nobody, m), 'USER_NOT_FOUND'),
    },
    restoreById: {
      writes: true,
      call: async (app, { user }, m) => {
        await softDeleted(app, user.id, m);
        await life(app).restoreById(user.id, m);
      },
      foreign: missing((app, _, m) => life(app).restoreById(nobody, m), 'USER_NOT_FOUND'),
    },
    scheduleForDeletionById: {
      writes: true,
      call: async (app, { user }, m) => {
        await softDeleted(app, user.id, m);
        await life(app).scheduleForDeletionById(user.id, {}, m);
      },
      foreign: missing((app, _, m) => life(app).scheduleForDeletionById(nobody, {}, m), 'USER_NOT_FOUND'),
    },
    cancelDeletionById: {
      writes: true,
      call: async (app, { user }, m) => {
        await softDeleted(app, user.id, m);
        await life(app).scheduleForDeletionById(user.id, {}, m);
        await life(app).cancelDeletionById(user.id, m);
      },
      foreign: missing((app, _, m) => life(app).cancelDeletionById(nobody, m), 'USER_NOT_FOUND'),
    },
    deleteById: {
      writes: true,
      call: async (app, { user }, m) => {
        await life(app).disableById(user.id, m);
        await life(app).deleteById(user.id, m);
      },
      foreign: missing((app, _, m) => life(app).deleteById(nobody, m), 'USER_NOT_FOUND'),
    },
    setLegalHold: {
      writes: true,
      call: (app, { user }, m) => life(app).setLegalHold(user.id, 'case 7', m),
      foreign: missing((app, _, m) => life(app).setLegalHold(nobody, 'case 7', m), 'USER_NOT_FOUND'),
    },
    releaseLegalHold: {
      writes: true,
      call: async (app, { user }, m) => {
        await life(app).setLegalHold(user.id, 'case 7', m);
        await life(app).releaseLegalHold(user.id, m);
      },
      foreign: missing((app, { user }, m) => life(app).releaseLegalHold(user.id, m), 'USER_NOT_ON_LEGAL_HOLD'),
    },
    recordLogin: {
      writes: true,
      call: (app, { user }, m) => life(app).recordLogin(user.id, m),
      foreign: missing((app, _, m) => life(app).recordLogin(nobody, m), 'USER_NOT_FOUND'),
    },
    deactivateInactiveUsers: {
      writes: true,
      call: (app, _, m) =>
        life(app).deactivateInactiveUsers({ pendingGracePeriodInDays: 3_650, activeGracePeriodInMonths: 0 }, m),
    },
    disableDeactivatedUsers: {
      writes: true,
      call: async (app, { user }, m) => {
        await life(app).deactivateById(user.id, m);
        await life(app).disableDeactivatedUsers({ gracePeriodInMonths: 0 }, m);
      },
    },
    softDeleteDisabledUsers: {
      writes: true,
      call: async (app, { user }, m) => {
        await life(app).disableById(user.id, m);
        await life(app).softDeleteDisabledUsers({}, m);
      },
    },
    scheduleSoftDeletedUsersForDeletion: {
      writes: true,
      call: async (app, { user }, m) => {
        await softDeleted(app, user.id, m);
        await life(app).scheduleSoftDeletedUsersForDeletion({}, m);
      },
    },
    deleteScheduledUsers: {
      writes: true,
      call: async (app, { user }, m) => {
        await softDeleted(app, user.id, m);
        await life(app).scheduleForDeletionById(user.id, { gracePeriodInDays: 0 }, m);
        await life(app).deleteScheduledUsers({}, m);
      },
    },
    setTenantGracePeriods: {
      writes: true,
      call: (app, { unusedTenantId }, m) => life(app).setTenantGracePeriods(unusedTenantId, { pendingDays: 7 }, m),
      foreign: missing((app, _, m) => life(app).setTenantGracePeriods(nobody, null, m), 'TENANT_NOT_FOUND'),
    },
    getTenantGracePeriods: {
      call: (app, { tenantId }, m) => life(app).getTenantGracePeriods(tenantId, m),
      foreign: missing((app, _, m) => life(app).getTenantGracePeriods(nobody, m), 'TENANT_NOT_FOUND'),
    },
  },
  statistics: {
    countUsers: {
      call: ({ context }, { tenantId }, m) => context.get(UserStatisticsService).countUsers({ tenantId }, m),
      foreign: answers(
        async ({ context }, { unusedTenantId }, m) =>
          (await context.get(UserStatisticsService).countUsers({ tenantId: unusedTenantId }, m)).total,
        0,
      ),
    },
    countByTenant: { call: ({ context }, _, m) => context.get(UserStatisticsService).countByTenant({}, m) },
    countByRole: { call: ({ context }, _, m) => context.get(UserStatisticsService).countByRole({}, m) },
  },
  auth: {
    // What a refusal leaves is its activity, on purpose: see the tests of sessions.
    signIn: { ...IN_SESSION, call: signIn },
    signUp: {
      writes: true,
      call: (app, _, m) => auth(app).signUp({ email: freshEmail(), password: 'correct horse battery staple' }, {}, m),
      foreign: missing(
        (app, { email }, m) => auth(app).signUp({ email, password: 'another horse of the same colour' }, {}, m),
        'EMAIL_ALREADY_EXISTS',
      ),
    },
    unlock: {
      ...IN_SESSION,
      call: async (app, { user, email }, m) => {
        await user.setPassword('correct horse battery staple', m);
        await refused(auth(app).signIn({ email, password: 'wrong' }, {}, m));
        await auth(app).unlock(user.id, m);
      },
      foreign: answers((app, _, m) => auth(app).unlock(nobody, m), false),
    },
    refresh: {
      ...IN_SESSION,
      call: async (app, stage, m) => auth(app).refresh((await signIn(app, stage, m)).refreshToken, m),
      foreign: missing((app, _, m) => auth(app).refresh(NOBODYS_TOKEN, m), 'REFRESH_TOKEN_INVALID'),
    },
    switchTenant: {
      ...IN_SESSION,
      call: async (app, stage, m) =>
        auth(app).switchTenant((await signIn(app, stage, m)).refreshToken, stage.tenantId, m),
      foreign: missing(
        (app, { tenantId }, m) => auth(app).switchTenant(NOBODYS_TOKEN, tenantId, m),
        'REFRESH_TOKEN_INVALID',
      ),
    },
    signOut: {
      ...IN_SESSION,
      call: async (app, stage, m) => auth(app).signOut(await signIn(app, stage, m), m),
      foreign: answers((app, { user }, m) => auth(app).signOut({ userId: user.id, sessionId: nobody }, m), false),
    },
    verifyAccessToken: {
      ...IN_SESSION,
      call: async (app, stage, m) =>
        auth(app).verifyAccessToken((await signIn(app, stage, m)).accessToken, { fresh: true }, m),
      foreign: missing((app, _, m) => auth(app).verifyAccessToken('nothing', {}, m), 'ACCESS_TOKEN_INVALID'),
    },
    authenticate: {
      ...IN_SESSION,
      call: async (app, stage, m) => auth(app).authenticate((await signIn(app, stage, m)).accessToken, m),
      foreign: missing((app, _, m) => auth(app).authenticate('nothing', m), 'ACCESS_TOKEN_INVALID'),
    },
    me: {
      ...IN_SESSION,
      call: async (app, stage, m) => auth(app).me((await signIn(app, stage, m)).accessToken, m),
      foreign: missing((app, _, m) => auth(app).me('nothing', m), 'ACCESS_TOKEN_INVALID'),
    },
    jwks: elsewhere('it asks nobody: the tests of sessions'),
  },
  external: externalRows(signIn, elsewhere),
  invitations: INVITATION_ROWS,
  apiKeys: API_KEY_ROWS,
  accounts: SERVICE_ACCOUNT_ROWS,
  verification: VERIFICATION_ROWS,
  recovery: RECOVERY_ROWS,
  twoFactor: TWO_FACTOR_ROWS,
  devices: TRUSTED_DEVICE_ROWS,
  factorCodes: SECOND_FACTOR_CODE_ROWS,
  enrolment: ENROLMENT_ROWS,
  rotation: ROTATION_ROWS,
  registry: {
    plan: {
      call: (app, { unique }, m) => registry(app).plan(declared(unique), m),
      foreign: missing((app, _, m) => registry(app).plan({} as PermissionRegistry, m), 'VALIDATION_FAILED'),
    },
    apply: {
      writes: true,
      call: (app, { unique }, m) => registry(app).apply(declared(unique), {}, m),
      foreign: missing((app, _, m) => registry(app).apply({} as PermissionRegistry, {}, m), 'VALIDATION_FAILED'),
    },
  },
  gate: {
    authenticate: {
      ...IN_SESSION,
      call: async (app, stage, m) => gate(app).authenticate((await signIn(app, stage, m)).accessToken, m),
      foreign: missing((app, _, m) => gate(app).authenticate('a.b.c', m), 'ACCESS_TOKEN_INVALID'),
    },
    authenticateService: elsewhere('the tests of ServiceGuard: it asks no database'),
    authenticateApiKey: elsewhere('the tests of guards and API keys: the use of a key is noted apart'),
    assert: {
      call: (app, { user, tenantId, roleName }, m) =>
        gate(app).assert(principalOf(user.id, tenantId), { roles: [roleName] }, m),
      foreign: missing(
        (app, { user, unusedTenantId, roleName }, m) =>
          gate(app).assert(principalOf(user.id, unusedTenantId), { roles: [roleName] }, m),
        'PERMISSION_DENIED',
      ),
    },
    getGrants: {
      call: (app, { user, tenantId }, m) => gate(app).getGrants(principalOf(user.id, tenantId), false, m),
    },
    runAs: elsewhere('the tests of guards: it runs code of the host'),
  },
  sessions: {
    getSessions: {
      call: (app, { user }, m) => sessions(app).getSessions(user.id, m),
      foreign: answers((app, _, m) => sessions(app).getSessions(nobody, m), []),
    },
    revokeSession: {
      ...IN_SESSION,
      call: async (app, stage, m) =>
        sessions(app).revokeSession(stage.user.id, (await signIn(app, stage, m)).sessionId, m),
      foreign: missing((app, { user }, m) => sessions(app).revokeSession(user.id, nobody, m), 'SESSION_NOT_FOUND'),
    },
    revokeOtherSessions: {
      ...IN_SESSION,
      call: async (app, stage, m) => {
        await signIn(app, stage, m);
        await sessions(app).revokeOtherSessions(stage.user.id, nobody, m);
      },
      foreign: answers((app, { user }, m) => sessions(app).revokeOtherSessions(user.id, nobody, m), 0),
    },
    revokeAllSessions: {
      ...IN_SESSION,
      call: async (app, stage, m) => {
        await signIn(app, stage, m);
        await sessions(app).revokeAllSessions(stage.user.id, m);
      },
      foreign: answers((app, _, m) => sessions(app).revokeAllSessions(nobody, m), 0),
    },
    // What is due is in the tests of the clean-up: nothing here is old enough.
    purgeEnded: {
      call: (app, _, m) => sessions(app).purgeEnded({}, m),
      foreign: missing((app, _, m) => sessions(app).purgeEnded({ chunkSize: 0 }, m), 'VALIDATION_FAILED'),
    },
  },
  limits: { consume: elsewhere('it takes no manager: what is counted stays counted. See the tests of rate limits') },
  feed: {
    readEvents: {
      call: (app, { tenantId }, m) => feed(app).readEvents({ tenantId }, m),
      foreign: answers(async (app, _, m) => (await feed(app).readEvents({ tenantId: nobody }, m)).events, []),
    },
    getSubscriptions: { call: (app, _, m) => feed(app).getSubscriptions(m) },
    replay: {
      ...OF_SUBSCRIBER,
      call: (app, { subscriber }, m) => feed(app).replay(subscriber, new Date(), m),
      foreign: missing((app, _, m) => feed(app).replay('nobody', 'beginning', m), 'SUBSCRIPTION_NOT_FOUND'),
    },
    getDeadLetters: {
      call: (app, { subscriber }, m) => feed(app).getDeadLetters(subscriber, {}, m),
      foreign: answers((app, _, m) => feed(app).getDeadLetters('nobody', {}, m), []),
    },
    retryDeadLetter: {
      ...OF_SUBSCRIBER,
      call: (app, { subscriber, deadEventId }, m) => feed(app).retryDeadLetter(subscriber, deadEventId, m),
      foreign: missing(
        (app, { deadEventId }, m) => feed(app).retryDeadLetter('nobody', deadEventId, m),
        'DEAD_LETTER_NOT_FOUND',
      ),
    },
    discardDeadLetter: {
      ...OF_SUBSCRIBER,
      call: (app, { subscriber, deadEventId }, m) => feed(app).discardDeadLetter(subscriber, deadEventId, m),
      foreign: missing(
        (app, { subscriber }, m) => feed(app).discardDeadLetter(subscriber, nobody, m),
        'DEAD_LETTER_NOT_FOUND',
      ),
    },
    removeSubscription: {
      ...OF_SUBSCRIBER,
      call: (app, { subscriber }, m) => feed(app).removeSubscription(subscriber, m),
      foreign: missing((app, _, m) => feed(app).removeSubscription('nobody', m), 'SUBSCRIPTION_NOT_FOUND'),
    },
  },
  jobs: {
    getRuns: {
      call: ({ context }, _, m) => context.get(JobHistoryService).getRuns({}, m),
      foreign: answers(({ context }, _, m) => context.get(JobHistoryService).getRuns({ job: 'nobody' }, m), []),
    },
  },
};

const life = ({ context }: NestAppFixture): UserLifecycleService => context.get(UserLifecycleService);

const pending = ({ users }: NestAppFixture, manager: EntityManager | undefined): Promise<NestAuthUser> =>
  users.createUser({ email: freshEmail(), isActive: false }, undefined, {}, manager);

async function softDeleted(app: NestAppFixture, id: string, manager: EntityManager | undefined): Promise<void> {
  await life(app).disableById(id, manager);
  await life(app).softDeleteById(id, manager);
}
