import { tenantOfRealm } from '../account/user-change.queries.js';
import { activity } from '../audit/audited-statement.js';
import type { NestAuthEventName } from '../events/nest-auth.events.js';

// Whatever locks several of them does it in this order: user, challenge, factor, state.

/** The user `$1`, who is active, held. */
export const HELD = `held as (
      select id, realm_id, security_stamp, email, phone from nest_auth_users
      where id = $1 and status = 'active' and deleted_at is null for no key update)`;

/** With the address that the user has at that moment, to which a notice goes. */
export const userActivity = (type: NestAuthEventName, from: string, details: string): string =>
  activity({
    type,
    from,
    userId: 'held.id',
    tenantId: tenantOfRealm('held.realm_id'),
    subjectType: 'user',
    details: `jsonb_strip_nulls(jsonb_build_object('email', held.email, 'phone', held.phone, ${details}))`,
  });

/**
 * What belongs to every change of what a user has to show: the user has another stamp, by which all sessions and
 * challenges end, but for the session `keep` in which it was done. `changed` is the CTE that says whether it was.
 */
export const stampedBy = (changed: string, keep: string, shown: string): string => `stamped as (
      update nest_auth_users u set security_stamp = u.security_stamp + 1 from ${changed}
      where u.id = $1 and u.id = ${changed}.user_id returning u.id, u.security_stamp),
    kept as (
      update nest_auth_sessions s set security_stamp = stamped.security_stamp, second_factor = ${shown}
      from stamped join held on held.id = stamped.id
      where s.user_id = $1 and s.user_id = stamped.id and s.id = ${keep}::uuid and s.security_stamp = held.security_stamp
        and s.revoked_at is null)`;

/** Who has a factor may add another one if it was shown (`shown`) alone: the password must not be enough to replace it. */
export const allowedIf = (shown: string): string => `allowed as (
      select held.* from held where ${shown}::boolean or not exists (
        select 1 from nest_auth_second_factors f where f.user_id = $1 and f.enabled_at is not null))`;
