import { describe, expect, it, jest } from '@jest/globals';

import { NestAuthEvents, type NotificationSender, OnIdentityEvent, PostponedError } from '../../../src/index.js';
import { NOTIFICATIONS } from '../../../src/delivery/notification.subscriber.js';
import { freshEmail } from '../../support/nest-app.js';
import { until } from '../../support/until.js';
import { untilSent } from '../../support/wire.js';
import {
  captureLog,
  closeAfterEach,
  failLogging,
  freshDatabase,
  lettersOf,
  mailServer,
  nextToken,
  startDelivering,
  startWith,
} from './fixture.js';

jest.setTimeout(120_000);
closeAfterEach();

/** In what a worker sends: when it reads the log. */
const READS_LOG = /as horizon left join lateral/;

describe('a message', () => {
  it('leaves after COMMIT, in the order of the requests, once each; nothing of a rollback', async () => {
    const server = await mailServer();
    const app = await startDelivering(server);
    const [a, b, gone] = [freshEmail(), freshEmail(), freshEmail()];
    await app.invite(nextToken(), a);
    const undone = app.users.runInTransaction(async () => {
      await app.invite(nextToken(), gone);
      // Enough looks at the log for one that reads what is not committed.
      await untilSent(READS_LOG, 3);
      throw new Error('undo');
    });
    await expect(undone).rejects.toThrow('undo');
    await app.invite(nextToken(), b);
    await until('both', () => server.received.length === 2);
    await untilSent(READS_LOG, 2);
    expect(server.received.map(({ to }) => to)).toEqual([[a], [b]]);
  });

  it('is not sent any more when its token was used or replaced meanwhile', async () => {
    let up = false;
    const server = await mailServer({ onMail: () => (up ? undefined : { code: 421, text: 'not now' }) });
    const app = await startDelivering(server, { delivery: { maxAttempts: 1_000, backoffMs: 1 } });
    const [old, fresh, used] = [nextToken(), nextToken(), nextToken()];
    const user = await app.invite(old);
    await until('the first attempt', () => server.received.length > 0);
    await app.manager.query('update probe_tokens set token = $2 where user_id = $1', [user.id, fresh]);
    const other = await app.invite(used);
    await app.manager.query('delete from probe_tokens where user_id = $1', [other.id]);
    up = true;
    const last = freshEmail();
    await app.invite(nextToken(), last);
    await until('the last', () => server.received.at(-1)?.to[0] === last);
    const raw = server.received.map((mail) => mail.raw.replaceAll(/=\r\n/g, ''));
    const replaced = raw.findIndex((one) => one.includes(fresh));
    expect(raw.slice(0, replaced).every((one) => one.includes(old))).toBe(true);
    expect(raw.slice(replaced).some((one) => one.includes(old))).toBe(false);
    expect(raw.some((one) => one.includes(used))).toBe(false);
  });

  it('waits for the one before it while the server can take none', async () => {
    const server = await mailServer({
      onMail: (_mail, count) => (count < 3 ? { code: 421, text: 'closing' } : undefined),
    });
    const app = await startDelivering(server);
    const [a, b] = [freshEmail(), freshEmail()];
    await app.invite(nextToken(), a);
    await app.invite(nextToken(), b);
    await until('all', () => server.received.length === 4);
    expect(server.received.map(({ to }) => to[0])).toEqual([a, a, a, b]);
    const ids = server.received.map(({ mail }) => mail.messageId);
    expect(new Set(ids.slice(0, 3)).size).toBe(1);
    expect(ids[3]).not.toBe(ids[0]);
    expect(await lettersOf(app)).toEqual([]);
  });

  it.each([
    ['the receiver', 'onReceiver'],
    ['the content', 'onMail'],
  ])(
    'that is refused for now, for %s, is sent again later, the same one, and keeps nobody waiting',
    async (_what, when) => {
      let greylisted = true;
      const refuse = (address: string) =>
        greylisted && address.startsWith('grey') ? { code: 451, text: 'come back later' } : undefined;
      const server = await mailServer(
        when === 'onReceiver' ? { onReceiver: refuse } : { onMail: ({ to: [to = ''] }) => refuse(to) },
      );
      const app = await startDelivering(server, { delivery: { maxAttempts: 1_000, backoffMs: 1 } });
      const [grey, others] = [`grey-${freshEmail()}`, [freshEmail(), freshEmail()]];
      await app.invite(nextToken(), grey);
      for (const email of others) await app.invite(nextToken(), email);
      await until('the others', () => others.every((email) => server.received.some(({ to }) => to[0] === email)));
      expect(await lettersOf(app)).toMatchObject([{ retryAt: expect.any(Date) }]);
      expect((await app.feed.getSubscriptions())[0]?.deadLetters).toBe(0);
      greylisted = false;
      await until('the end', async () => (await lettersOf(app)).length === 0);
      const mails = server.received.filter(({ to }) => to[0] === grey);
      expect(mails.length).toBeGreaterThan(0);
      expect(new Set(mails.map(({ mail }) => mail.messageId)).size).toBe(1);
    },
  );

  it('that is refused for now again and again is given up in the end', async () => {
    const server = await mailServer({ onReceiver: () => ({ code: 450, text: 'full' }) });
    const app = await startDelivering(server, { delivery: { maxAttempts: 3 } });
    await app.invite(nextToken());
    await until('the end', async () => (await lettersOf(app))[0]?.retryAt === null);
    expect(await lettersOf(app)).toMatchObject([{ attempts: 3 }]);
  });

  it.each([
    [
      'the receiver',
      {
        onReceiver: (address: string) => (address.startsWith('gone') ? { code: 550, text: 'no such user' } : undefined),
      },
    ],
    [
      'the content',
      {
        onMail: ({ to }: { to: readonly string[] }) =>
          to[0]?.startsWith('gone') ? { code: 554, text: 'spam' } : undefined,
      },
    ],
  ])('that is refused for good, for %s, is tried once and becomes a dead letter', async (_what, answers) => {
    const server = await mailServer(answers);
    const app = await startDelivering(server);
    const next = freshEmail();
    await app.invite(nextToken(), `gone-${freshEmail()}`);
    await app.invite(nextToken(), next);
    await until('the next one', () => server.received.some(({ to }) => to[0] === next));
    expect(await lettersOf(app)).toMatchObject([{ type: 'nest_auth.user.created', attempts: 1, retryAt: null }]);
  });

  it('waits while nobody can be mailed: a wrong password is no reason to give up mails', async () => {
    let allowed = false;
    const seen: string[] = [];
    const sender: NotificationSender = {
      send: async ({ to }) => {
        seen.push(to);
        // As nodemailer says it.
        if (!allowed)
          throw Object.assign(new Error('Invalid login'), { code: 'EAUTH', permanent: true, command: 'AUTH PLAIN' });
      },
    };
    const app = await startWith({ sender, maxAttempts: 1_000, backoffMs: 1 });
    const email = freshEmail();
    await app.invite(nextToken(), email);
    await until('three attempts', () => seen.length > 2);
    allowed = true;
    await until('its end', async () => (await app.feed.getSubscriptions())[0]?.attempts === 0);
    expect(await lettersOf(app)).toEqual([]);
  });

  it('goes nowhere without a sender, and in a process that is not to send', async () => {
    const url = await freshDatabase();
    const server = await mailServer();
    const without = await startWith({}, { url });
    const off = await startDelivering(server, { url, delivery: { enabled: false } });
    await without.invite(nextToken());
    await off.invite(nextToken());
    expect(await off.feed.getSubscriptions()).toEqual([]);
    // Another test's transaction on this server may be older, and still run: until then these count as new.
    await until(
      'the end of older transactions',
      async () => (await off.feed.readEvents({ types: [NestAuthEvents.USER_CREATED] })).events.length === 2,
    );
    const on = await startDelivering(server, { url });
    const email = freshEmail();
    await off.invite(nextToken(), email);
    await until('one', () => server.received.length === 1);
    expect(server.received[0]?.to).toEqual([email]);
    expect((await on.feed.getSubscriptions()).map(({ subscriber }) => subscriber)).toEqual([NOTIFICATIONS]);
  });

  it('keeps its place in the log for itself: no method takes the name of its subscriber', async () => {
    class Squatter {
      @OnIdentityEvent(NestAuthEvents.USER_CREATED, { subscriber: NOTIFICATIONS })
      async take(): Promise<void> {}
    }
    const server = await mailServer();
    await expect(startDelivering(server, { providers: [Squatter] })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' });
  });

  it('is sent before the application has closed, and then its sender is closed, once', async () => {
    const told: string[] = [];
    const sender: NotificationSender = {
      send: async () => {
        told.push('begun');
        await new Promise((resolve) => setImmediate(resolve));
        told.push('sent');
      },
      close: () => void told.push('closed'),
    };
    const app = await startWith({ sender });
    await app.invite(nextToken());
    await until('the message', () => told.length > 0);
    await app.close();
    expect(told).toEqual(['begun', 'sent', 'closed']);
  });

  it('SEC-92 is given up in the end, also for an answer with a NUL, which no text of the database can hold', async () => {
    const seen: string[] = [];
    const sender: NotificationSender = {
      send: async ({ to }) => {
        seen.push(to);
        if (to.startsWith('bad')) throw new Error('answered \0');
      },
    };
    const app = await startWith({ sender, maxAttempts: 2, backoffMs: 1 });
    const [bad, next] = [`bad-${freshEmail()}`, freshEmail()];
    await app.invite(nextToken(), bad);
    await app.invite(nextToken(), next);
    await until('the next one', () => seen.includes(next));
    expect(seen).toEqual([bad, bad, next]);
    expect(await lettersOf(app)).toMatchObject([{ attempts: 2, error: expect.stringContaining('answered \uFFFD') }]);
  });

  it('is sent also when whoever is to be told of the failure before fails', async () => {
    const seen: string[] = [];
    const sender: NotificationSender = {
      send: async ({ to }) => {
        seen.push(to);
        if (seen.length === 1) throw new Error('not now');
      },
    };
    const app = await startWith({ sender, backoffMs: 1 });
    failLogging();
    const email = freshEmail();
    await app.invite(nextToken(), email);
    await until('the second attempt', () => seen.length === 2);
    expect(seen).toEqual([email, email]);
  });

  it('whose template throws is set aside, and the others go on', async () => {
    let broken = true;
    const server = await mailServer();
    const app = await startDelivering(server, {
      delivery: { backoffMs: 200 },
      smtp: {
        templates: {
          password_reset: ({ to, url }) => {
            if (broken && to.startsWith('bad')) throw new TypeError(`no name for ${url}`);
            return { subject: 'A link', text: url };
          },
        },
      },
    });
    const [bad, next, token] = [`bad-${freshEmail()}`, freshEmail(), nextToken()];
    await app.invite(token, bad);
    await app.invite(nextToken(), next);
    await until('the next one', () => server.received.length === 1);
    expect(server.received[0]?.to).toEqual([next]);
    const [letter] = await lettersOf(app);
    expect(letter).toMatchObject({ retryAt: expect.any(Date), error: expect.stringContaining('template') });
    expect(letter?.error).not.toContain(token.slice(-20));
    broken = false;
    await until('the end', () => server.received.length === 2);
    expect(server.received[1]?.to).toEqual([bad]);
  });

  it('of many is sent once, by whichever process, also when all of them take longer than the lease', async () => {
    const url = await freshDatabase();
    const seen: string[] = [];
    const sender: NotificationSender = {
      send: async ({ to }) => {
        seen.push(to);
        // A third of the lease has not gone by when it is sent.
        await new Promise((resolve) => setTimeout(resolve, 120));
      },
    };
    const app = await startWith({ sender }, { url });
    await startWith({ sender }, { url });
    const emails = Array.from({ length: 15 }, () => freshEmail());
    await app.users.runInTransaction(async () => {
      for (const email of emails) await app.invite(nextToken(), email);
    });
    await until('the last', () => seen.includes(emails.at(-1) ?? ''));
    expect(seen).toEqual(emails);
  });

  it('of many that were set aside is sent once, too, also when all of them take longer than the lease', async () => {
    const url = await freshDatabase();
    const seen: string[] = [];
    const sender: NotificationSender = {
      send: async ({ to }) => {
        seen.push(to);
        if (seen.indexOf(to) === seen.length - 1) throw new PostponedError('later');
        await new Promise((resolve) => setTimeout(resolve, 120));
      },
    };
    const app = await startWith({ sender, backoffMs: 1_500 }, { url });
    await startWith({ sender, backoffMs: 1_500 }, { url });
    const emails = Array.from({ length: 15 }, () => freshEmail());
    await app.users.runInTransaction(async () => {
      for (const email of emails) await app.invite(nextToken(), email);
    });
    await until('the end', async () => seen.length > emails.length && (await lettersOf(app)).length === 0);
    expect(seen.toSorted()).toEqual([...emails, ...emails].toSorted());
  });

  it('of a kind without a page becomes a dead letter that names the option', async () => {
    const server = await mailServer();
    const app = await startDelivering(server, {
      delivery: { links: { invitation: false, emailVerification: false, emailChange: false, passwordReset: false } },
    });
    await app.invite(nextToken());
    await until('the letter', async () => (await lettersOf(app)).length === 1);
    expect((await lettersOf(app))[0]?.error).toContain('delivery.links.passwordReset');
    expect(server.received).toEqual([]);
  });
});

describe('a server that hangs', () => {
  it('holds no connection of the database, in a pool of one', async () => {
    let answer = (): void => undefined;
    const hanging = new Promise<undefined>((resolve) => (answer = () => resolve(undefined)));
    const server = await mailServer({ onMail: () => hanging });
    const app = await startDelivering(server, {
      pool: 1,
      delivery: { timeoutMs: 600_000 },
      dataSource: { extra: { connectionTimeoutMillis: 20_000 } },
    });
    await app.invite(nextToken());
    await until('the hanging one', () => server.received.length === 1);
    try {
      const { id } = await app.users.createUser({ email: freshEmail() });
      expect(await app.users.getUserById(id)).toMatchObject({ id });
    } finally {
      answer();
    }
    await until('its end', async () => (await app.feed.getSubscriptions())[0]?.deliveredAt !== null);
    expect(server.received).toHaveLength(1);
  });

  it('is left after the time limit, and the message is sent again', async () => {
    let hanging = true;
    const server = await mailServer({ onMail: () => (hanging ? new Promise(() => undefined) : undefined) });
    const app = await startDelivering(server, { delivery: { timeoutMs: 1_000 } });
    const email = freshEmail();
    await app.invite(nextToken(), email);
    await until('the hanging one', () => server.received.length === 1);
    hanging = false;
    await until('its end', async () => (await app.feed.getSubscriptions())[0]?.deliveredAt !== null);
    expect(new Set(server.received.map(({ to, mail }) => `${to[0]} ${mail.messageId}`)).size).toBe(1);
    expect(server.received.length).toBeGreaterThan(1);
    await until('the end of all connections', () => server.connections() === 0);
  });
});

describe('SEC-20, SEC-92, SEC-52: a token', () => {
  it('is in no dead letter and no log line, also when the server quotes the whole mail', async () => {
    const server = await mailServer({
      onReceiver: (address) =>
        address.startsWith('gone') ? { code: 550, text: `<${address}>: no such user` } : undefined,
      onMail: ({ raw, mail }, count) => ({
        code: count % 2 === 0 ? 451 : 554,
        text: `blocked ${mail.text?.replaceAll(/\s+/g, ' ')} ${raw.slice(-300).replaceAll(/\s+/g, ' ')}`,
      }),
    });
    const app = await startDelivering(server, { delivery: { maxAttempts: 2 } });
    const log = captureLog();
    const tokens = [nextToken(), nextToken(), nextToken()];
    const [gone] = [`gone-${freshEmail()}`];
    await app.invite(tokens[0] as string, gone);
    await app.invite(tokens[1] as string);
    await app.invite(tokens[2] as string);
    await until('three letters', async () => (await lettersOf(app)).length === 3);
    const rows: unknown[] = await app.manager.query(
      'select to_jsonb(a) as row from nest_auth_activities a union all select to_jsonb(s) from nest_auth_subscriptions s union all select to_jsonb(d) from nest_auth_dead_letters d',
    );
    const all = `${JSON.stringify(rows)} ${log()} ${JSON.stringify(await app.feed.readEvents())}`;
    for (const token of tokens) expect(all).not.toContain(token.slice(-20));
    // The address may be said: without it nobody could help.
    expect(log()).toContain(gone);
    expect(JSON.stringify(await lettersOf(app))).toContain('blocked');
  });
});
