import type { LinkKind, NotificationSender } from './notification.types.js';

/** Pages of the host by the message that leads to them; `false` for a message that this application never asks for. */
export interface DeliveryLinks {
  /**
   * An absolute `https:` address with `{token}` in it, best behind a `#`: what stands there reaches no server, no log
   * and no other site. `http:` to this machine itself only.
   */
  readonly invitation?: string | false;
  readonly emailVerification?: string | false;
  readonly emailChange?: string | false;
  readonly passwordReset?: string | false;
}

export interface DeliveryOptions {
  /** Who sends the messages. @default none: nothing is sent */
  readonly sender?: NotificationSender;
  /** Needed with `sender` as soon as `secrets.keys` makes tokens: each address, or `false`. */
  readonly links?: DeliveryLinks;
  /** Milliseconds for one attempt at one message, 100 to 600000. @default 30000 */
  readonly timeoutMs?: number;
  /** Attempts at one message before it becomes a dead letter and the next one follows, 1 to 1000. @default 10 */
  readonly maxAttempts?: number;
  /** Milliseconds before the second attempt; doubled for each further one, at most an hour. @default 5000 */
  readonly backoffMs?: number;
  /** Where delivery begins that has never run: with what happens from now on, or with the oldest entry. @default 'now' */
  readonly startFrom?: 'now' | 'beginning';
  /** Whether this process sends; false in a web process beside a worker. @default true */
  readonly enabled?: boolean;
}

/** The option that holds the address for a kind of message. */
export const LINK_OPTIONS = {
  invitation: 'invitation',
  email_verification: 'emailVerification',
  email_change: 'emailChange',
  password_reset: 'passwordReset',
} as const satisfies Record<LinkKind, keyof DeliveryLinks>;
