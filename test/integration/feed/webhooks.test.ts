import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it, jest } from '@jest/globals';

import {
  IdentityFeedService,
  NestAuthEvents,
  NestAuthModule,
  verifyWebhook,
  type WebhookOptions,
} from '../../../src/index.js';
import { isPublic } from '../../../src/webhook/public-address.js';
import { createTestDatabase } from '../../support/database.js';
import { freshEmail, type NestApp, startNestApp } from '../../support/nest-app.js';
import { until } from '../../support/until.js';

jest.setTimeout(120_000);

const open: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close();
});

const newSecret = (): string => `whsec_${randomBytes(32).toString('base64')}`;

interface Received {
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** A receiver on loopback that notes what comes, and answers as it is told. */
async function receiver(
  answer: (response: ServerResponse, count: number) => void,
): Promise<{ url: string; got: Received[] }> {
  const got: Received[] = [];
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      got.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
      answer(response, got.length);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.push(() => new Promise((resolve) => server.close(resolve)));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, got };
}

const ok = (response: ServerResponse): void => void response.writeHead(204).end();

async function start(webhooks: readonly WebhookOptions[]): Promise<NestApp & { feed: IdentityFeedService }> {
  const { url, drop } = await createTestDatabase();
  open.push(drop);
  const app = await startNestApp(url, { auth: { webhooks, subscribers: { pollMs: 20, leaseMs: 600 } } });
  open.push(() => app.close());
  return { ...app, feed: app.context.get(IdentityFeedService) };
}

function hook(url: string, secrets: string[], more: Partial<WebhookOptions> = {}): WebhookOptions {
  return {
    name: 'erp',
    url,
    types: [NestAuthEvents.USER_CREATED],
    secrets,
    allowPrivateAddresses: true,
    backoffMs: 10,
    ...more,
  };
}

describe('a webhook', () => {
  it('is told each committed event once, signed with every secret, and nothing of a rollback', async () => {
    const [old, fresh] = [newSecret(), newSecret()];
    const { url, got } = await receiver(ok);
    const app = await start([hook(url, [old, fresh])]);
    const undone = app.users.runInTransaction(async () => {
      await app.users.createUser({ email: freshEmail() });
      throw new Error('undo');
    });
    await expect(undone).rejects.toThrow('undo');
    const email = freshEmail();
    const user = await app.users.createUser({ email, password: 'correct horse battery staple' });
    await until('the request', () => got.length === 1);
    const [request] = got as [Received];
    expect(JSON.parse(request.body)).toMatchObject({
      type: 'nest_auth.user.created',
      userId: user.id,
      after: { email },
    });
    expect(request.body).not.toMatch(/argon2|correct horse/);
    expect(request.headers['content-type']).toBe('application/json');
    for (const secret of [old, fresh]) expect(verifyWebhook(request, [secret])).toBe(true);
    expect(verifyWebhook(request, [newSecret()])).toBe(false);
    expect(verifyWebhook({ ...request, body: request.body.replace('created', 'deleted') }, [old])).toBe(false);
    const stale = {
      ...request.headers,
      'webhook-timestamp': String(Number(request.headers['webhook-timestamp']) - 301),
    };
    expect(verifyWebhook({ ...request, headers: stale }, [old])).toBe(false);
    expect(verifyWebhook({ ...request, headers: {} }, [old])).toBe(false);
  });

  it('is told again, with the same id, until it answers with 2xx', async () => {
    const { url, got } = await receiver((response, count) => void response.writeHead(count < 3 ? 500 : 200).end());
    const app = await start([hook(url, [newSecret()])]);
    await app.users.createUser({ email: freshEmail() });
    await until('the third request', () => got.length === 3);
    expect(new Set(got.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    await until('its end', async () => (await app.feed.getSubscriptions())[0]?.attempts === 0);
  });

  it('that redirects is not followed, and becomes a dead letter in the end (SEC-93)', async () => {
    const target = await receiver(ok);
    const { url, got } = await receiver((response) => void response.writeHead(307, { location: target.url }).end());
    const app = await start([hook(url, [newSecret()], { maxAttempts: 2 })]);
    await app.users.createUser({ email: freshEmail() });
    await until('the dead letter', async () => (await app.feed.getDeadLetters('webhook:erp')).length === 1);
    expect([got.length, target.got.length]).toEqual([2, 0]);
    expect(await app.feed.getDeadLetters('webhook:erp')).toMatchObject([
      { error: 'RefusedByReceiverError: status 307' },
    ]);
  });

  it('that never answers is given up after its timeout', async () => {
    const { url, got } = await receiver(() => undefined);
    const app = await start([hook(url, [newSecret()], { timeoutMs: 50, maxAttempts: 1 })]);
    await app.users.createUser({ email: freshEmail() });
    await until('the dead letter', async () => (await app.feed.getDeadLetters('webhook:erp')).length === 1);
    expect(got).toHaveLength(1);
  });

  it('at an address that is not public is not asked unless that is allowed (SEC-93)', async () => {
    const { url, got } = await receiver(ok);
    const { port } = new URL(url);
    const hosts = ['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]', '2130706433'];
    const refused = { allowPrivateAddresses: false, maxAttempts: 1 };
    const app = await start(
      hosts.map((host, index) => hook(`https://${host}:${port}/`, [newSecret()], { ...refused, name: `erp${index}` })),
    );
    await app.users.createUser({ email: freshEmail() });
    for (const index of hosts.keys()) {
      const letters = (): ReturnType<typeof app.feed.getDeadLetters> => app.feed.getDeadLetters(`webhook:erp${index}`);
      await until('the dead letter', async () => (await letters()).length === 1);
      expect((await letters())[0]?.error).toMatch(/^PrivateAddressError\b/);
    }
    expect(got).toEqual([]);
  });

  it('of one tenant is told of that tenant only', async () => {
    const { url, got } = await receiver(ok);
    const all = await receiver(ok);
    const { url: database, drop } = await createTestDatabase();
    open.push(drop);
    const before = await startNestApp(database);
    const [mine, other] = [
      await before.tenants.createTenant({ name: 'Mine', slug: 'mine' }),
      await before.tenants.createTenant({ name: 'Other', slug: 'other' }),
    ];
    await before.close();
    const webhooks = [hook(url, [newSecret()], { tenantId: mine.id }), hook(all.url, [newSecret()], { name: 'all' })];
    const app = await startNestApp(database, { auth: { webhooks, subscribers: { pollMs: 20, leaseMs: 600 } } });
    open.push(() => app.close());
    await app.users.createUser({ email: freshEmail() }, other.id);
    const email = freshEmail();
    await app.users.createUser({ email }, mine.id);
    await until('both', () => all.got.length === 2 && got.length > 0);
    expect(got.map(({ body }) => (JSON.parse(body) as { after: { email: string } }).after.email)).toEqual([email]);
  });
});

describe('an address', () => {
  it.each([
    ['8.8.8.8', true],
    ['2606:4700:4700::1111', true],
    ['10.1.2.3', false],
    ['172.16.0.1', false],
    ['192.168.1.1', false],
    ['169.254.169.254', false],
    ['100.64.0.1', false],
    ['0.0.0.0', false],
    ['127.0.0.1', false],
    ['::1', false],
    ['::ffff:10.0.0.1', false],
    ['fd00::1', false],
    ['fe80::1', false],
    ['224.0.0.1', false],
    ['255.255.255.255', false],
    ['64:ff9b::a00:1', false],
    ['example.com', false],
  ])('%s is public: %s', (address, expected) => {
    expect(isPublic(address)).toBe(expected);
  });
});

describe('a webhook that is set up wrongly', () => {
  const fine = hook('https://example.com/hook', [newSecret()], { allowPrivateAddresses: false });
  const wrong = expect.objectContaining({ code: 'INVALID_OPTIONS' });

  it.each([
    ['http', { url: 'http://example.com' }],
    ['a user in the address', { url: 'https://ada:secret@example.com' }],
    ['no address', { url: 'example' }],
    ['a short secret', { secrets: ['whsec_c2hvcnQ='] }],
    ['no secret', { secrets: [] }],
    ['no event', { types: [] }],
    ['an unknown option', { retries: 3 }],
    ['a tenant that is none', { tenantId: 'acme' }],
  ])('is refused where it is written: %s', (_what, change) => {
    expect(() => NestAuthModule.forRoot({ webhooks: [{ ...fine, ...change }] })).toThrow(wrong);
  });

  it('is refused when two have one name', () => {
    expect(() => NestAuthModule.forRoot({ webhooks: [fine, fine] })).toThrow(wrong);
  });

  it('keeps the application from starting with an event that does not exist', async () => {
    await expect(start([{ ...fine, types: ['nest_auth.user.creatd'] }])).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
    });
  });
});
