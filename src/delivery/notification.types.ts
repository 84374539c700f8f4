import type { EntityManager } from 'typeorm';
import type { NestAuthEventName } from '../events/nest-auth.events.js';
import type { IdentityEvent } from '../feed/feed.types.js';

/** How a message goes. */
export type NotificationChannel = 'email' | 'sms';

/** A message with a link: whoever follows it has the address. */
export type LinkKind = 'invitation' | 'email_verification' | 'email_change' | 'password_reset';

/** A message with a code to type. */
export type CodeKind =
  | 'email_verification_code'
  | 'phone_verification_code'
  | 'phone_change_code'
  | 'second_factor_code';

/** A message that something was done, for whom it might be news. */
export type NoticeKind =
  | 'email_changed'
  | 'phone_changed'
  | 'password_changed'
  | 'second_factor_enabled'
  | 'second_factor_disabled'
  | 'recovery_codes_replaced'
  | 'recovery_code_used'
  | 'trusted_device_added';

interface Addressed {
  readonly channel: NotificationChannel;
  /** The address that the event or the token carries; never the one that the user has by now. */
  readonly to: string;
  /** Null for somebody who is no user yet. */
  readonly userId: string | null;
  readonly tenantId: string | null;
}

/** With a link to follow. */
export interface LinkDraft extends Addressed {
  readonly kind: LinkKind;
  readonly token: string;
  readonly expiresAt: Date;
  /** Of an invitation. */
  readonly tenantName?: string;
}

/** With a code to type. */
interface CodeDraft extends Addressed {
  readonly kind: CodeKind;
  readonly code: string;
  readonly expiresAt: Date;
}

/** That something was done. */
interface NoticeDraft extends Addressed {
  readonly kind: NoticeKind;
  readonly occurredAt: Date;
}

/** What a room says is to be sent: without what delivery adds. */
export type DraftedNotification = LinkDraft | CodeDraft | NoticeDraft;

interface Identified {
  /** The same whenever a delivery is repeated: whoever sends may leave out what was sent before. */
  readonly id: string;
}

/** `url` is built from `delivery.links`, never from a request. */
export type LinkNotification = LinkDraft & Identified & { readonly url: string };
export type CodeNotification = CodeDraft & Identified;
export type NoticeNotification = NoticeDraft & Identified;

/** A message to be sent. */
export type Notification = LinkNotification | CodeNotification | NoticeNotification;

export type NotificationKind = LinkKind | CodeKind | NoticeKind;

/** The message of one kind. */
export type NotificationOf<Kind extends NotificationKind> = (Kind extends LinkKind
  ? LinkNotification
  : Kind extends CodeKind
    ? CodeNotification
    : NoticeNotification) & { readonly kind: Kind };

/** Sends messages: `smtpSender` of `nest-auth-identity/nodemailer`, or the host's own. */
export interface NotificationSender {
  /**
   * Sends one message. Called after COMMIT, outside of any transaction, at least once for each message, one after
   * another. When it rejects it is called again after a pause, with the same `id`, and the messages behind it wait;
   * `PostponedError` lets those pass, and after `UndeliverableError` there is no other attempt.
   *
   * @param options.signal - Aborted when it has taken `delivery.timeoutMs`; what is done then counts twice.
   */
  send(notification: Notification, options: { readonly signal: AbortSignal }): Promise<unknown>;
  /** Called when the application is closed, after the last message. */
  close?(): Promise<unknown> | void;
}

/** What a room tells about its events: whom to send what. */
export interface NotificationSource {
  readonly types: readonly NestAuthEventName[];
  /**
   * Reads what is needed on `manager`, outside of a transaction. Null when there is nothing to send any more: the token
   * was used, replaced or has expired.
   */
  draft(manager: EntityManager, event: IdentityEvent): Promise<DraftedNotification | null>;
}
