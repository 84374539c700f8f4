import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import PostalMime, { type Email } from 'postal-mime';
import { SMTPServer } from 'smtp-server';

export interface ReceivedMail {
  /** As it came over the wire. */
  readonly raw: string;
  readonly mail: Email;
  readonly from: string;
  readonly to: readonly string[];
}

/** What the server says; undefined is yes, a promise that never settles is a server that hangs. */
type Answer = { readonly code: number; readonly text: string } | undefined;

export interface MailServerOptions {
  /** To a receiver. */
  readonly onReceiver?: (address: string, count: number) => Answer | Promise<Answer>;
  /** To a mail that has come completely. */
  readonly onMail?: (mail: ReceivedMail, count: number) => Answer | Promise<Answer>;
  /** @default 0, any */
  readonly port?: number;
}

export interface MailServer {
  readonly url: string;
  readonly port: number;
  /** Mails that came completely, also those that were refused then. */
  readonly received: ReceivedMail[];
  /** Connections that are open. */
  connections(): number;
  close(): Promise<void>;
}

/** A real SMTP server on loopback. */
export async function startMailServer(options: MailServerOptions = {}): Promise<MailServer> {
  const { onReceiver = () => undefined, onMail = () => undefined, port = 0 } = options;
  const received: ReceivedMail[] = [];
  let receivers = 0;
  const server = new SMTPServer({
    disabledCommands: ['STARTTLS', 'AUTH'],
    closeTimeout: 50,
    onRcptTo: ({ address }, _session, answer) => {
      receivers += 1;
      void Promise.resolve(onReceiver(address, receivers)).then((said) => answer(refusal(said)));
    },
    onData: (stream, { envelope }, answer) => {
      const chunks: Buffer[] = [];
      const take = async (): Promise<Answer> => {
        const raw = Buffer.concat(chunks).toString();
        const { mailFrom, rcptTo } = envelope;
        const from = mailFrom === false ? '' : mailFrom.address;
        const mail = { raw, mail: await PostalMime.parse(raw), from, to: rcptTo.map(({ address }) => address) };
        received.push(mail);
        return onMail(mail, received.length);
      };
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => void take().then((said) => answer(refusal(said))));
    },
  });
  // A client that gives up in the middle is what some tests are about.
  server.on('error', () => undefined);
  server.listen(port, '127.0.0.1');
  await once(server.server, 'listening');
  const { port: listening } = server.server.address() as AddressInfo;
  return {
    url: `smtp://127.0.0.1:${listening}`,
    port: listening,
    received,
    connections: () => server.connections.size,
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}

function refusal(answer: Answer): Error | null {
  return answer === undefined ? null : Object.assign(new Error(answer.text), { responseCode: answer.code });
}
