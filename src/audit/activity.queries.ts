import type { EntityManager } from 'typeorm';
import { rememberOrigin } from '../transaction/entity-origin.js';
import { execute, executeOne, returnsRows, type Statement } from '../transaction/statement.js';
import type { ActivityFilter } from './activity-log.types.js';
import { NestAuthActivity } from './activity.entity.js';
import type { ActorTypeEnum } from './activity.types.js';
import { activityInsert, audited } from './audited-statement.js';

/** An activity's row. */
export interface ActivityRow {
  readonly id: string;
  readonly occurred_at: Date;
  readonly xid: string;
  readonly type: string;
  readonly actor_type: ActorTypeEnum;
  readonly actor_id: string | null;
  readonly impersonator_id: string | null;
  readonly user_id: string | null;
  readonly tenant_id: string | null;
  readonly subject_type: string;
  readonly subject_id: string | null;
  readonly before: Record<string, unknown> | null;
  readonly after: Record<string, unknown> | null;
  readonly details: Record<string, unknown> | null;
  readonly ip: string | null;
  readonly user_agent: string | null;
  readonly request_id: string | null;
}

const COLUMN_NAMES = [
  'id',
  'occurred_at',
  'xid',
  'type',
  'actor_type',
  'actor_id',
  'impersonator_id',
  'user_id',
  'tenant_id',
  'subject_type',
  'subject_id',
  'before',
  'after',
  'details',
  'ip',
  'user_agent',
  'request_id',
] as const satisfies readonly (keyof ActivityRow)[];

/** The columns of an {@link ActivityRow}, for a select list; with a table's alias where the query has several. */
export function activityColumns(alias?: string): string {
  const of = (name: string): string => (alias === undefined ? name : `${alias}.${name}`);
  // As text: 64 bits are more than a number holds, and a host may have told the driver to make one of them.
  return COLUMN_NAMES.map((name) => (name === 'xid' ? `${of(name)}::text as xid` : of(name))).join(', ');
}

export function toActivity(row: ActivityRow, manager: EntityManager): NestAuthActivity {
  const activity = Object.assign(new NestAuthActivity(), {
    id: row.id,
    occurredAt: row.occurred_at,
    xid: row.xid,
    type: row.type,
    actorType: row.actor_type,
    actorId: row.actor_id,
    impersonatorId: row.impersonator_id,
    userId: row.user_id,
    tenantId: row.tenant_id,
    subjectType: row.subject_type,
    subjectId: row.subject_id,
    before: row.before,
    after: row.after,
    details: row.details,
    ip: row.ip,
    userAgent: row.user_agent,
    requestId: row.request_id,
  });
  return rememberOrigin(activity, manager);
}

/** An activity that tells of no statement of ours. */
export interface NewActivity {
  readonly type: string;
  readonly userId: string | null;
  readonly tenantId: string | null;
  readonly subjectType: string;
  readonly subjectId: string | null;
  readonly before: object | null;
  readonly after: object | null;
  readonly details: object | null;
}

const INSERT: Statement<ActivityRow> = audited(
  'log_activity',
  `${activityInsert({
    type: '$1::text',
    from: '(select 1) as once',
    userId: '$2::uuid',
    tenantId: '$3::uuid',
    subjectType: '$4::text',
    subjectId: '$5::uuid',
    before: '$6::jsonb',
    after: '$7::jsonb',
    details: '$8::jsonb',
  })}
  returning ${activityColumns()}`,
  returnsRows,
);

export function insertActivity(manager: EntityManager, activity: NewActivity): Promise<ActivityRow> {
  const { type, userId, tenantId, subjectType, subjectId, before, after, details } = activity;
  const json = (value: object | null): string | null => (value === null ? null : JSON.stringify(value));
  return executeOne(manager, INSERT, [
    type,
    userId,
    tenantId,
    subjectType,
    subjectId,
    json(before),
    json(after),
    json(details),
  ]);
}

/** What was committed when somebody looked, and what their own transaction had written. */
export interface Moment {
  readonly snapshot: string;
  readonly own: string | null;
}

const NOW: Statement<Moment> = {
  text: `select pg_current_snapshot()::text as snapshot, pg_current_xact_id_if_assigned()::text as own`,
};

export function readMoment(manager: EntityManager): Promise<Moment> {
  return executeOne(manager, NOW);
}

export interface ActivityWindow {
  readonly limit: number;
  /** The last one of the page before. */
  readonly after: { readonly at: string; readonly id: string } | null;
  /** Nothing that came later. */
  readonly asOf?: Moment;
}

/** Planned with the values at hand, so that each filter finds its index: not prepared by name. */
export function listActivities(
  manager: EntityManager,
  filter: ActivityFilter,
  { limit, after, asOf }: ActivityWindow,
): Promise<ActivityRow[]> {
  const values: unknown[] = [];
  const bind = (value: unknown): string => `$${values.push(value)}`;
  const conditions = conditionsOf(filter, bind);
  if (after !== null) {
    const at = `${bind(after.at)}::timestamptz`;
    // The second condition leaves out the months that follow; a comparison of rows does not.
    conditions.push(`(occurred_at, id) < (${at}, ${bind(after.id)}::uuid) and occurred_at <= ${at}`);
  }
  if (asOf !== undefined) {
    const seen = `pg_visible_in_snapshot(xid::text::xid8, ${bind(asOf.snapshot)}::pg_snapshot)`;
    conditions.push(asOf.own === null ? seen : `(${seen} or xid = ${bind(asOf.own)}::bigint)`);
  }
  const where = conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`;
  const text = `select ${activityColumns()} from nest_auth_activities ${where}
    order by occurred_at desc, id desc limit ${bind(limit)}`;
  return execute(manager, { text }, values);
}

function conditionsOf(filter: ActivityFilter, bind: (value: unknown) => string): string[] {
  const { userId, tenantId, type, actorId, actorType, from, to } = filter;
  const types = type === undefined ? [] : [type].flat();
  return [
    ...(userId === undefined ? [] : [`user_id = ${bind(userId)}::uuid`]),
    ...(tenantId === undefined ? [] : [`tenant_id = ${bind(tenantId)}::uuid`]),
    ...(types.length === 1 ? [`type = ${bind(types[0])}`] : []),
    ...(types.length > 1 ? [`type = any(${bind(types)}::text[])`] : []),
    ...(actorId === undefined ? [] : [`actor_id = ${bind(actorId)}`]),
    ...(actorType === undefined ? [] : [`actor_type = ${bind(actorType)}`]),
    ...(from === undefined ? [] : [`occurred_at >= ${bind(from.toISOString())}::timestamptz`]),
    ...(to === undefined ? [] : [`occurred_at < ${bind(to.toISOString())}::timestamptz`]),
  ];
}
