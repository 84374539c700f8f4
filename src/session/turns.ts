import { NestAuthError } from '../errors/nest-auth.error.js';

/** Lets those who want the same in one after another, in the order of arrival. Others do not wait for them. */
export class Turns {
  readonly #last = new Map<string, Promise<void>>();
  #waiting = 0;

  constructor(private readonly maxWaiting: number) {}

  /** Throws `HASHING_BUSY` when too many wait. */
  async take<T>(key: string, fn: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    let leave!: () => void;
    const turn = new Promise<void>((resolve) => (leave = resolve));
    if (before !== undefined && this.#waiting >= this.maxWaiting) {
      throw new NestAuthError('HASHING_BUSY', `${this.maxWaiting} sign-ins are already waiting for one another`);
    }
    this.#last.set(key, turn);
    try {
      if (before !== undefined) await this.#wait(before);
      return await fn();
    } finally {
      if (this.#last.get(key) === turn) this.#last.delete(key);
      leave();
    }
  }

  async #wait(before: Promise<void>): Promise<void> {
    this.#waiting += 1;
    await before;
    this.#waiting -= 1;
  }
}
