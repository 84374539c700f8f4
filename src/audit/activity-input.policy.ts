import { checkMetadata, InputIssues } from '../errors/input.js';
import {
  ACTIVITY_EXPORT_FORMATS,
  type ActivityFilter,
  type ExportActivitiesOptions,
  type LogActivityInput,
  UserActivityTypeEnum,
} from './activity-log.types.js';
import type { NewActivity } from './activity.queries.js';
import { ActorTypeEnum } from './activity.types.js';
import { redact } from './redaction.policy.js';

const INPUT_FIELDS = ['type', 'userId', 'tenantId', 'subjectType', 'subjectId', 'before', 'after', 'details'] as const;
const FILTER_FIELDS = ['userId', 'tenantId', 'type', 'actorId', 'actorType', 'from', 'to'] as const;
const TYPE = /^[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)+$/;
const SUBJECT = /^[a-z][a-z0-9_-]*$/;
const MAX_TYPE = 100;
const MAX_TYPES = 50;
const OWN_TYPES: readonly string[] = Object.values(UserActivityTypeEnum);
const ACTOR_TYPES: readonly unknown[] = Object.values(ActorTypeEnum);

/** What is to be written; refuses what the log could not keep, or what only the package itself may say. */
export function readActivity(input: LogActivityInput): NewActivity {
  const issues = new InputIssues();
  issues.fields(input, INPUT_FIELDS);
  const { type, userId, tenantId, subjectType, subjectId, before, after, details } = input;
  checkType(issues, type);
  for (const [path, id] of Object.entries({ userId, tenantId, subjectId })) {
    if (path in input && id !== undefined) issues.uuid(path, id);
  }
  if (subjectType === undefined) {
    if (userId === undefined) issues.add('subjectType', 'must say what it is about when there is no userId');
    if (subjectId !== undefined) issues.add('subjectType', 'must say what subjectId is the id of');
  } else if (typeof subjectType !== 'string' || subjectType.length > MAX_TYPE || !SUBJECT.test(subjectType)) {
    issues.add('subjectType', 'must be a lower-case name, such as invoice');
  }
  for (const [path, value] of Object.entries({ before, after, details })) {
    if (value !== undefined) checkMetadata(issues, path, value);
  }
  issues.refuse('The activity cannot be logged');
  return {
    type,
    userId: userId ?? null,
    tenantId: tenantId ?? null,
    subjectType: subjectType ?? 'user',
    subjectId: subjectId ?? (subjectType === undefined || subjectType === 'user' ? (userId ?? null) : null),
    before: before === undefined ? null : redact(before),
    after: after === undefined ? null : redact(after),
    details: details === undefined ? null : redact(details),
  };
}

function checkType(issues: InputIssues, type: unknown): void {
  if (typeof type !== 'string' || type.length > MAX_TYPE || !TYPE.test(type)) {
    return issues.add('type', 'must be a dotted name of lower-case letters, digits, _ and -, such as crm.note_added');
  }
  if (type.startsWith('nest_auth.') && !OWN_TYPES.includes(type)) {
    issues.add(
      'type',
      'is a name that only the package itself writes; those under nest_auth. are UserActivityTypeEnum',
    );
  }
}

/** Refuses a filter that would be ignored, or that could not match for another reason than that nothing does. */
export function checkActivityFilter(filter: ActivityFilter): void {
  const issues = new InputIssues();
  issues.fields(filter, FILTER_FIELDS);
  const { userId, tenantId, type, actorId, actorType, from, to } = filter;
  // Present but empty is a lost variable, which must not widen the list.
  if ('userId' in filter) issues.uuid('userId', userId);
  if ('tenantId' in filter) issues.uuid('tenantId', tenantId);
  if ('actorId' in filter) issues.text('actorId', actorId, { max: 200 });
  if ('type' in filter) checkTypes(issues, type);
  if (actorType !== undefined && !ACTOR_TYPES.includes(actorType)) {
    issues.add('actorType', `must be one of ${ACTOR_TYPES.join(', ')}`);
  }
  for (const [path, date] of Object.entries({ from, to })) {
    if (date !== undefined && !(date instanceof Date && !Number.isNaN(date.getTime()))) {
      issues.add(path, 'must be a Date');
    }
  }
  issues.refuse('The activities cannot be listed');
}

function checkTypes(issues: InputIssues, type: unknown): void {
  const types: readonly unknown[] = Array.isArray(type) ? type : [type];
  if (types.length === 0 || types.length > MAX_TYPES) issues.add('type', `must be 1 to ${MAX_TYPES} names`);
  for (const one of types) issues.text('type', one, { max: MAX_TYPE });
}

export function checkExport(options: ExportActivitiesOptions): void {
  const issues = new InputIssues();
  issues.fields(options, ['format']);
  if (!ACTIVITY_EXPORT_FORMATS.includes(options.format)) {
    issues.add('format', `must be one of ${ACTIVITY_EXPORT_FORMATS.join(', ')}`);
  }
  issues.refuse('The activities cannot be exported');
}
