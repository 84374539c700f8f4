import { NestAuthError } from '../errors/nest-auth.error.js';

/** What a source says of itself. Whoever asks for an application's health reads it: facts and names, never values. */
export interface HealthReading {
  readonly healthy: boolean;
  readonly [fact: string]: unknown;
}

/** Something whose state decides whether the application is well: the lag of a subscriber, the age of the last sweep. */
export interface HealthSource {
  /** What the reading is called in the answer. */
  readonly name: string;
  /** Asked for each health check, one at a time. Failing, or taking too long, is an answer: it is not healthy. */
  read(): HealthReading | Promise<HealthReading>;
}

/** What the answer holds anyway. */
const RESERVED = new Set(['pool', 'migrations', 'status']);

/** The sources of one application, for `NestAuthHealthIndicator` of `nest-auth-identity/health`. */
export class HealthSources {
  readonly #sources = new Map<string, HealthSource>();

  /** Adds a source under its name; the returned function takes it away again. */
  register(source: HealthSource): () => void {
    if (RESERVED.has(source.name) || this.#sources.has(source.name)) {
      throw new NestAuthError(
        'INVALID_OPTIONS',
        `There is a health source named ${source.name} already; choose another name`,
        {
          details: { option: 'name' },
        },
      );
    }
    this.#sources.set(source.name, source);
    return () => {
      if (this.#sources.get(source.name) === source) this.#sources.delete(source.name);
    };
  }

  /** In the order in which they were registered. */
  all(): HealthSource[] {
    return [...this.#sources.values()];
  }
}
