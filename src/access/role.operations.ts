import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { assertUuid, InputIssues } from '../errors/input.js';
import { isNestAuthError, NestAuthError } from '../errors/nest-auth.error.js';
import type { EventPublisher } from '../events/event-publisher.js';
import {
  RoleCreatedEvent,
  RoleDeletedEvent,
  RolePermissionsChangedEvent,
  RoleUpdatedEvent,
} from '../events/nest-auth.events.js';
import type { Ownership } from '../tenant/ownership.operations.js';
import type { Tenancy } from '../tenant/tenancy.js';
import { NIL_UUID, TenantModeEnum } from '../tenant/tenant.types.js';
import { cursorKind, encodeCursor, type Page, readIdCursor, readPage, toPage } from '../transaction/keyset.js';
import { direct, shielded, untilDecided } from '../transaction/optimistic.js';
import {
  assertNameAndGuard,
  checkCreateRole,
  checkRoleList,
  checkUpdateRole,
  readPermissionNames,
} from './access-input.policy.js';
import type { AccessSettings } from './access.settings.js';
import {
  type AccessDelta,
  type CreateRoleInput,
  type GetRolesOptions,
  type RoleRelations,
  type UpdateRoleInput,
} from './access.types.js';
import type { Delegation } from './delegation.operations.js';
import { changeRolePermissions, findRoleWithPermissions, type SetChange } from './role-permissions.queries.js';
import { RoleParentsOperations } from './role-parents.operations.js';
import { listRoleParents } from './role-parents.queries.js';
import { inUse, invalid, nameTaken, noRole, unknownPermissions } from './role-refusals.policy.js';
import type { NestAuthRole } from './role.entity.js';
import {
  deleteRoleRow,
  findRoleById,
  findRoleByName,
  insertRole,
  listRoles,
  type RoleListFilter,
  type RoleUpdateRow,
  updateRoleRow,
} from './role.queries.js';
import { type RoleRow, toRole } from './role.rows.js';

const LIMITS = { defaultLimit: 20, maxLimit: 100 } as const;

/** The rules of roles: validate, write, announce. */
export class RoleOperations {
  /** What inherits from what. */
  readonly parents: RoleParentsOperations;

  constructor(
    private readonly publisher: EventPublisher,
    private readonly tenancy: Tenancy,
    private readonly settings: AccessSettings,
    private readonly ownership: Ownership,
    private readonly delegation: Delegation,
  ) {
    this.parents = new RoleParentsOperations(publisher, delegation);
  }

  async create(manager: EntityManager, input: CreateRoleInput): Promise<NestAuthRole> {
    checkCreateRole(input, this.settings);
    const made = {
      id: uuidv7(),
      tenantId: this.#ownerOf(input),
      guard: input.guard,
      name: input.name,
      description: input.description ?? null,
      isActive: input.isActive ?? true,
      isOwner: input.isOwner ?? false,
      metadata: input.metadata ?? {},
      permissions: readPermissionNames(input.permissions ?? []),
    };
    const row = await this.delegation.guard(
      manager,
      (m) => this.delegation.assertMayCreateRole(m, made.tenantId, input),
      (m) => insertRole(m, made),
    );
    if (!row.tenant_ok) {
      throw new NestAuthError(
        'TENANT_NOT_FOUND',
        'createRole was called with the id of no tenant; pass an existing one',
      );
    }
    if (row.missing.length > 0) throw unknownPermissions('createRole', row.missing);
    if (row.id === null) throw nameTaken('createRole');
    const role = toRole(row as RoleRow, manager);
    this.publisher.publish(manager, new RoleCreatedEvent(role));
    return role;
  }

  async update(manager: EntityManager, id: string, input: UpdateRoleInput): Promise<NestAuthRole> {
    assertUuid('id', id);
    checkUpdateRole(input);
    // Only a new name can meet a unique index.
    const guard = input.name === undefined ? direct : shielded;
    const attempt = (m: EntityManager, isHeld: boolean): Promise<RoleUpdateRow> =>
      untilDecided(() => guard(m, (inner) => attemptUpdate(inner, id, input, isHeld)));
    const row = await this.delegation
      .guard(
        manager,
        (m) => this.delegation.assertMayUpdateRole(m, id, input),
        (m) => this.ownership.keepThroughRole(m, id, attempt),
      )
      .catch((error: unknown) => {
        throw isNestAuthError(error, 'ROLE_ALREADY_EXISTS') ? nameTaken('updateRole', error) : error;
      });
    const role = toRole(row, manager);
    if (row.changed) this.publisher.publish(manager, new RoleUpdatedEvent(role));
    return role;
  }

  async delete(manager: EntityManager, id: string): Promise<void> {
    assertUuid('id', id);
    await untilDecided(() => shielded(manager, (inner) => attemptDelete(inner, id))).catch((error: unknown) => {
      // Assigned meanwhile: the foreign key is the judge.
      const judged = isNestAuthError(error) && error.details.constraint !== undefined;
      throw judged ? inUse(error) : error;
    });
    this.publisher.publish(manager, new RoleDeletedEvent(id));
  }

  /** Makes, adds or takes away permissions; what the names were before and after is one delta, also under concurrency. */
  async changePermissions(
    manager: EntityManager,
    roleId: string,
    permissions: readonly string[],
    change: SetChange,
  ): Promise<AccessDelta> {
    assertUuid('roleId', roleId);
    const names = readPermissionNames(permissions);
    const write = (m: EntityManager): Promise<AccessDelta> => this.#writePermissions(m, roleId, names, change);
    const { added, removed } = await (change === 'remove'
      ? write(manager)
      : this.delegation.guard(
          manager,
          (m) => this.delegation.assertMayAddToRole(m, roleId, { permissionNames: names }),
          write,
        ));
    const delta = { added, removed };
    if (added.length + removed.length > 0) {
      this.publisher.publish(manager, new RolePermissionsChangedEvent(roleId, delta));
    }
    return delta;
  }

  #writePermissions(
    manager: EntityManager,
    roleId: string,
    names: readonly string[],
    change: SetChange,
  ): Promise<AccessDelta> {
    return untilDecided(async () => {
      const row = await changeRolePermissions(manager, roleId, names, change);
      if (!row.found) throw noRole(`${change}RolePermissions`);
      if (row.missing.length > 0) throw unknownPermissions(`${change}RolePermissions`, row.missing);
      const nothingToDo = row.added.length + row.removed.length === 0;
      return row.applied || nothingToDo ? row : undefined;
    });
  }

  async findById(
    manager: EntityManager,
    id: string,
    { relations = {} }: { readonly relations?: RoleRelations } = {},
  ): Promise<NestAuthRole | null> {
    assertUuid('id', id);
    const issues = new InputIssues();
    issues.fields(relations, ['permissions', 'parents'] satisfies (keyof RoleRelations)[]);
    issues.refuse('The role cannot be loaded');
    const find = relations.permissions === true ? findRoleWithPermissions : findRoleById;
    const role = await find(manager, id);
    if (role !== null && relations.parents === true) role.parents = await listRoleParents(manager, id);
    return role;
  }

  async findByName(
    manager: EntityManager,
    name: string,
    guard: string,
    tenantId?: string | null,
  ): Promise<NestAuthRole | null> {
    assertNameAndGuard(name, guard, this.settings);
    const systemRole = tenantId === undefined || tenantId === null;
    // In DISABLED tenancy a tenant's roles and the system's have the same owner.
    return findRoleByName(manager, systemRole ? NIL_UUID : this.tenancy.named(tenantId), guard, name);
  }

  async page(manager: EntityManager, options: GetRolesOptions = {}): Promise<Page<NestAuthRole>> {
    checkRoleList(options, this.settings);
    const { limit, after, offset } = readPage(options, LIMITS);
    const filter = this.#filterOf(options);
    const kind = cursorKind('roles', { ...filter });
    const rows = await listRoles(manager, filter, { afterId: readIdCursor(kind, after), limit: limit + 1, offset });
    return toPage(
      rows,
      limit,
      (row) => toRole(row, manager),
      ({ id }) => encodeCursor(kind, { id }),
    );
  }

  #filterOf({ guard, tenantId, systemOnly = false, ownOnly = false }: GetRolesOptions): RoleListFilter {
    const named = tenantId === undefined ? null : this.tenancy.named(tenantId);
    if (ownOnly && named === null) {
      throw invalid('ownOnly', 'needs tenantId: roles are own to a tenant', 'getRoles was called with ownOnly alone');
    }
    return { guard: guard ?? null, system: !ownOnly, tenantId: systemOnly ? null : named };
  }

  /** Whose the new role is: the tenant's, or null for the system. */
  #ownerOf({ tenantId, isSystem = false, guard }: CreateRoleInput): string | null {
    if (tenantId !== undefined && tenantId !== null) {
      if (isSystem) throw invalid('tenantId', 'must be absent for a system role', 'createRole was given two owners');
      const named = this.tenancy.named(tenantId);
      if (guard === 'admin') {
        throw invalid(
          'tenantId',
          'must be absent: roles of the admin guard are system roles',
          'createRole was refused',
        );
      }
      return named;
    }
    if (isSystem || this.tenancy.mode === TenantModeEnum.DISABLED) return null;
    throw invalid('tenantId', 'or isSystem: true is needed', 'createRole was not told whose role it is');
  }
}

async function attemptUpdate(
  manager: EntityManager,
  id: string,
  input: UpdateRoleInput,
  isHeld: boolean,
): Promise<RoleUpdateRow | undefined> {
  const row = await updateRoleRow(manager, id, input, isHeld);
  if (row === undefined) throw noRole('updateRole');
  if (row.changed) return row;
  if (input.expectedVersion !== undefined && input.expectedVersion !== row.version) {
    throw new NestAuthError(
      'STALE_VERSION',
      `updateRole expected version ${input.expectedVersion}, the role has ${row.version}; read it again`,
    );
  }
  if (row.name_taken) throw nameTaken('updateRole');
  if (row.no_owner) throw invalid('isOwner', 'is not for roles of the admin guard', 'The role cannot be updated');
  return row.differs && !row.owners_go ? undefined : row;
}

async function attemptDelete(manager: EntityManager, id: string): Promise<true | undefined> {
  const { found, used, deleted } = await deleteRoleRow(manager, id);
  if (deleted) return true;
  if (!found) throw noRole('deleteRole');
  if (used) throw inUse();
  return undefined;
}
