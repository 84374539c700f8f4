/** One sleeper. */
export interface Call {
  /** Resolves when somebody rings, after `ms`, or when `signal` is aborted. */
  orAfter(ms: number, signal: AbortSignal): Promise<void>;
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
    let wake: () => void = () => undefined;
    const rung = new Promise<void>((resolve) => (wake = resolve));
    this.#sleepers.add(wake);
    return {
      forget: () => this.#sleepers.delete(wake),
      orAfter: async (ms, signal) => {
        let timer: NodeJS.Timeout | undefined;
        const timedOut = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
        const stop = (): void => wake();
        if (signal.aborted) stop();
        signal.addEventListener('abort', stop);
        await Promise.race([rung, timedOut]);
        signal.removeEventListener('abort', stop);
        clearTimeout(timer);
      },
    };
  }
}
