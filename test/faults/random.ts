/** The seed of this run, from the environment: a failing test is run again with the same one. */
export const SEED = process.env['FAULT_SEED'] ?? '0';

/** Numbers that are the same for the same seed and label, whichever tests run beside. */
export class Random {
  #state: number;

  constructor(label: string) {
    this.#state = 2_166_136_261;
    for (const char of `${SEED} ${label}`) {
      this.#state = Math.imul(this.#state ^ (char.codePointAt(0) ?? 0), 16_777_619);
    }
  }

  /** 0 <= x < 1. Mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d_2b_79_f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** From `low` to `high`, both included. */
  integer(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  pick<T>(choices: readonly T[]): T {
    const choice = choices[this.integer(0, choices.length - 1)];
    if (choice === undefined) throw new Error('nothing to pick from');
    return choice;
  }

  shuffle<T>(items: readonly T[]): T[] {
    return items
      .map((item) => ({ item, order: this.next() }))
      .toSorted((a, b) => a.order - b.order)
      .map(({ item }) => item);
  }
}
