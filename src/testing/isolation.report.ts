/** One way in which a tenant could reach another one's rows. */
export interface IsolationLeak {
  readonly entity: string;
  /** What was tried. */
  readonly attempt: string;
  /** What came of it. */
  readonly leak: string;
}

/** What `expectTenantIsolation` tried. */
export interface IsolationReport {
  readonly attempts: number;
  readonly entities: readonly string[];
  readonly seed: number;
}

/** Tenants are not kept apart; the message lists how, `leaks` has them all. */
export class IsolationError extends Error {
  override readonly name = 'IsolationError';

  constructor(
    message: string,
    readonly leaks: readonly IsolationLeak[],
    readonly seed: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The message of a failure. */
export function describeLeaks(leaks: readonly IsolationLeak[], seed: number): string {
  const lines = leaks.slice(0, 20).map(({ entity, attempt: tried, leak }) => `  ${entity}: ${tried}: ${leak}`);
  const more = leaks.length > lines.length ? [`  … and ${leaks.length - lines.length} more`] : [];
  return [`Tenants are not kept apart (seed ${seed}):`, ...lines, ...more].join('\n');
}
