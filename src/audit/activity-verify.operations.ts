import type { EntityManager } from 'typeorm';
import { InputIssues } from '../errors/input.js';
import { assertSeesAll } from './activity-ground.queries.js';
import { BEGINNING, headOf, keyMissing } from './activity-seal.operations.js';
import { isSealedBy } from './activity-seal.policy.js';
import { digestRange, listSeals, readDroppedBefore, type Seal } from './activity-seal.queries.js';
import {
  type SealProblem,
  SealProblemEnum,
  type VerifyActivitiesOptions,
  type VerifyActivitiesResult,
} from './activity-seal.types.js';

/** Seals that are read, and kept in memory, at once. */
const SEALS_AT_ONCE = 200;

/** Computes the chain again, seal by seal, and stops at the first that does not hold. */
export async function verifyActivities(
  manager: EntityManager,
  options: VerifyActivitiesOptions,
  keys: readonly string[],
): Promise<VerifyActivitiesResult> {
  checkOptions(options);
  await assertSeesAll(manager);
  const walk = new ChainWalk(manager, options, keys, await readDroppedBefore(manager));
  const problem = (await headProblem(manager, options)) ?? (await walk.run());
  return { isIntact: problem === null, problem, ...walk.result };
}

/** The chain, from a seal to the last one. */
class ChainWalk {
  #previous: Seal | null = null;
  #seals = 0;
  #activities = 0;
  readonly #dropped = { months: new Set<string>(), activities: 0 };

  constructor(
    private readonly manager: EntityManager,
    private readonly options: VerifyActivitiesOptions,
    private readonly keys: readonly string[],
    /** The first month that is not dropped. */
    private readonly droppedBefore: string | null,
  ) {}

  get result(): Omit<VerifyActivitiesResult, 'isIntact' | 'problem'> {
    const { months, activities } = this.#dropped;
    return {
      seals: this.#seals,
      activities: this.#activities,
      dropped: { months: [...months], activities },
      head: this.#seals === 0 ? null : headOf(this.#previous),
    };
  }

  async run(): Promise<SealProblem | null> {
    const { from = 1, to = Number.MAX_SAFE_INTEGER } = this.options;
    if (from > 1) {
      const [before] = await listSeals(this.manager, from - 1, 1);
      if (before?.position !== from - 1) return missing(from - 1);
      this.#previous = before;
    }
    for (let next = from; next <= to;) {
      const seals = await listSeals(this.manager, next, SEALS_AT_ONCE);
      for (const seal of seals) {
        if (seal.position > to) return null;
        const problem = seal.position === next ? await this.#check(seal) : missing(next);
        if (problem !== null) return problem;
        this.#previous = seal;
        this.#seals += 1;
        this.options.onProgress?.({ position: seal.position, activities: this.#activities });
        next += 1;
      }
      if (seals.length < SEALS_AT_ONCE) return null;
    }
    return null;
  }

  async #check(seal: Seal): Promise<SealProblem | null> {
    const { position, month } = seal;
    const isUnkeyed = !seal.isKeyed && this.keys.length > 0;
    if (seal.isKeyed && this.keys.length === 0) throw keyMissing(position);
    if (isUnkeyed && position > (this.options.unkeyedUntil ?? 0)) {
      return { kind: SealProblemEnum.SEAL_UNKEYED, position, month };
    }
    const follows = seal.previousHash === (this.#previous?.hash ?? null);
    if (!follows || !isSealedBy(seal, seal.hash, this.keys)) {
      return { kind: SealProblemEnum.SEAL_CHANGED, position, month };
    }
    return this.#checkActivities(seal);
  }

  async #checkActivities(seal: Seal): Promise<SealProblem | null> {
    const { position, month, activities: sealed } = seal;
    const previous = this.#previous;
    const after = previous === null ? BEGINNING : { xid: previous.toXid, id: previous.toId };
    const { activities: found, digest } = await digestRange(this.manager, after, seal);
    if (found === 0 && this.droppedBefore !== null && month < this.droppedBefore) {
      this.#dropped.months.add(month);
      this.#dropped.activities += sealed;
      return null;
    }
    this.#activities += found === sealed && digest === seal.digest ? found : 0;
    if (found < sealed) return { kind: SealProblemEnum.ACTIVITIES_MISSING, position, month, sealed, found };
    if (found > sealed) return { kind: SealProblemEnum.ACTIVITIES_ADDED, position, month, sealed, found };
    return digest === seal.digest ? null : { kind: SealProblemEnum.ACTIVITIES_CHANGED, position, month, sealed, found };
  }
}

/** Whoever can write the whole database can also make another chain that holds; but not this one. */
async function headProblem(
  manager: EntityManager,
  { expectedHead }: VerifyActivitiesOptions,
): Promise<SealProblem | null> {
  if (expectedHead === undefined) return null;
  const { position, hash } = expectedHead;
  const [seal] = await listSeals(manager, position, 1);
  if (seal?.position !== position) return missing(position);
  return seal.hash === hash ? null : { kind: SealProblemEnum.HEAD_DIFFERS, position, month: seal.month };
}

function missing(position: number): SealProblem {
  return { kind: SealProblemEnum.SEAL_MISSING, position, month: null };
}

function checkOptions(options: VerifyActivitiesOptions): void {
  const issues = new InputIssues();
  issues.fields(options, ['from', 'to', 'expectedHead', 'unkeyedUntil', 'onProgress']);
  const { from, to, expectedHead, unkeyedUntil, onProgress } = options;
  const positions = { from, to, unkeyedUntil, 'expectedHead.position': expectedHead?.position };
  for (const [path, value] of Object.entries(positions)) {
    const least = path === 'unkeyedUntil' ? 0 : 1;
    if (value !== undefined && (!Number.isSafeInteger(value) || value < least)) {
      issues.add(path, `must be a whole number, at least ${least}`);
    }
  }
  if ('expectedHead' in options) {
    issues.fields(expectedHead, ['position', 'hash']);
    if (!Number.isSafeInteger(expectedHead?.position)) issues.add('expectedHead.position', 'must be a position');
    issues.text('expectedHead.hash', expectedHead?.hash, { max: 200 });
  }
  if (onProgress !== undefined && typeof onProgress !== 'function') issues.add('onProgress', 'must be a function');
  issues.refuse('The activities cannot be verified');
}
