import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { assertUuid } from '../errors/input.js';
import { isNestAuthError, NestAuthError } from '../errors/nest-auth.error.js';
import type { EventPublisher } from '../events/event-publisher.js';
import { PermissionCreatedEvent, PermissionDeletedEvent, PermissionUpdatedEvent } from '../events/nest-auth.events.js';
import {
  containing,
  cursorKind,
  encodeCursor,
  type Page,
  readIdCursor,
  readPage,
  toPage,
} from '../transaction/keyset.js';
import { direct, shielded, untilDecided } from '../transaction/optimistic.js';
import {
  assertNameAndGuard,
  checkCreatePermissions,
  checkPermissionList,
  checkUpdatePermission,
} from './access-input.policy.js';
import type { AccessSettings } from './access.settings.js';
import type {
  CreatePermissionInput,
  CreatePermissionsResult,
  GetPermissionsOptions,
  UpdatePermissionInput,
} from './access.types.js';
import type { NestAuthPermission } from './permission.entity.js';
import type { Delegation } from './delegation.operations.js';
import {
  deletePermissionRow,
  findPermissionById,
  findPermissionByName,
  insertPermissions,
  listPermissions,
  type NewPermission,
  type PermissionUpdateRow,
  toPermission,
  updatePermissionRow,
} from './permission.queries.js';

const LIMITS = { defaultLimit: 20, maxLimit: 100 } as const;

/** The rules of permissions: validate, write, announce. */
export class PermissionOperations {
  constructor(
    private readonly publisher: EventPublisher,
    private readonly settings: AccessSettings,
    private readonly delegation: Delegation,
  ) {}

  async create(manager: EntityManager, input: CreatePermissionInput): Promise<NestAuthPermission> {
    checkCreatePermissions([input], this.settings);
    const { created } = await insertPermissions(manager, [toNew(input)]);
    const [permission] = created;
    if (permission === undefined) throw nameTaken('createPermission');
    this.publisher.publish(manager, new PermissionCreatedEvent(permission));
    return permission;
  }

  async createMany(manager: EntityManager, inputs: readonly CreatePermissionInput[]): Promise<CreatePermissionsResult> {
    checkCreatePermissions(inputs, this.settings);
    const created: NestAuthPermission[] = [];
    const existing: NestAuthPermission[] = [];
    let open = distinct(inputs).map(toNew);
    await untilDecided(async () => {
      if (open.length === 0) return true;
      const found = await insertPermissions(manager, open);
      created.push(...found.created);
      existing.push(...found.existing);
      const done = new Set([...found.created, ...found.existing].map(keyOf));
      open = open.filter((row) => !done.has(keyOf(row)));
      return open.length === 0 ? true : undefined;
    });
    for (const permission of created) this.publisher.publish(manager, new PermissionCreatedEvent(permission));
    return { created, existing };
  }

  async update(manager: EntityManager, id: string, input: UpdatePermissionInput): Promise<NestAuthPermission> {
    assertUuid('id', id);
    checkUpdatePermission(input);
    // Only a new name can meet a unique index.
    const guard = input.name === undefined ? direct : shielded;
    const write = (m: EntityManager): Promise<PermissionUpdateRow> =>
      untilDecided(() => guard(m, (inner) => attemptUpdate(inner, id, input)));
    const { name } = input;
    const row = await (
      name === undefined
        ? write(manager)
        : this.delegation.guard(manager, (m) => this.delegation.assertMayRename(m, name), write)
    ).catch((error: unknown) => {
      throw isNestAuthError(error, 'PERMISSION_ALREADY_EXISTS') ? nameTaken('updatePermission', error) : error;
    });
    const permission = toPermission(row, manager);
    if (row.changed) this.publisher.publish(manager, new PermissionUpdatedEvent(permission));
    return permission;
  }

  async delete(manager: EntityManager, id: string): Promise<void> {
    assertUuid('id', id);
    await untilDecided(() => shielded(manager, (inner) => attemptDelete(inner, id))).catch((error: unknown) => {
      // Granted meanwhile: the foreign key is the judge.
      const judged = isNestAuthError(error) && error.details.constraint !== undefined;
      throw judged ? inUse(error) : error;
    });
    this.publisher.publish(manager, new PermissionDeletedEvent(id));
  }

  async findById(manager: EntityManager, id: string): Promise<NestAuthPermission | null> {
    assertUuid('id', id);
    return findPermissionById(manager, id);
  }

  async findByName(manager: EntityManager, name: string, guard: string): Promise<NestAuthPermission | null> {
    assertNameAndGuard(name, guard, this.settings);
    return findPermissionByName(manager, guard, name);
  }

  async page(manager: EntityManager, options: GetPermissionsOptions = {}): Promise<Page<NestAuthPermission>> {
    checkPermissionList(options, this.settings);
    const { limit, after, offset } = readPage(options, LIMITS);
    const { guard, category, search } = options;
    const kind = cursorKind('permissions', { guard, category, search });
    const rows = await listPermissions(
      manager,
      { guard: guard ?? null, category: category ?? null, pattern: search === undefined ? null : containing(search) },
      { afterId: readIdCursor(kind, after), limit: limit + 1, offset },
    );
    return toPage(
      rows,
      limit,
      (row) => toPermission(row, manager),
      (last) => encodeCursor(kind, { id: last.id }),
    );
  }
}

async function attemptUpdate(
  manager: EntityManager,
  id: string,
  input: UpdatePermissionInput,
): Promise<PermissionUpdateRow | undefined> {
  const row = await updatePermissionRow(manager, id, input);
  if (row === undefined) throw noPermission('updatePermission');
  if (row.name_taken) throw nameTaken('updatePermission');
  return row.changed || !row.differs ? row : undefined;
}

async function attemptDelete(manager: EntityManager, id: string): Promise<true | undefined> {
  const { found, used, deleted } = await deletePermissionRow(manager, id);
  if (deleted) return true;
  if (!found) throw noPermission('deletePermission');
  if (used) throw inUse();
  return undefined;
}

function toNew({ guard, name, description, category, metadata }: CreatePermissionInput): NewPermission {
  return {
    id: uuidv7(),
    guard,
    name,
    description: description ?? null,
    category: category ?? null,
    metadata: metadata ?? {},
  };
}

/** The first of those with one name and guard. */
function distinct(inputs: readonly CreatePermissionInput[]): CreatePermissionInput[] {
  const first = new Map<string, CreatePermissionInput>();
  for (const input of inputs) if (!first.has(keyOf(input))) first.set(keyOf(input), input);
  return [...first.values()];
}

function keyOf({ guard, name }: { readonly guard: string; readonly name: string }): string {
  return JSON.stringify([guard, name]);
}

function noPermission(method: string): NestAuthError {
  return new NestAuthError('PERMISSION_NOT_FOUND', `${method} was called with the id of no permission`);
}

function nameTaken(method: string, cause?: unknown): NestAuthError {
  return new NestAuthError(
    'PERMISSION_ALREADY_EXISTS',
    `${method} was given the name of another permission of the guard; choose another`,
    { details: { fields: ['name'] }, cause },
  );
}

function inUse(cause?: unknown): NestAuthError {
  return new NestAuthError(
    'PERMISSION_IN_USE',
    'deletePermission found roles that hold the permission, or accesses with an entry of it; take it from them first',
    { cause },
  );
}
