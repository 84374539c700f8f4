import {
  LifecycleStateEnum,
  type LifecycleState,
  type UserLifecycleService,
  type UserService,
} from '../../../src/index.js';
import { withClient } from '../../support/database.js';
import { freshEmail, freshPhone } from '../../support/nest-app.js';

export const STATES = Object.values(LifecycleStateEnum);

interface Services {
  readonly users: UserService;
  readonly lifecycle: UserLifecycleService;
}

/** A user who has come to a state by the methods of the package alone. */
export async function userIn({ users, lifecycle }: Services, state: LifecycleState): Promise<string> {
  const isActive = state !== 'pending';
  const { id } = await users.createUser({ email: freshEmail(), phone: freshPhone(), isActive });
  if (state === 'inactive') await lifecycle.deactivateById(id);
  if (['disabled', 'soft_deleted', 'scheduled_deletion'].includes(state)) await lifecycle.disableById(id);
  if (['soft_deleted', 'scheduled_deletion'].includes(state)) await lifecycle.softDeleteById(id);
  if (state === 'scheduled_deletion') await lifecycle.scheduleForDeletionById(id);
  return id;
}

/** Where the database says the user is; `gone` when it says nothing. */
export async function stateOf(url: string, id: string): Promise<LifecycleState | 'gone'> {
  const { rows } = await withClient(url, (client) =>
    client.query<{ status: LifecycleState; deleted: boolean }>(
      'select status, deleted_at is not null as deleted from nest_auth_users where id = $1',
      [id],
    ),
  );
  const [row] = rows;
  if (row === undefined) return 'gone';
  return row.status === 'disabled' && row.deleted ? 'soft_deleted' : row.status;
}

/** Types of the user's activities, in the order in which they were written. */
export async function activityTypes(url: string, id: string): Promise<string[]> {
  const { rows } = await withClient(url, (client) =>
    client.query<{ type: string }>(
      'select type from nest_auth_activities where user_id = $1 order by xid, occurred_at, id',
      [id],
    ),
  );
  return rows.map(({ type }) => type.replace('nest_auth.user.', ''));
}

/** Lets time pass for a user: every moment of the row lies so much further back. */
export function age(url: string, ids: readonly string[], by: string): Promise<unknown> {
  return withClient(url, (client) =>
    client.query(
      `update nest_auth_users set created_at = created_at - $2::interval, activated_at = activated_at - $2::interval,
         deactivated_at = deactivated_at - $2::interval, disabled_at = disabled_at - $2::interval,
         deleted_at = deleted_at - $2::interval, last_login_at = last_login_at - $2::interval,
         scheduled_deletion_at = scheduled_deletion_at - $2::interval
       where id = any($1::uuid[])`,
      [ids, by],
    ),
  );
}
