import { type Edge, isRefusal, type LifecycleCommand, TRANSITIONS } from './transitions.policy.js';

/** The transition table as SQL over a user's row `u`. */

const STATE = `case when u.deleted_at is not null and u.status = 'disabled' then 'soft_deleted' else u.status end`;

/**
 * Why the command is refused, or null. Where the user stands comes first, then a legal hold, then what is not over yet.
 *
 * @param value - The parameter with the grace period.
 * @param user - The id of the user, whose accesses are looked up.
 */
export function verdictSql(command: LifecycleCommand, tenants: boolean, value = '$3::integer', user = 'u.id'): string {
  const { edges, hold, grace } = TRANSITIONS[command];
  const refused = Object.entries(edges).filter((entry): entry is [string, Edge] => isRefusal(entry[1]));
  const state =
    refused.length === 0
      ? 'null::text'
      : `case ${STATE} ${refused.map(([from, code]) => `when '${from}' then '${code}'`).join(' ')} end`;
  const checks = [
    state,
    ...(hold === undefined
      ? []
      : [`case when u.legal_hold_at is ${hold.must ? '' : 'not '}null then '${hold.else}' end`]),
    ...(grace === undefined
      ? []
      : [`case when not ${overSql(command, tenants, value, user)} then '${grace.else}' end`]),
    ...(command === 'delete'
      ? [`case when u.scheduled_deletion_at > now()::timestamptz(3) then 'SCHEDULED_DELETION_NOT_REACHED' end`]
      : []),
  ];
  return `coalesce(${checks.join(', ')})`;
}

/** Whether a batch takes the user up: what is not over yet is nobody's concern, a legal hold is told of. */
export function isEligible(command: LifecycleCommand, tenants: boolean, value: string): string {
  if (command === 'delete') return 'u.scheduled_deletion_at <= now()::timestamptz(3)';
  if (command === 'softDelete') return 'u.deleted_at is null';
  if (command === 'schedule') return 'u.deleted_at is not null';
  return overSql(command, tenants, value);
}

function overSql(command: LifecycleCommand, tenants: boolean, value: string, user = 'u.id'): string {
  const { grace } = TRANSITIONS[command];
  if (grace === undefined) return 'true';
  const period = tenants ? graceSql(grace.of, true, value, user) : value;
  return `(${grace.since} + make_interval(${grace.unit} => ${period}) <= now()::timestamptz(3))`;
}

/** The longest grace period among the user's tenants, where a tenant without one of its own has that of the parameter. */
export function graceSql(of: string, tenants: boolean, value = '$3::integer', user = 'u.id'): string {
  if (!tenants) return value;
  return `coalesce((select max(coalesce((t.lifecycle ->> '${of}')::integer, ${value}))
    from nest_auth_user_accesses a join nest_auth_tenants t on t.id = a.tenant_id where a.user_id = ${user}), ${value})`;
}
