import type { EntityManager } from 'typeorm';
import { InputIssues } from '../errors/input.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { assertSeesAll } from './activity-ground.queries.js';
import { sealHash } from './activity-seal.policy.js';
import { digestNextRun, findLastSeal, insertSeal, type Seal, type SealableRun } from './activity-seal.queries.js';
import type { SealActivitiesOptions, SealActivitiesResult, SealHead } from './activity-seal.types.js';

const DEFAULT_BATCH = 5_000;
const MAX_BATCH = 100_000;
const DEFAULT_SEALS = 1_000;

/** Precedes every activity. */
export const BEGINNING = { xid: '0', id: '00000000-0000-0000-0000-000000000000' } as const;

/**
 * Seals what is not sealed yet, batch by batch. Whoever puts the next position into the table first has sealed it: two
 * processes at once lose nothing but the work of one, and one that is killed leaves nothing behind.
 */
export async function sealActivities(
  manager: EntityManager,
  options: SealActivitiesOptions,
  keys: readonly string[],
): Promise<SealActivitiesResult> {
  const { batchSize = DEFAULT_BATCH, maxSeals = DEFAULT_SEALS } = options;
  checkOptions(options, batchSize, maxSeals);
  await assertSeesAll(manager);
  let last = await findLastSeal(manager);
  if (last?.isKeyed === true && keys.length === 0) throw keyMissing(last.position);
  let activities = 0;
  for (let seals = 0; ; seals += 1) {
    if (seals === maxSeals) return { seals, activities, head: headOf(last), isComplete: false };
    const run = await digestNextRun(manager, last === null ? BEGINNING : { xid: last.toXid, id: last.toId }, batchSize);
    if (last !== null && BigInt(run.next_xid) <= BigInt(last.toXid)) throw restored();
    const seal = sealOf(run, last, keys[0]);
    if (seal === null) return { seals, activities, head: headOf(last), isComplete: true };
    if (!(await insertSeal(manager, seal))) return { seals, activities, head: headOf(last), isComplete: false };
    activities += seal.activities;
    last = seal;
  }
}

function sealOf(run: SealableRun, last: Seal | null, key: string | undefined): Seal | null {
  const { month, from_xid: fromXid, from_id: fromId, to_xid: toXid, to_id: toId, digest } = run;
  if (month === null || fromXid === null || fromId === null || toXid === null || toId === null || digest === null) {
    return null;
  }
  const content = {
    position: (last?.position ?? 0) + 1,
    month,
    fromXid,
    fromId,
    toXid,
    toId,
    activities: run.activities,
    digest,
    previousHash: last?.hash ?? null,
    isKeyed: key !== undefined,
    sealedAt: new Date(Number(run.now_ms)),
  };
  return { ...content, hash: sealHash(content, key) };
}

export function headOf(seal: Seal | null): SealHead | null {
  return seal === null ? null : { position: seal.position, hash: seal.hash };
}

/** Without the key the chain would go on in a way that anybody could have made. */
export function keyMissing(position: number): NestAuthError {
  return new NestAuthError(
    'INVALID_OPTIONS',
    `Seal ${position} of the activity log was made with a key; set audit.sealKeys`,
    { details: { option: 'audit.sealKeys' } },
  );
}

/** A server that counts from the start again would give new activities a place before the old ones. */
function restored(): NestAuthError {
  return new NestAuthError(
    'ACTIVITY_LOG_RESTORED',
    'The transaction ids of this server are behind those in the activity log: it was restored from a dump; see docs/audit.md',
  );
}

function checkOptions(options: SealActivitiesOptions, batchSize: number, maxSeals: number): void {
  const issues = new InputIssues();
  issues.fields(options, ['batchSize', 'maxSeals']);
  for (const [path, value, max] of [
    ['batchSize', batchSize, MAX_BATCH],
    ['maxSeals', maxSeals, Number.MAX_SAFE_INTEGER],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < 1 || value > max) {
      issues.add(path, `must be a whole number, 1 to ${max}`);
    }
  }
  issues.refuse('The activities cannot be sealed');
}
