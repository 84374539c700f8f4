import { afterEach } from '@jest/globals';
import { Logger } from '@nestjs/common';

import { IdentityFeedService, type DeliveryOptions, type NestAuthUser } from '../../../src/index.js';
import { smtpSender, type SmtpSenderOptions } from '../../../src/nodemailer/index.js';
import { NOTIFICATIONS } from '../../../src/delivery/notification.subscriber.js';
import { NotificationSources } from '../../../src/nest-auth.delivery.js';
import { createTestDatabase } from '../../support/database.js';
import { type MailServer, type MailServerOptions, startMailServer } from '../../support/mail-server.js';
import { freshEmail, type NestApp, type NestAppOptions, startNestApp } from '../../support/nest-app.js';
import { makeProbeTable, probeSource, probeToken } from './probe.source.js';

export const SECRETS = { keys: [{ id: 'k1', secret: 'only for tests, and long enough.' }] };
export const LINKS = {
  invitation: 'https://app.example.com/join#{token}',
  emailVerification: 'https://app.example.com/verify#{token}',
  emailChange: 'https://app.example.com/change#{token}',
  passwordReset: 'https://app.example.com/reset#{token}',
};
const FROM = 'no-reply@example.com';
const FAST = { pollMs: 20, leaseMs: 600 };

const open: (() => Promise<unknown>)[] = [];

/** Closes what the test has opened, newest first. */
export function closeAfterEach(): void {
  afterEach(async () => {
    for (const close of open.splice(0).toReversed()) await close();
  });
}

export async function mailServer(options: MailServerOptions = {}): Promise<MailServer> {
  const server = await startMailServer(options);
  open.push(() => server.close());
  return server;
}

export interface DeliveringApp extends NestApp {
  readonly url: string;
  readonly feed: IdentityFeedService;
  /** Creates a user who is sent this token, in one transaction. */
  invite(token: string, email?: string): Promise<NestAuthUser>;
}

export interface DeliveringOptions extends NestAppOptions {
  readonly delivery?: DeliveryOptions;
  readonly smtp?: Partial<SmtpSenderOptions>;
  readonly url?: string;
}

let serial = 0;

export function nextToken(): string {
  serial += 1;
  return probeToken(serial);
}

/** An application that mails by way of `server` what the probe drafts. */
export async function startDelivering(server: MailServer, options: DeliveringOptions = {}): Promise<DeliveringApp> {
  const sender = smtpSender({ url: server.url, from: FROM, ...options.smtp });
  return startWith({ sender, ...options.delivery }, options);
}

export async function startWith(delivery: DeliveryOptions, options: DeliveringOptions = {}): Promise<DeliveringApp> {
  const url = options.url ?? (await freshDatabase());
  const app = await startNestApp(url, {
    ...options,
    auth: {
      secrets: SECRETS,
      subscribers: FAST,
      delivery: { backoffMs: 10, links: LINKS, ...delivery },
      ...options.auth,
    },
    override: (builder) =>
      builder.overrideProvider(NotificationSources).useValue(new NotificationSources([probeSource])),
  });
  let closed = false;
  const close = async (): Promise<void> => {
    if (!closed) await app.close();
    closed = true;
  };
  open.push(close);
  const invite = (token: string, email = freshEmail()): Promise<NestAuthUser> =>
    app.users.runInTransaction(async (manager) => {
      const user = await app.users.createUser({ email });
      await manager.query('insert into probe_tokens (user_id, token) values ($1, $2)', [user.id, token]);
      return user;
    });
  return { ...app, close, url, feed: app.context.get(IdentityFeedService), invite };
}

export async function freshDatabase(): Promise<string> {
  const { url, drop } = await createTestDatabase();
  open.push(drop);
  await makeProbeTable(url);
  return url;
}

export const lettersOf = (app: DeliveringApp) => app.feed.getDeadLetters(NOTIFICATIONS);

/** Everything that is logged from now on. After the application: it begins with a silent logger. */
export function captureLog(): () => string {
  const lines: unknown[] = [];
  const write = (...args: unknown[]): void => void lines.push(args);
  Logger.overrideLogger({ log: write, error: write, warn: write, debug: write, verbose: write, fatal: write });
  open.push(async () => Logger.overrideLogger(false));
  return () => JSON.stringify(lines);
}

/** A logger of the host that throws, from now on. */
export function failLogging(): void {
  const fail = (): never => {
    throw new Error('the logger has failed');
  };
  Logger.overrideLogger({ log: fail, error: fail, warn: fail, debug: fail, verbose: fail, fatal: fail });
  open.push(async () => Logger.overrideLogger(false));
}
