import { InputIssues } from '../errors/input.js';
import { MAX_CHUNK_SIZE, MAX_GRACE } from './lifecycle.settings.js';
import type { LifecycleBatchOptions, LifecycleGracePeriods } from './lifecycle.types.js';

const BATCH_FIELDS = ['dryRun', 'chunkSize', 'after', 'signal', 'onProgress', 'onChunk', 'sampleSize'] as const;
export const GRACE_FIELDS = ['pendingDays', 'inactiveMonths', 'disableMonths', 'deletionDays'] as const;

const MAX_REASON_LENGTH = 500;
const MAX_SAMPLE = 10_000;

/** Refuses an input that is not one id with its grace period. */
export function checkGraceInput(input: { readonly id?: unknown }, field: string, unit: 'days' | 'months'): void {
  const issues = new InputIssues();
  issues.fields(input, ['id', field]);
  issues.uuid('id', input.id);
  checkGrace(issues, field, (input as Record<string, unknown>)[field], unit);
  issues.refuse('The user cannot be moved');
}

export function checkScheduleOptions(options: object): void {
  const issues = new InputIssues();
  issues.fields(options, ['gracePeriodInDays']);
  checkGrace(issues, 'gracePeriodInDays', (options as Record<string, unknown>)['gracePeriodInDays'], 'days');
  issues.refuse('The deletion cannot be scheduled');
}

export function checkReason(reason: unknown): void {
  const issues = new InputIssues();
  issues.text('reason', reason, { max: MAX_REASON_LENGTH });
  issues.refuse('The legal hold cannot be set');
}

/** Refuses wrong options of a batch; `graces` are those that this batch has besides. */
export function checkBatchOptions(
  options: LifecycleBatchOptions,
  graces: Readonly<Record<string, 'days' | 'months'>>,
): void {
  const issues = new InputIssues();
  issues.fields(options, [...BATCH_FIELDS, ...Object.keys(graces)]);
  const { dryRun, chunkSize, sampleSize, after, signal, onProgress, onChunk } = options;
  if (dryRun !== undefined) issues.boolean('dryRun', dryRun);
  if (chunkSize !== undefined && !isWhole(chunkSize, 1, MAX_CHUNK_SIZE)) {
    issues.add('chunkSize', `must be a whole number, 1 to ${MAX_CHUNK_SIZE}`);
  }
  if (sampleSize !== undefined && !isWhole(sampleSize, 0, MAX_SAMPLE)) {
    issues.add('sampleSize', `must be a whole number, 0 to ${MAX_SAMPLE}`);
  }
  if (after !== undefined && !isCursor(after)) issues.add('after', 'must be the cursor of a run of this batch');
  if (signal !== undefined && !(signal instanceof AbortSignal)) issues.add('signal', 'must be an AbortSignal');
  for (const [name, callback] of Object.entries({ onProgress, onChunk })) {
    if (callback !== undefined && typeof callback !== 'function') issues.add(name, 'must be a function');
  }
  for (const [name, unit] of Object.entries(graces)) {
    checkGrace(issues, name, (options as Record<string, unknown>)[name], unit);
  }
  issues.refuse('The batch cannot run');
}

/** Refuses what cannot be the grace periods of a tenant. */
export function checkGracePeriods(periods: LifecycleGracePeriods): void {
  const issues = new InputIssues();
  issues.fields(periods, GRACE_FIELDS);
  for (const name of GRACE_FIELDS) checkGrace(issues, name, periods[name], unitOf(name));
  issues.refuse('The grace periods cannot be set');
}

export function unitOf(name: (typeof GRACE_FIELDS)[number]): 'days' | 'months' {
  return name.endsWith('Days') ? 'days' : 'months';
}

function checkGrace(issues: InputIssues, path: string, value: unknown, unit: 'days' | 'months'): void {
  if (value === undefined || isWhole(value, 0, MAX_GRACE[unit])) return;
  issues.add(path, `must be a whole number of ${unit}, 0 to ${MAX_GRACE[unit]}`);
}

function isWhole(value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}

function isCursor(value: unknown): boolean {
  return typeof value === 'string' && /^\d:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value);
}
