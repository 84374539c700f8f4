import { assertMayHaveAccess, assertRolesFit, expired } from './access-refusals.policy.js';
import type { AccessDelta } from './access.types.js';
import type { NestAuthPlatformAccess } from './platform-access.entity.js';
import type { AccessRolesRow, RolesSetChange } from './user-access-roles.queries.js';
import type { NestAuthUserAccess } from './user-access.entity.js';

/** What became of a set of roles; `version` is the access's new one, undefined when nothing has changed. */
export interface RolesChange extends AccessDelta {
  readonly version: number | undefined;
}

/** The row when it is an outcome; undefined when somebody else was faster and the change must be tried again. */
export function decide(row: AccessRolesRow, change: RolesSetChange): AccessRolesRow | undefined {
  assertMayHaveAccess(row);
  assertRolesFit(row);
  if (!row.in_time) throw expired('grantAccessRole');
  if (row.version !== null || row.owner_goes) return row;
  const nothingToDo = row.added.length + row.removed.length === 0;
  return nothingToDo && (row.existed || change === 'remove') ? row : undefined;
}

export function changeOf({ added, removed, version }: AccessRolesRow): RolesChange {
  return { added, removed, version: version ?? undefined };
}

export function deltaOf({ added, removed }: AccessDelta): AccessDelta {
  return { added, removed };
}

/** Roles that were loaded before are not the ones any more; kept, a later `save` would bring them back. */
export function forgetRoles(access: NestAuthUserAccess | NestAuthPlatformAccess, { version }: RolesChange): void {
  if (version === undefined) return;
  access.version = version;
  delete access.roles;
}
