import type {
  LifecycleBatchOptions,
  LifecycleBatchResult,
  LifecycleFailed,
  LifecycleSkipped,
} from './lifecycle.types.js';

const DEFAULT_SAMPLE = 100;

/** Counts what a batch does, keeps a sample, and tells the caller of each chunk. Bounded. */
export class BatchTally {
  readonly #sample: number;
  readonly #skipped: LifecycleSkipped[] = [];
  readonly #failed: LifecycleFailed[] = [];
  readonly #counts = { processed: 0, skipped: 0, failed: 0, scanned: 0 };
  #chunk = { processed: [] as string[], skipped: [] as LifecycleSkipped[], failed: [] as LifecycleFailed[] };
  #cursor: string | null = null;

  constructor(private readonly options: LifecycleBatchOptions) {
    this.#sample = options.sampleSize ?? DEFAULT_SAMPLE;
  }

  processed(id: string): void {
    this.#counts.processed += 1;
    this.#chunk.processed.push(id);
  }

  skipped(one: LifecycleSkipped): void {
    this.#counts.skipped += 1;
    this.#chunk.skipped.push(one);
    if (this.#skipped.length < this.#sample) this.#skipped.push(one);
  }

  failed(one: LifecycleFailed): void {
    this.#counts.failed += 1;
    this.#chunk.failed.push(one);
    if (this.#failed.length < this.#sample) this.#failed.push(one);
  }

  /** A chunk, or a part of the users that were looked at, is done with. */
  async finish(scanned: number, cursor: string): Promise<void> {
    const chunk = this.#chunk;
    this.#chunk = { processed: [], skipped: [], failed: [] };
    this.#counts.scanned += scanned;
    this.#cursor = cursor;
    if (chunk.processed.length + chunk.skipped.length + chunk.failed.length > 0) await this.options.onChunk?.(chunk);
    await this.options.onProgress?.({ ...this.#counts, cursor });
  }

  result(isDone: boolean): LifecycleBatchResult {
    const { processed, skipped, failed, scanned } = this.#counts;
    return {
      processed,
      skipped: this.#skipped,
      skippedCount: skipped,
      failed: this.#failed,
      failedCount: failed,
      scanned,
      cursor: isDone ? null : (this.#cursor ?? this.options.after ?? null),
    };
  }
}
