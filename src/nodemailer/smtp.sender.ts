import { createTransport } from 'nodemailer';
import type { Notification, NotificationSender } from '../delivery/notification.types.js';
import { isUndeliverable, PostponedError, UndeliverableError } from '../feed/undeliverable.error.js';
import { defaultMail } from './default.templates.js';
import type { MailContent, MailTemplates } from './mail.templates.js';
import { isMailbox, oneLine } from './mailbox.policy.js';
import { type MailTransport, readSmtpOptions, type SmtpSenderOptions, type SmtpSettings } from './smtp.options.js';

/** What nodemailer says about an answer of the server. */
interface SmtpFailure {
  readonly code?: unknown;
  readonly command?: unknown;
  readonly response?: unknown;
  readonly responseCode?: unknown;
  readonly permanent?: unknown;
}

/** The mail could not be handed over now. */
class SmtpError extends Error {
  override readonly name = 'SmtpError';
}

/** Answers to these are about this message; those before, such as to a wrong password, are about all of them. */
const ABOUT_THE_MESSAGE: readonly unknown[] = ['RCPT TO', 'DATA'];
/** The server goes away, or has lost count: this is about all of them again (RFC 5321, 4.2.3). */
const ABOUT_THE_SERVER: readonly unknown[] = [421, 503];

/**
 * Sends messages by mail: the option `delivery.sender` of `NestAuthModule`.
 *
 * A repeated message has the same `Message-ID`. An answer of 5xx to the receiver or to the content makes a dead letter
 * at once. One of 4xx to them sets the message aside and tries it again later, while others go on; so does a template
 * that throws. After everything else, such as a server that does not answer, all wait. Messages by SMS become dead
 * letters; `combineSenders` takes another sender for them.
 *
 * Throws `INVALID_OPTIONS`, which names the option.
 */
export function smtpSender(options: SmtpSenderOptions): NotificationSender {
  const settings = readSmtpOptions(options);
  const transport = openTransport(settings.target);
  return {
    async send(notification, { signal }) {
      if (notification.channel !== 'email') throw new UndeliverableError('smtpSender sends emails only');
      if (!isMailbox(notification.to)) throw new UndeliverableError('the address is none that a mail can go to');
      const mail = await compose(settings, notification).catch((error: unknown) => {
        // It is about this mail alone: those behind it have done nothing for it.
        if (isUndeliverable(error)) throw error;
        throw new PostponedError(`the template has failed: ${error instanceof Error ? error.message : String(error)}`);
      });
      await transport.sendMail({ ...mail, signal }).catch((error: unknown) => {
        throw failureOf(error as SmtpFailure);
      });
    },
    close: () => void transport.close?.(),
  };
}

function openTransport(target: SmtpSettings['target']): MailTransport {
  return 'url' in target ? createTransport(target) : target;
}

async function compose(
  { from, replyTo, templates, subjectPrefix }: SmtpSettings,
  notification: Notification,
): Promise<object> {
  const { to, id } = notification;
  const { subject, text, html } = await contentOf(templates, notification);
  return {
    from: { name: oneLine(from.name), address: from.address },
    to: { name: '', address: to },
    // Said apart from the headers, so that nothing in them can add a receiver.
    envelope: { from: from.address, to: [to] },
    ...(replyTo === undefined ? {} : { replyTo: { name: '', address: replyTo } }),
    subject: oneLine(`${subjectPrefix}${subject}`),
    text,
    ...(html === undefined ? {} : { html }),
    messageId: `<${id}@${from.address.slice(from.address.indexOf('@') + 1)}>`,
    // No vacation notice answers it (RFC 3834).
    headers: { 'Auto-Submitted': 'auto-generated', 'X-Auto-Response-Suppress': 'All' },
    xMailer: false,
    disableFileAccess: true,
    disableUrlAccess: true,
  };
}

function contentOf(templates: MailTemplates, notification: Notification): MailContent | Promise<MailContent> {
  // The kind of the message and of the template are the same, which the type of a table cannot say.
  const template = templates[notification.kind] as
    | ((given: Notification) => MailContent | Promise<MailContent>)
    | undefined;
  return template === undefined ? defaultMail(notification) : template(notification);
}

/** Of the error only what the server has said: it holds settings and credentials, too. */
function failureOf({ code, command, response, responseCode, permanent }: SmtpFailure): Error {
  const said = [code, command, response].filter((part) => typeof part === 'string').join(' ');
  const message = oneLine(said) || 'the transport has failed';
  const isAnswer = typeof permanent === 'boolean' && !ABOUT_THE_SERVER.includes(responseCode);
  if (!isAnswer || !ABOUT_THE_MESSAGE.includes(command)) return new SmtpError(message);
  return permanent ? new UndeliverableError(message) : new PostponedError(message);
}
