import type { EntityManager } from 'typeorm';
import { InputIssues } from '../errors/input.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { assertOwnsLog } from './activity-ground.queries.js';
import { ACTIVITIES_DROPPED } from './activity-log.types.js';
import { expired, missingMonths, monthOf, overlaps, suffixOf } from './activity-partitions.policy.js';
import {
  attachPartition,
  claimPartitions,
  createPartition,
  detachDefault,
  dropPartition,
  isSealed,
  listPartitions,
  setLockTimeout,
  spanOfDefault,
} from './activity-partitions.queries.js';
import type {
  ActivityPartition,
  MaintainPartitionsOptions,
  MaintainPartitionsResult,
} from './activity-partitions.types.js';
import { insertActivity } from './activity.queries.js';

const DEFAULTS = { monthsAhead: 3, dryRun: false, lockTimeoutMs: 2_000 } as const;
const MOST_MONTHS = 1_200;

type Ground = Awaited<ReturnType<typeof assertOwnsLog>>;

/** What became of the activities in the default partition, or the span in which they keep partitions from being made. */
interface Adoption {
  readonly adopted: ActivityPartition | null;
  readonly block: ActivityPartition | null;
}

/**
 * One run of maintenance: what the default partition holds, then what is missing, then what is too old. Each change is a
 * transaction of its own, unless the caller has one, so that locks are short and what is done stays done.
 */
export class PartitionMaintenance {
  readonly #options: MaintainPartitionsOptions & typeof DEFAULTS;

  constructor(
    private readonly transactions: TransactionHost,
    private readonly manager: EntityManager | undefined,
    options: MaintainPartitionsOptions,
  ) {
    this.#options = { ...DEFAULTS, ...options } as MaintainPartitionsOptions & typeof DEFAULTS;
    checkOptions(this.#options);
  }

  async run(): Promise<MaintainPartitionsResult> {
    const { monthsAhead, retentionMonths, dryRun } = this.#options;
    const ground = await this.#step((m) => assertOwnsLog(m));
    const { adopted, block } = await this.#step((m) => this.#adopt(m, ground));
    const { months } = await this.#step((m) => listPartitions(m));
    // In a rehearsal nothing was adopted, and yet its months are not missing.
    const missing = missingMonths(adopted === null ? months : [...months, adopted], ground.now, monthsAhead);
    const created: ActivityPartition[] = [];
    const blocked: ActivityPartition[] = [];
    for (const month of missing) {
      const partition = { name: `${ground.schema}.nest_auth_activities_${suffixOf(month)}`, ...month };
      if (block !== null && overlaps(block, month)) blocked.push(partition);
      else if (await this.#step((m) => this.#create(m, ground, partition))) created.push(partition);
    }
    const old = retentionMonths === undefined ? [] : expired(months, ground.now, retentionMonths);
    return { created, adopted, ...(await this.#dropAll(old)), blocked, dryRun };
  }

  async #dropAll(old: readonly ActivityPartition[]): Promise<Pick<MaintainPartitionsResult, 'dropped' | 'kept'>> {
    const outcomes: { partition: ActivityPartition; outcome: string }[] = [];
    for (const partition of old)
      outcomes.push({ partition, outcome: await this.#step((m) => this.#drop(m, partition)) });
    const which = (wanted: 'dropped' | 'kept'): ActivityPartition[] =>
      outcomes.filter(({ outcome }) => outcome === wanted).map(({ partition }) => partition);
    return { dropped: which('dropped'), kept: which('kept') };
  }

  /** A transaction, with a limit for locks that is taken back where it is the caller's. */
  #step<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return this.transactions.atomic(this.manager, async (manager) => {
      const before = await setLockTimeout(manager, `${this.#options.lockTimeoutMs}ms`);
      const result = await work(manager);
      await setLockTimeout(manager, before);
      return result;
    });
  }

  /**
   * PostgreSQL makes no partition for a month of which the default one has rows, and rows are not moved: the default
   * partition itself becomes that of its months, and an empty one takes its place.
   */
  async #adopt(manager: EntityManager, { schema, protected: isProtected }: Ground): Promise<Adoption> {
    await claimPartitions(manager);
    const { months, defaultName } = await listPartitions(manager);
    const span = defaultName === null ? null : await spanOfDefault(manager, defaultName);
    if (defaultName === null || span === null) return { adopted: null, block: null };
    const [from, to] = [monthOf(span.first), monthOf(span.last, 1)];
    const name = `nest_auth_activities_${suffixOf({ from, to })}`;
    const adopted = { name: `${schema}.${name}`, from, to };
    if (months.some((month) => overlaps(month, adopted))) return { adopted: null, block: adopted };
    if (!this.#options.dryRun) {
      await detachDefault(manager, defaultName, name);
      await attachPartition(manager, { ...adopted, isProtected });
      await createPartition(manager, { name: `${schema}.nest_auth_activities_default`, isProtected });
    }
    return { adopted, block: null };
  }

  /** False when another process has been here since. */
  async #create(
    manager: EntityManager,
    { protected: isProtected }: Ground,
    partition: ActivityPartition,
  ): Promise<boolean> {
    await claimPartitions(manager);
    const { months } = await listPartitions(manager);
    if (months.some((month) => overlaps(month, partition))) return false;
    if (!this.#options.dryRun) await createPartition(manager, { ...partition, isProtected });
    return true;
  }

  async #drop(manager: EntityManager, partition: ActivityPartition): Promise<'dropped' | 'kept' | 'gone'> {
    await claimPartitions(manager);
    const { months } = await listPartitions(manager);
    if (!months.some(({ name }) => name === partition.name)) return 'gone';
    if (!(await isSealed(manager, partition.name))) return 'kept';
    if (!this.#options.dryRun) {
      await dropPartition(manager, partition.name);
      await insertActivity(manager, tellOf(partition));
    }
    return 'dropped';
  }
}

/** The log tells by itself what is gone on purpose: a verification compares with it. */
function tellOf({ name, from, to }: ActivityPartition): Parameters<typeof insertActivity>[1] {
  return {
    type: ACTIVITIES_DROPPED,
    userId: null,
    tenantId: null,
    subjectType: 'activities',
    subjectId: null,
    before: null,
    after: null,
    details: { partition: name, from: from.toISOString(), before: to.toISOString() },
  };
}

function checkOptions(options: MaintainPartitionsOptions): void {
  const issues = new InputIssues();
  issues.fields(options, ['monthsAhead', 'retentionMonths', 'dryRun', 'lockTimeoutMs']);
  const { monthsAhead, retentionMonths, dryRun, lockTimeoutMs } = options;
  for (const [path, value, least, most] of [
    ['monthsAhead', monthsAhead, 1, MOST_MONTHS],
    ['retentionMonths', retentionMonths, 1, MOST_MONTHS],
    ['lockTimeoutMs', lockTimeoutMs, 1, 3_600_000],
  ] as const) {
    if (value === undefined && path === 'retentionMonths' && !('retentionMonths' in options)) continue;
    if (value === undefined || !Number.isInteger(value) || value < least || value > most) {
      issues.add(path, `must be a whole number, ${least} to ${most}`);
    }
  }
  issues.boolean('dryRun', dryRun);
  issues.refuse('The partitions cannot be looked after');
}
