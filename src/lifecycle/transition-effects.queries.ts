import type { LifecycleCommand } from './transitions.policy.js';

/** A value of a user that an activity tells. */
export type Field =
  | 'status'
  | 'isActive'
  | 'email'
  | 'phone'
  | 'activatedAt'
  | 'deactivatedAt'
  | 'disabledAt'
  | 'softDeletedAt'
  | 'scheduledDeletionAt'
  | 'lastLoginAt'
  | 'legalHoldAt'
  | 'legalHoldReason';

/** What a command writes: pieces of the statement in which `judged` holds the rows and `changed` what became of them. */
export interface Effect {
  /** The SET list over `u`; `days` is the number of days until a scheduled deletion. */
  readonly set: (days: string) => string;
  /** What changes, for the activity. */
  readonly fields: readonly Field[];
  /** Leaves the version as it is: nobody who edits the user is concerned. */
  readonly keepsVersion?: true;
  /** CTEs before and after `changed`. */
  readonly before?: readonly string[];
  readonly after?: readonly string[];
  readonly join?: string;
  readonly where?: string;
  /** The providers that are taken, and where they come from. */
  readonly taken?: string;
  readonly takenJoin?: string;
}

const STATUS = ['status', 'isActive'] as const;
const PARKED = '(provider text, provider_id text, metadata jsonb, created_at timestamptz)';

const DEACTIVATION: Effect = {
  set: () => `status = 'inactive', is_active = false, deactivated_at = now()`,
  fields: [...STATUS, 'deactivatedAt'],
};
const DISABLING: Effect = {
  set: () => `status = 'disabled', is_active = false, disabled_at = now()`,
  fields: [...STATUS, 'disabledAt'],
};

export const EFFECTS: Readonly<Record<LifecycleCommand, Effect>> = {
  activate: {
    set: () => `status = 'active', is_active = true, activated_at = now()`,
    fields: [...STATUS, 'activatedAt'],
  },
  reactivate: {
    set: () => `status = 'active', is_active = true, activated_at = now(), deactivated_at = null`,
    fields: [...STATUS, 'activatedAt', 'deactivatedAt'],
  },
  deactivate: DEACTIVATION,
  deactivatePending: DEACTIVATION,
  deactivateActive: DEACTIVATION,
  disable: DISABLING,
  disableDeactivated: DISABLING,
  softDelete: {
    before: [
      `parted as (
      delete from nest_auth_identities i using judged where i.user_id = judged.id and judged.reason is null
      returning i.user_id, i.provider, i.provider_id, i.metadata, i.created_at)`,
      `parked as (
      select user_id, jsonb_agg(jsonb_build_object('provider', provider, 'provider_id', provider_id,
        'metadata', metadata, 'created_at', created_at)) as identities
      from parted group by user_id)`,
    ],
    join: 'left join parked on parked.user_id = judged.id',
    set: () => `deleted_at = now(), parked_identities = coalesce(parked.identities, '[]')`,
    fields: ['softDeletedAt'],
  },
  // The user's row first, then the identities: in the order in which a creation takes them.
  restore: {
    before: [
      `parked as (
      select judged.id as user_id, judged.realm_id, p.provider, p.provider_id, p.metadata, p.created_at
      from judged, jsonb_to_recordset(judged.parked_identities) as p ${PARKED} where judged.reason is null)`,
      `taken as (
      select parked.user_id, array_agg(distinct parked.provider) as providers
      from parked join nest_auth_identities i
        on i.provider_id = parked.provider_id and i.provider = parked.provider and i.realm_id = parked.realm_id
      group by parked.user_id)`,
    ],
    set: () => 'deleted_at = null, parked_identities = null',
    where: 'and not exists (select 1 from taken where taken.user_id = judged.id)',
    after: [
      `made as (
      insert into nest_auth_identities (realm_id, user_id, provider, provider_id, metadata, created_at)
      select parked.realm_id, parked.user_id, parked.provider, parked.provider_id, parked.metadata, parked.created_at
      from parked join changed on changed.id = parked.user_id)`,
    ],
    fields: ['softDeletedAt'],
    taken: 'taken.providers',
    takenJoin: 'left join taken on taken.user_id = asked.id',
  },
  schedule: {
    set: (days) => `status = 'scheduled_deletion', scheduled_deletion_at = now() + make_interval(days => ${days})`,
    fields: ['status', 'scheduledDeletionAt'],
  },
  cancel: {
    set: () => `status = 'disabled', scheduled_deletion_at = null`,
    fields: ['status', 'scheduledDeletionAt'],
  },
  delete: {
    set: () => '',
    // On a cluster no foreign key reaches the logins.
    after: ['logins as (delete from nest_auth_identities i using changed where i.user_id = changed.id)'],
    fields: ['email', 'phone', 'status', 'disabledAt', 'softDeletedAt', 'scheduledDeletionAt'],
  },
  setLegalHold: {
    set: () => 'legal_hold_at = now(), legal_hold_reason = $3::text',
    fields: ['legalHoldAt', 'legalHoldReason'],
  },
  releaseLegalHold: {
    set: () => 'legal_hold_at = null, legal_hold_reason = null',
    fields: ['legalHoldAt', 'legalHoldReason'],
  },
  recordLogin: { set: () => 'last_login_at = now()', fields: ['lastLoginAt'], keepsVersion: true },
};
