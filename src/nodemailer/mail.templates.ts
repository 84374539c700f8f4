import type { NotificationKind, NotificationOf } from '../delivery/notification.types.js';

/** A mail, without what is around it. */
export interface MailContent {
  /** One line; line breaks become spaces. */
  readonly subject: string;
  readonly text: string;
  /** Whatever is put into it must be escaped. @default none: the mail is plain text */
  readonly html?: string;
}

/** Makes the mail of one kind. */
export type MailTemplate<Kind extends NotificationKind> = (
  notification: NotificationOf<Kind>,
) => MailContent | Promise<MailContent>;

export type MailTemplates = { readonly [Kind in NotificationKind]?: MailTemplate<Kind> };
