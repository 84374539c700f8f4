import { isIP } from 'node:net';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { isMailbox } from './mailbox.policy.js';
import type { MailTemplates } from './mail.templates.js';
import { MAIL_KINDS } from './default.templates.js';

/** What `createTransport` of nodemailer makes. */
export interface MailTransport {
  sendMail(mail: object): Promise<unknown>;
  close?(): unknown;
}

export interface SmtpSenderOptions {
  /**
   * `smtps://user:password@smtp.example.com`, or `smtp:` with STARTTLS, which is demanded: nothing is sent in plain text
   * but to this machine itself. One of `url` and `transport` is needed.
   */
  readonly url?: string | undefined;
  /** A transport of nodemailer, for everything else. It is closed with the application. */
  readonly transport?: MailTransport | undefined;
  /** An address, or `{ name, address }`. */
  readonly from: string | { readonly name: string; readonly address: string };
  /** An address. @default none */
  readonly replyTo?: string | undefined;
  /** Texts of your own, by kind. @default plain English texts */
  readonly templates?: MailTemplates | undefined;
  /** Before each subject, such as `[Acme] `. @default '' */
  readonly subjectPrefix?: string | undefined;
}

/** The options, checked. */
export interface SmtpSettings {
  readonly target: { readonly url: string; readonly requireTLS: boolean } | MailTransport;
  readonly from: { readonly name: string; readonly address: string };
  readonly replyTo: string | undefined;
  readonly templates: MailTemplates;
  readonly subjectPrefix: string;
}

const FIELDS: readonly (keyof SmtpSenderOptions)[] = [
  'url',
  'transport',
  'from',
  'replyTo',
  'templates',
  'subjectPrefix',
];

/** Refuses, by name, what is wrong; never repeats a value. */
export function readSmtpOptions(options: SmtpSenderOptions): SmtpSettings {
  for (const name of Object.keys(options)) {
    if (!FIELDS.some((known) => known === name)) refuse(name, `is not an option; known are ${FIELDS.join(', ')}`);
  }
  const { replyTo, templates = {}, subjectPrefix = '' } = options;
  if (replyTo !== undefined && !isMailbox(replyTo)) refuse('replyTo', 'must be an address');
  if (typeof subjectPrefix !== 'string') refuse('subjectPrefix', 'must be a text');
  for (const [kind, template] of Object.entries(templates)) {
    if (!MAIL_KINDS.some((known) => known === kind))
      refuse(`templates.${kind}`, `is no kind of message; known are ${MAIL_KINDS.join(', ')}`);
    if (template !== undefined && typeof template !== 'function') refuse(`templates.${kind}`, 'must be a function');
  }
  return { target: readTarget(options), from: readFrom(options.from), replyTo, templates, subjectPrefix };
}

function readFrom(from: SmtpSenderOptions['from']): SmtpSettings['from'] {
  const { name, address } = typeof from === 'string' ? { name: '', address: from } : (from ?? {});
  if (typeof name !== 'string' || !isMailbox(address)) refuse('from', 'must be an address, or { name, address }');
  return { name, address };
}

function readTarget({ url, transport }: SmtpSenderOptions): SmtpSettings['target'] {
  if ((url === undefined) === (transport === undefined)) refuse('url', 'or transport must be given, one of the two');
  if (transport !== undefined) {
    if (typeof transport?.sendMail !== 'function') refuse('transport', 'must be made by createTransport of nodemailer');
    return transport;
  }
  const parsed = URL.canParse(url ?? '') ? new URL(url ?? '') : undefined;
  if (parsed === undefined || !['smtp:', 'smtps:'].includes(parsed.protocol) || parsed.hostname === '')
    refuse('url', 'must be an address with smtps: or smtp:');
  const requireTLS = parsed.protocol === 'smtp:' && !isThisMachine(parsed.hostname);
  // For nodemailer what the address says goes before what we say.
  if (requireTLS && parsed.searchParams.getAll('requireTLS').some((value) => value !== 'true'))
    refuse('url', 'must not turn STARTTLS off');
  return { url: url ?? '', requireTLS };
}

function isThisMachine(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || (isIP(hostname) === 4 && hostname.startsWith('127.'));
}

function refuse(name: string, message: string): never {
  const option = `smtpSender.${name}`;
  throw new NestAuthError('INVALID_OPTIONS', `${option} ${message}`, { details: { option } });
}
