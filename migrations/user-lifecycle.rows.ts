import type { QueryRunner } from 'typeorm';

/** What status and timestamps say about each other. */
export const LIFECYCLE_CHECKS: readonly (readonly [name: string, check: string])[] = [
  [
    'nest_auth_users_activated_ck',
    `(status <> 'pending' OR activated_at IS NULL) AND (status <> 'active' OR activated_at IS NOT NULL)`,
  ],
  [
    'nest_auth_users_deactivated_ck',
    `(status <> 'inactive' OR deactivated_at IS NOT NULL) AND (deactivated_at IS NULL OR status IN ('inactive', 'disabled', 'scheduled_deletion'))`,
  ],
  ['nest_auth_users_disabled_ck', `(disabled_at IS NOT NULL) = (status IN ('disabled', 'scheduled_deletion'))`],
  ['nest_auth_users_deleted_ck', `deleted_at IS NULL OR status IN ('disabled', 'scheduled_deletion')`],
  [
    'nest_auth_users_scheduled_ck',
    `(scheduled_deletion_at IS NOT NULL) = (status = 'scheduled_deletion') AND (status <> 'scheduled_deletion' OR deleted_at IS NOT NULL)`,
  ],
  ['nest_auth_users_parked_ck', `(parked_identities IS NOT NULL) = (deleted_at IS NOT NULL)`],
  ['nest_auth_users_legal_hold_ck', `(legal_hold_at IS NULL) = (legal_hold_reason IS NULL)`],
];

const DISAGREES = LIFECYCLE_CHECKS.map(([, check]) => `NOT (${check})`).join(' OR ');

/** As many rows as are changed in one transaction without anybody noticing. */
const FEW_ROWS = 20_000;

/** Brings a row's timestamps in line with its status; nobody knows better than `updated_at` when it came about. */
const FILL_IN = `UPDATE nest_auth_users SET
    activated_at = CASE WHEN status = 'pending' THEN NULL WHEN status = 'active' THEN coalesce(activated_at, created_at)
      ELSE activated_at END,
    deactivated_at = CASE WHEN status = 'inactive' THEN coalesce(deactivated_at, updated_at)
      WHEN status IN ('disabled', 'scheduled_deletion') THEN deactivated_at END,
    disabled_at = CASE WHEN status IN ('disabled', 'scheduled_deletion') OR deleted_at IS NOT NULL
      THEN coalesce(disabled_at, updated_at) END,
    scheduled_deletion_at = CASE WHEN status = 'scheduled_deletion'
      THEN coalesce(scheduled_deletion_at, now() + interval '30 days') END,
    deleted_at = CASE WHEN status = 'scheduled_deletion' THEN coalesce(deleted_at, updated_at) ELSE deleted_at END,
    parked_identities = CASE WHEN status = 'scheduled_deletion' OR deleted_at IS NOT NULL
      THEN coalesce(parked_identities, '[]') END,
    status = CASE WHEN deleted_at IS NOT NULL AND status <> 'scheduled_deletion' THEN 'disabled' ELSE status END,
    is_active = status = 'active' AND deleted_at IS NULL
  WHERE id IN (SELECT id FROM nest_auth_users WHERE ${DISAGREES} LIMIT ${FEW_ROWS})`;

/**
 * Fills in what the version before could not know: pending users were never activated, inactive ones were deactivated
 * some time. Where there are many such rows it refuses, and names the statement that does it a batch at a time.
 */
export async function fillInLifecycle(runner: QueryRunner): Promise<void> {
  const rows = (await runner.query(
    `SELECT EXISTS (SELECT 1 FROM nest_auth_users WHERE ${DISAGREES} OFFSET ${FEW_ROWS}) AS many`,
  )) as readonly { many: boolean }[];
  if (rows[0]?.many === true) {
    throw new Error(
      `The timestamps of more than ${FEW_ROWS} users have to be filled in, too many for one transaction. Run this until ` +
        `it changes no row any more, then migrate again:\n${FILL_IN};`,
    );
  }
  await runner.query(FILL_IN);
}
