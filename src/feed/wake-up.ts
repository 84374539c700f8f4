/** One sleeper. */
export interface Call {
  /** Resolves when somebody rings, after `ms`, or when `signal` is aborted; true when somebody has rung. */
  orAfter(ms: number, signal: AbortSignal): Promise<boolean>;
  /** To be called at the end, or the bell would keep the sleeper for ever. */
  forget(): void;
}

/** Tells sleeping workers that there may be something to read. Only a hint: they look by themselves, too. */
export class WakeUp {
  readonly #sleepers = new Set<() => void>();

  ring(): void {
    for (const wake of this.#sleepers) wake();
  }

  /** What rings from now on is heard, also before `orAfter` is called. */
  listen(): Call {
    let hasRung = false;
    let wake: () => void = () => undefined;
    const woken = new Promise<void>((resolve) => (wake = resolve));
    const ring = (): void => {
      hasRung = true;
      wake();
    };
    this.#sleepers.add(ring);
    return {
      forget: () => this.#sleepers.delete(ring),
      orAfter: async (ms, signal) => {
        let timer: NodeJS.Timeout | undefined;
        const timedOut = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
        const stop = (): void => wake();
        if (signal.aborted) stop();
        signal.addEventListener('abort', stop);
        await Promise.race([woken, timedOut]);
        signal.removeEventListener('abort', stop);
        clearTimeout(timer);
        return hasRung;
      },
    };
  }
}
