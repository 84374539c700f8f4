import type {
  CodeKind,
  CodeNotification,
  LinkKind,
  LinkNotification,
  NoticeKind,
  NoticeNotification,
  Notification,
  NotificationKind,
} from '../delivery/notification.types.js';
import { htmlPage, type Paragraph } from './html.policy.js';
import type { MailContent } from './mail.templates.js';
import { oneLine } from './mailbox.policy.js';

interface LinkWords {
  readonly subject: (name: string) => string;
  readonly lead: (name: string) => string;
  readonly button: string;
  readonly otherwise: string;
}

const NOTHING_HAPPENS = 'If you did not ask for this, ignore this message; nothing will happen.';

const LINKS: Readonly<Record<LinkKind, LinkWords>> = {
  invitation: {
    subject: (name) => `Invitation to ${name}`,
    lead: (name) => `You have been invited to join ${name}.`,
    button: 'Look at the invitation',
    otherwise: 'If you do not know what this is about, ignore this mail; nothing will happen.',
  },
  email_verification: {
    subject: () => 'Confirm your email address',
    lead: () => 'Please confirm that this email address is yours.',
    button: 'Confirm the address',
    otherwise: NOTHING_HAPPENS,
  },
  email_change: {
    subject: () => 'Confirm your new email address',
    lead: () => 'Please confirm that you want to use this email address for your account from now on.',
    button: 'Use this address',
    otherwise: 'If you did not ask for this, ignore this mail; nothing will change.',
  },
  password_reset: {
    subject: () => 'Choose a new password',
    lead: () => 'Somebody has asked for a new password for your account.',
    button: 'Choose a new password',
    otherwise: 'If that was not you, ignore this mail; your password stays as it is.',
  },
};

interface CodeWords {
  readonly purpose: string;
  readonly otherwise: string;
}

const CODES: Readonly<Record<CodeKind, CodeWords>> = {
  email_verification_code: { purpose: 'confirm your email address', otherwise: NOTHING_HAPPENS },
  phone_verification_code: { purpose: 'confirm your phone number', otherwise: NOTHING_HAPPENS },
  phone_change_code: { purpose: 'confirm your new phone number', otherwise: NOTHING_HAPPENS },
  second_factor_code: {
    purpose: 'finish signing in',
    otherwise: 'If you are not signing in, somebody else knows your password: choose a new one.',
  },
};

const NOTICES: Readonly<Record<NoticeKind, { readonly subject: string; readonly lead: string }>> = {
  email_changed: { subject: 'Your email address was changed', lead: 'The email address of your account was changed.' },
  phone_changed: { subject: 'Your phone number was changed', lead: 'The phone number of your account was changed.' },
  password_changed: { subject: 'Your password was changed', lead: 'The password of your account was changed.' },
  second_factor_enabled: {
    subject: 'Two-factor sign-in was turned on',
    lead: 'From now on, signing in to your account takes a second factor.',
  },
  second_factor_disabled: {
    subject: 'Two-factor sign-in was turned off',
    lead: 'Signing in to your account does not take a second factor any more.',
  },
  recovery_codes_replaced: {
    subject: 'Your recovery codes were replaced',
    lead: 'New recovery codes were made for your account. The ones you had before do not work any more.',
  },
  recovery_code_used: {
    subject: 'A recovery code was used',
    lead: 'One of your recovery codes was used for your account, and does not work any more.',
  },
  trusted_device_added: {
    subject: 'A trusted device was added',
    lead: 'A device was added to your account on which signing in does not take the second factor.',
  },
};

export const MAIL_KINDS: readonly NotificationKind[] = [
  ...Object.keys(LINKS),
  ...Object.keys(CODES),
  ...Object.keys(NOTICES),
] as NotificationKind[];

/** The mail for a message, in plain English. */
export function defaultMail(notification: Notification): MailContent {
  if ('url' in notification) return linkMail(notification);
  if ('code' in notification) return codeMail(notification);
  return noticeMail(notification);
}

function linkMail(notification: LinkNotification): MailContent {
  const { subject, lead, button, otherwise } = LINKS[notification.kind];
  const name = unlinked(notification.tenantName ?? 'an organisation');
  return mail(subject(name), [
    lead(name),
    { button, url: notification.url },
    `The link works once, until ${timeOf(notification.expiresAt)}.`,
    otherwise,
  ]);
}

function codeMail({ kind, code, expiresAt }: CodeNotification): MailContent {
  const { purpose, otherwise } = CODES[kind];
  return mail(`Your code to ${purpose}`, [
    `Enter this code to ${purpose}:`,
    { code },
    `The code works once, until ${timeOf(expiresAt)}. Never tell it to anybody, whoever asks.`,
    otherwise,
  ]);
}

function noticeMail({ kind, occurredAt }: NoticeNotification): MailContent {
  const { subject, lead } = NOTICES[kind];
  return mail(subject, [
    lead,
    `This happened at ${timeOf(occurredAt)}.`,
    'If that was not you, choose a new password now, and tell whoever runs this service.',
  ]);
}

function mail(subject: string, paragraphs: readonly Paragraph[]): MailContent {
  const lines = paragraphs.map((one) => (typeof one === 'string' ? one : 'code' in one ? one.code : one.url));
  return { subject, text: `${lines.join('\n\n')}\n`, html: htmlPage(subject, paragraphs) };
}

function timeOf(time: Date): string {
  return `${time.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

const MAX_NAME = 80;

/**
 * Somebody else has chosen the name, and our mail carries it to a stranger: it is one short line, and mail programs do not
 * find an address in it that they would make a link of.
 */
function unlinked(name: string): string {
  const line = oneLine(name);
  const short = line.length > MAX_NAME ? `${line.slice(0, MAX_NAME).replace(/[\uD800-\uDBFF]$/, '')}…` : line;
  return short.replaceAll(/[.:/@](?=\S)/g, '$&\u200B');
}
