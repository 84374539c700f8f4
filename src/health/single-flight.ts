/**
 * Work that is under way once at most, by name. Whoever asks again meanwhile gets the same answer: a probe that hangs
 * must not take one more connection every few seconds.
 */
export class SingleFlight {
  readonly #flying = new Map<string, Promise<unknown>>();

  run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const flying = this.#flying.get(name);
    if (flying !== undefined) return flying as Promise<T>;
    const started = work().finally(() => this.#flying.delete(name));
    this.#flying.set(name, started);
    return started;
  }
}

export const LATE = Symbol('late');

/** What `work` answers, or {@link LATE} when it has not after `ms` milliseconds. Rejects as `work` does. */
export async function within<T>(ms: number, work: Promise<T>): Promise<T | typeof LATE> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<typeof LATE>((resolve) => {
    timer = setTimeout(() => resolve(LATE), ms);
  });
  // Whoever has stopped waiting must not leave a rejection that nobody handles.
  work.catch(() => undefined);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
