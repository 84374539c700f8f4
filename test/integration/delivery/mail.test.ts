import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createTransport } from 'nodemailer';
import type { Email } from 'postal-mime';

import { type Notification, UndeliverableError } from '../../../src/index.js';
import { escapeHtml, smtpSender, type SmtpSenderOptions } from '../../../src/nodemailer/index.js';
import { MAIL_KINDS } from '../../../src/nodemailer/default.templates.js';
import { type MailServer, type ReceivedMail, startMailServer } from '../../support/mail-server.js';

let server: MailServer;

beforeAll(async () => {
  server = await startMailServer();
});
beforeEach(() => void server.received.splice(0));
afterAll(() => server.close());

const { signal } = new AbortController();
const from = { name: 'Acme', address: 'no-reply@example.com' };
const token = 'AZwcUq0acAOLx1pZc2Xg0w.q3Yb7mXw0kP5tUeRjH2sLdVnA9cZgF8iO4yB6xTf1Eo';
const link = {
  token,
  url: `https://app.example.com/join?a=1&b=2#${token}`,
  expiresAt: new Date('2030-01-02T03:04:05Z'),
};

function notification(given: object): Notification {
  return { id: '1.x', channel: 'email', to: 'ann@example.com', userId: null, tenantId: null, ...given } as Notification;
}

const invitation = (tenantName: string, more: object = {}): Notification =>
  notification({ kind: 'invitation', ...link, tenantName, ...more });

async function sent(given: Notification, options: Partial<SmtpSenderOptions> = {}): Promise<ReceivedMail> {
  const sender = smtpSender({ url: server.url, from, ...options });
  await sender.send(given, { signal });
  await sender.close?.();
  return server.received.at(-1) as ReceivedMail;
}

const headersOf = ({ headers }: Email, key: string): string[] =>
  headers.filter((header) => header.key === key).map(({ value }) => value);

describe('a mail', () => {
  it.each(MAIL_KINDS.map((kind) => [kind]))('of the kind %s is complete, as text and as HTML', async (kind) => {
    const code = '049213';
    const facts = kind.endsWith('_code')
      ? { code }
      : ['invitation', 'email_verification', 'email_change', 'password_reset'].includes(kind)
        ? {}
        : { occurredAt: new Date('2030-01-01T00:00:00Z') };
    const isLink = Object.keys(facts).length === 0;
    const {
      mail,
      to,
      from: sender,
    } = await sent(
      notification({ kind, id: `id.${kind}`, ...(isLink ? link : { expiresAt: link.expiresAt, ...facts }) }),
      { subjectPrefix: '[Acme] ', replyTo: 'help@example.com' },
    );
    expect([sender, to]).toEqual(['no-reply@example.com', ['ann@example.com']]);
    expect(mail.subject).toMatch(/^\[Acme\] \S/);
    expect(mail.from).toEqual({ name: 'Acme', address: 'no-reply@example.com' });
    expect(mail.replyTo).toEqual([{ name: '', address: 'help@example.com' }]);
    expect(mail.messageId).toBe(`<id.${kind}@example.com>`);
    expect(headersOf(mail, 'auto-submitted')).toEqual(['auto-generated']);
    const said = isLink ? link.url : 'code' in facts ? code : '2030-01-01 00:00 UTC';
    expect(mail.text).toContain(said);
    expect(mail.html).toContain(said.replaceAll('&', '&amp;'));
    expect(mail.html).toMatch(/<html lang="en"[\s\S]*<title>\S[\s\S]*<h1/);
    expect(mail.attachments).toEqual([]);
  });

  it('has the texts of the host where there are some, each for its kind', async () => {
    const templates: SmtpSenderOptions['templates'] = {
      invitation: ({ url, tenantName = '' }) => ({ subject: `Komm zu\r\n ${tenantName}`, text: `Hier: ${url}` }),
      second_factor_code: async ({ code }) => ({ subject: 'Code', text: code, html: `<p>${code}</p>` }),
    };
    const { mail } = await sent(invitation('Acme'), { templates });
    expect([mail.subject, mail.text?.trim(), mail.html]).toEqual(['Komm zu Acme', `Hier: ${link.url}`, undefined]);
    const other = await sent(notification({ kind: 'second_factor_code', code: '123456', expiresAt: new Date(0) }), {
      templates,
    });
    expect(other.mail.html).toContain('<p>123456</p>');
    const plain = await sent(notification({ kind: 'password_reset', ...link }), { templates });
    expect(plain.mail.subject).toBe('Choose a new password');
  });

  it.each([
    ['set aside when its template fails', new TypeError('no name'), 'PostponedError'],
    ['given up when its template says so', new UndeliverableError('nobody wants this'), 'UndeliverableError'],
  ])('is %s', async (_what, error, name) => {
    const fail = (): never => {
      throw error;
    };
    await expect(sent(invitation('Acme'), { templates: { invitation: fail } })).rejects.toMatchObject({ name });
    expect(server.received).toEqual([]);
  });

  it('goes by a transport of the host, which is closed with the sender', async () => {
    const transport = createTransport({ url: server.url, pool: true });
    const { mail } = await sent(invitation('Acme'), { url: undefined, transport });
    expect(mail.subject).toBe('Invitation to Acme');
    await expect(transport.sendMail({ from: 'a@example.com', to: 'b@example.com', text: 'x' })).rejects.toBeDefined();
  });
});

describe('what others have written', () => {
  const evil =
    'Acme\r\nBcc: eve@example.com\r\n\r\n<script>alert(1)</script>"><img src=x onerror=alert(1)> https://evil.example/x\u202Egnp';

  it('adds no header, no receiver, no tag, no line and no link', async () => {
    const { mail, to, raw } = await sent(invitation(evil), { subjectPrefix: 'A\r\nBcc: eve@example.com\r\n' });
    expect(to).toEqual(['ann@example.com']);
    expect([mail.bcc, mail.cc]).toEqual([undefined, undefined]);
    expect(headersOf(mail, 'bcc')).toEqual([]);
    expect(raw).not.toMatch(/^Bcc:/m);
    expect(mail.subject).not.toMatch(/[\r\n\u202E]/);
    expect(mail.html).not.toMatch(/<script|<img/);
    expect(mail.html?.match(/<a /g)).toHaveLength(1);
    for (const text of [mail.text, mail.html]) {
      expect(text).not.toContain('https://evil.example');
      expect(text).not.toContain('\u202E');
    }
    const lines = (mail.text ?? '').split('\n').filter((line) => line.includes('Bcc'));
    expect(lines).toHaveLength(1);
    expect(lines[0]?.startsWith('You have been invited')).toBe(true);
  });

  it('is escaped for templates of the host in the same way', () => {
    expect(escapeHtml(`<a href="x" title='y'>&amp;`)).toBe('&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;amp;');
  });

  it('adds nothing by the name of the sender either', async () => {
    const { mail } = await sent(invitation('Acme'), {
      from: { name: 'Acme"\r\nBcc: eve@example.com, <eve@example.com>', address: 'no-reply@example.com' },
    });
    expect(mail.from?.address).toBe('no-reply@example.com');
    expect(headersOf(mail, 'bcc')).toEqual([]);
    expect(headersOf(mail, 'from')).toHaveLength(1);
  });

  it.each([
    ['two addresses', 'ann@example.com, eve@example.com'],
    ['a display name', 'Ann <ann@example.com>'],
    ['a header', 'ann@example.com\r\nBcc: eve@example.com'],
    ['a command', 'ann@example.com>\r\nRCPT TO:<eve@example.com'],
    ['a group', 'all: ann@example.com, eve@example.com;'],
    ['nothing', ''],
    ['no domain', 'ann@'],
  ])('is never sent to %s', async (_what, to) => {
    await expect(sent(invitation('Acme', { to }))).rejects.toMatchObject({ name: 'UndeliverableError' });
    expect(server.received).toEqual([]);
  });

  it('goes by mail only', async () => {
    const sms = notification({ kind: 'second_factor_code', code: '123456', channel: 'sms', to: '+4915112345678' });
    await expect(sent(sms)).rejects.toMatchObject({ name: 'UndeliverableError' });
  });
});

describe('smtpSender', () => {
  it.each([
    ['url', { url: undefined }],
    ['url', { url: 'https://example.com' }],
    ['url', { url: 'example.com' }],
    ['url', { transport: { sendMail: async () => undefined } }],
    ['transport', { url: undefined, transport: {} }],
    ['from', { from: 'Acme <no-reply@example.com>' }],
    ['from', { from: { name: 5, address: 'no-reply@example.com' } }],
    ['from', { from: undefined }],
    ['replyTo', { replyTo: 'a@example.com\r\nBcc: b@example.com' }],
    ['subjectPrefix', { subjectPrefix: 5 }],
    ['templates.greeting', { templates: { greeting: () => undefined } }],
    ['templates.invitation', { templates: { invitation: 'text' } }],
    ['pool', { pool: true }],
  ])('refuses a wrong option by name: %s', (option, given) => {
    const make = (): unknown =>
      smtpSender({ url: 'smtps://user:secret@smtp.example.com', from, ...given } as SmtpSenderOptions);
    expect(make).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', details: { option: `smtpSender.${option}` } }),
    );
    expect(make).not.toThrow(/secret/);
  });

  it.each(['requireTLS=false', 'requireTLS=0', 'requireTLS=', 'requireTLS=true&requireTLS=false'])(
    'is not told by the address to send in plain text: %s',
    (query) => {
      const make = (host: string) => () => smtpSender({ url: `smtp://u:secret@${host}:25?${query}`, from });
      expect(make('mail.example.com')).toThrow(
        expect.objectContaining({ code: 'INVALID_OPTIONS', details: { option: 'smtpSender.url' } }),
      );
      expect(make('mail.example.com')).not.toThrow(/secret/);
      expect(make('localhost')).not.toThrow();
    },
  );

  it('sends nothing in plain text but to this machine, whatever else the address says', async () => {
    const { port } = server;
    for (const query of ['ignoreTLS=true', 'opportunisticTLS=true', 'secure=true', 'requireTLS=true']) {
      const insecure = smtpSender({ url: `smtp://[::ffff:127.0.0.1]:${port}?${query}`, from });
      await expect(insecure.send(invitation('Acme'), { signal })).rejects.toMatchObject({ name: 'SmtpError' });
    }
    expect(server.received).toEqual([]);
  });

  it('sends nothing in plain text but to this machine', async () => {
    // The same server by a name that is not this machine's: it offers no STARTTLS.
    const { port } = server;
    const insecure = smtpSender({ url: `smtp://[::ffff:127.0.0.1]:${port}`, from });
    await expect(insecure.send(invitation('Acme'), { signal })).rejects.toMatchObject({ name: 'SmtpError' });
    expect(server.received).toEqual([]);
  });
});
