import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import PostalMime from 'postal-mime';
import { SMTPServer } from 'smtp-server';

const LOOK_MS = 20;
const PATIENCE_MS = 30_000;

/** A mail as it came over the wire. */
export interface ReceivedMail {
  /** The `Message-ID`: one that is sent again has it again. */
  readonly id: string;
  readonly to: string;
  readonly subject: string;
  readonly text: string;
}

/** A mail server of the demo's own on this machine: what it takes stays here. */
export class PostOffice {
  readonly mails: ReceivedMail[] = [];

  private constructor(private readonly server: SMTPServer) {}

  static async open(): Promise<PostOffice> {
    const server: SMTPServer = new SMTPServer({
      authOptional: true,
      // A connection that nobody but this process sees.
      disabledCommands: ['STARTTLS'],
      onData: (stream, { envelope }, done) => {
        // The receiver of the envelope is who gets it, whatever the headers say.
        const to = envelope.rcptTo.map(({ address }) => address).join(', ');
        buffer(stream)
          .then((raw) => PostalMime.parse(raw))
          .then(({ messageId: id = '', subject = '', text = '' }) => office.mails.push({ id, to, subject, text }))
          .then(() => done(), done);
      },
    });
    const office = new PostOffice(server);
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return office;
  }

  /** For `smtpSender`. */
  get url(): string {
    return `smtp://127.0.0.1:${(this.server.server.address() as AddressInfo).port}`;
  }

  /** The mail to somebody that has come behind the first `seen`, and says `words`; waits for it. */
  async nextTo(to: string, seen: number, words = ''): Promise<ReceivedMail> {
    for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await sleep(LOOK_MS)) {
      const mail = this.mails.slice(seen).find((each) => each.to === to && each.text.includes(words));
      if (mail !== undefined) return mail;
    }
    throw new Error(`no mail has come to ${to}`);
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.server.close(resolve));
  }
}

const LINK = /https:\/\/[^/\s]+\/([\w-]+)#(\S+)/;

/** What follows the `#` of the link in a mail: all that whoever reads it has. */
export function tokenIn({ text }: ReceivedMail): string {
  const [, , token = ''] = LINK.exec(text) ?? [];
  return token;
}

export function purposeOf({ text }: ReceivedMail): string {
  const [, page] = LINK.exec(text) ?? [];
  return page === undefined ? 'to know of it' : `a link to /${page}`;
}
