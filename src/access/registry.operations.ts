import type { EntityManager } from 'typeorm';
import { InputIssues } from '../errors/input.js';
import type { PermissionOperations } from './permission.operations.js';
import { planOf, type RegistryState } from './registry.policy.js';
import { lockRegistry, readRegistryState } from './registry.queries.js';
import type {
  ApplyPermissionsOptions,
  PermissionDeclaration,
  PermissionRegistry,
  PermissionRegistryPlan,
  RoleDeclaration,
} from './registry.types.js';
import type { RoleOperations } from './role.operations.js';

/** As many permissions as are made by one statement. */
const CHUNK = 1_000;

/** Brings what is declared into the database, by the operations that everybody uses: with their rules and activities. */
export class RegistryOperations {
  constructor(
    private readonly permissions: PermissionOperations,
    private readonly roles: RoleOperations,
  ) {}

  async plan(manager: EntityManager, registry: PermissionRegistry): Promise<PermissionRegistryPlan> {
    checkRegistry(registry);
    return planOf(registry, await readRegistryState(manager, registry.guard));
  }

  /** `manager` must be a transaction's. Answers the plan that was carried out. */
  async apply(
    manager: EntityManager,
    registry: PermissionRegistry,
    { prune = false, ...rest }: ApplyPermissionsOptions = {},
  ): Promise<PermissionRegistryPlan> {
    checkRegistry(registry);
    checkOptions(prune, rest);
    await lockRegistry(manager);
    const state = await readRegistryState(manager, registry.guard);
    const plan = planOf(registry, state);
    await this.#applyPermissions(manager, registry, plan, state);
    await this.#applyRoles(manager, registry, plan, state);
    if (prune) await this.#prune(manager, plan, state);
    return plan;
  }

  async #applyPermissions(
    manager: EntityManager,
    { guard, permissions }: PermissionRegistry,
    { permissions: { create, change } }: PermissionRegistryPlan,
    state: RegistryState,
  ): Promise<void> {
    const inputs = create.map((name) => ({ name, guard, ...(permissions[name] as PermissionDeclaration) }));
    for (let start = 0; start < inputs.length; start += CHUNK) {
      await this.permissions.createMany(manager, inputs.slice(start, start + CHUNK));
    }
    const ids = idsOf(state.permissions);
    for (const { name } of change) {
      await this.permissions.update(manager, ids(name), permissions[name] as PermissionDeclaration);
    }
  }

  /** First what every role is and grants, then what inherits from what: nothing is inherited that is not there. */
  async #applyRoles(
    manager: EntityManager,
    { guard, roles }: PermissionRegistry,
    { roles: { create, change } }: PermissionRegistryPlan,
    state: RegistryState,
  ): Promise<void> {
    const made: { id: string; name: string }[] = [];
    for (const name of create) {
      const { inherits: _later, ...rest } = roles[name] as RoleDeclaration;
      made.push(await this.roles.create(manager, { name, guard, isSystem: true, ...rest }));
    }
    const ids = idsOf([...state.roles, ...made]);
    for (const { name, fields, permissions, parents } of change) {
      const wanted = roles[name] as RoleDeclaration;
      if (fields.length > 0) await this.roles.update(manager, ids(name), pick(wanted));
      if (permissions.added.length + permissions.removed.length > 0) {
        await this.roles.changePermissions(manager, ids(name), wanted.permissions ?? [], 'set');
      }
      // Before anything is added, so that a role may come to stand on the other side of another.
      if (parents.removed.length > 0) {
        await this.roles.parents.change(manager, ids(name), parents.removed.map(ids), 'remove');
      }
    }
    const heirs = [...create, ...change.filter(({ parents }) => parents.added.length > 0).map(({ name }) => name)];
    for (const name of heirs) {
      const { inherits = [] } = roles[name] as RoleDeclaration;
      if (inherits.length > 0) await this.roles.parents.change(manager, ids(name), inherits.map(ids), 'add');
    }
  }

  /** Roles first: they hold permissions. What is in use is refused, and with it everything. */
  async #prune(manager: EntityManager, plan: PermissionRegistryPlan, state: RegistryState): Promise<void> {
    const roleIds = idsOf(state.roles);
    const permissionIds = idsOf(state.permissions);
    const unknown = new Set(plan.roles.unknown);
    // An heir goes before what it inherits from; who inherits from nobody is left to the end.
    const parents = new Map(state.roles.map((role) => [role.name, role.parents]));
    while (unknown.size > 0) {
      const inherited = new Set([...unknown].flatMap((name) => parents.get(name) ?? []));
      const free = [...unknown].filter((name) => !inherited.has(name));
      for (const name of free) {
        await this.roles.delete(manager, roleIds(name));
        unknown.delete(name);
      }
    }
    for (const name of plan.permissions.unknown) await this.permissions.delete(manager, permissionIds(name));
  }
}

function idsOf(rows: readonly { readonly id: string; readonly name: string }[]): (name: string) => string {
  const ids = new Map(rows.map(({ id, name }) => [name, id]));
  return (name) => ids.get(name) as string;
}

/** The fields of a role that `updateRole` takes. */
function pick({ description, isOwner }: RoleDeclaration) {
  return { ...(description === undefined ? {} : { description }), ...(isOwner === undefined ? {} : { isOwner }) };
}

function checkRegistry(registry: PermissionRegistry): void {
  const issues = new InputIssues();
  issues.fields(registry, ['guard', 'permissions', 'roles'] satisfies (keyof PermissionRegistry)[]);
  issues.text('guard', registry.guard, { max: 200 });
  for (const part of ['permissions', 'roles'] as const) {
    if (typeof registry[part] !== 'object' || registry[part] === null) issues.add(part, 'must be an object');
  }
  issues.refuse('The registry was not made by definePermissions');
}

function checkOptions(prune: unknown, rest: object): void {
  const issues = new InputIssues();
  issues.fields(rest, []);
  issues.boolean('prune', prune);
  issues.refuse('The permissions cannot be applied');
}
