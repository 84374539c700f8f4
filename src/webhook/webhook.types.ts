/** An address that is told what happens. */
export interface WebhookOptions {
  /** Names the position in the log, as `webhook:<name>`: keep it when the address changes. */
  readonly name: string;
  /** `https:`; `http:` only with `allowPrivateAddresses`. */
  readonly url: string;
  /** Names of the events; `*` for all. */
  readonly types: readonly string[];
  /**
   * The secrets to sign with, as `whsec_` and base64 of at least 24 bytes. With several, each makes a signature: to
   * rotate, add the new one, let the receiver change over, remove the old one.
   */
  readonly secrets: readonly string[];
  /** Only events of this tenant. @default all */
  readonly tenantId?: string;
  /** Also addresses of the own network, such as 10.0.0.0/8 or localhost. @default false */
  readonly allowPrivateAddresses?: boolean;
  /** Milliseconds for one delivery. @default 10000 */
  readonly timeoutMs?: number;
  /** Deliveries of one event before it becomes a dead letter. @default 12 */
  readonly maxAttempts?: number;
  /** Milliseconds before the second attempt; doubled for each further one, at most an hour. @default 5000 */
  readonly backoffMs?: number;
  /** Where a webhook begins that has never run. @default 'now' */
  readonly startFrom?: 'now' | 'beginning';
}
