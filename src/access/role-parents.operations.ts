import type { EntityManager } from 'typeorm';
import { assertUuid } from '../errors/input.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import type { EventPublisher } from '../events/event-publisher.js';
import { RoleParentsChangedEvent } from '../events/nest-auth.events.js';
import { untilDecided } from '../transaction/optimistic.js';
import { assertRolesFit } from './access-refusals.policy.js';
import { readParentIds } from './access-input.policy.js';
import type { AccessDelta } from './access.types.js';
import type { Delegation } from './delegation.operations.js';
import { changeRoleParents, MAX_INHERITANCE_STEPS, type RoleParentsRow } from './role-parents.queries.js';
import type { SetChange } from './role-permissions.queries.js';
import { noRole } from './role-refusals.policy.js';

/** The rules of what inherits from what: validate, write, announce. */
export class RoleParentsOperations {
  constructor(
    private readonly publisher: EventPublisher,
    private readonly delegation: Delegation,
  ) {}

  /** Makes, adds or takes away parents; what they were before and after is one delta, also under concurrency. */
  async change(
    manager: EntityManager,
    roleId: string,
    parentIds: readonly string[],
    change: SetChange,
  ): Promise<AccessDelta> {
    assertUuid('roleId', roleId);
    const ids = readParentIds(parentIds);
    const write = (m: EntityManager): Promise<RoleParentsRow> =>
      untilDecided(async () => decide(await changeRoleParents(m, roleId, ids, change), `${change}RoleParents`));
    const { added, removed } = await (change === 'remove'
      ? write(manager)
      : this.delegation.guard(manager, (m) => this.delegation.assertMayAddToRole(m, roleId, { roleIds: ids }), write));
    const delta = { added, removed };
    if (added.length + removed.length > 0) this.publisher.publish(manager, new RoleParentsChangedEvent(roleId, delta));
    return delta;
  }
}

/** The row when it is an outcome; undefined when somebody else was faster and the change must be tried again. */
function decide(row: RoleParentsRow, method: string): RoleParentsRow | undefined {
  if (!row.found) throw noRole(method);
  assertRolesFit(row);
  if (row.circular.length > 0) {
    throw new NestAuthError('ROLE_CYCLE', `${method} was given roles that inherit from the role; see details.ids`, {
      details: { ids: row.circular },
    });
  }
  if (row.steps > MAX_INHERITANCE_STEPS) {
    throw new NestAuthError(
      'ROLE_DEPTH_EXCEEDED',
      `${method} would let roles of one owner inherit over ${row.steps} steps or more; ${MAX_INHERITANCE_STEPS} is the most`,
    );
  }
  return row.applied || row.added.length + row.removed.length === 0 ? row : undefined;
}
