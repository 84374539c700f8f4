import type { INestApplication } from '@nestjs/common';
import { PortalUserService } from '../app/portal-user.service.js';
import { withClient } from './database.js';
import type { Setting } from './setting.js';
import { heading, mark, print, table } from './terminal.js';

const PASSWORD = 'a long walk on a short pier';

/** What one must know of the tokens that `/auth/…` answers. */
interface Tokens {
  readonly accessToken: string;
  readonly refreshToken: string;
}

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

interface Step {
  readonly title: string;
  readonly request: string;
  readonly expected: string;
  readonly found: string;
}

/** One person over HTTP: in, refused, refreshed, in another tenant, and out on every device at once. */
export async function showSessions(
  app: INestApplication,
  url: string,
  setting: Setting,
  email = 'mara@example.com',
): Promise<boolean> {
  heading('Signing in over HTTP, through guards, until every device is signed out');
  const { library, school, userId } = await invite(app, setting, email);
  const steps: Step[] = [];
  const client = new PortalClient(await app.getUrl(), email, steps);
  await come(client, library, school);
  await go(client, library);
  const ok = steps.every(({ expected, found }) => expected === found);
  table(
    [
      { title: '', width: 1 },
      { title: 'step', width: 42 },
      { title: 'request', width: 32 },
      { title: 'answer', width: 26 },
    ],
    steps.map(({ title, request, expected, found }) => [mark(expected === found), title, request, found]),
  );
  const { open, named } = await look(url, userId);
  print(`\n${mark(open === 0)} ${open} of her sessions go on; another connection says so`);
  print(`${mark(named)} the activity of the sign-out names her, the tenant, and the session that she did it in`);
  return ok && open === 0 && named;
}

/** Runs one tenant, and is a mere member of another. */
async function invite(app: INestApplication, { tenants, roleIds }: Setting, email: string) {
  const [library, school] = [tenants.get('lumen-library')?.id ?? '', tenants.get('alder-school')?.id ?? ''];
  const manager = roleIds.get('manager') ?? '';
  const portal = app.get(PortalUserService);
  const mara = { email, password: PASSWORD, displayName: 'Mara', tenantId: library, roleIds: [manager] };
  const { authUserId: userId } = await portal.createPortalUser(mara);
  await portal.addToTenant(userId, school, [roleIds.get('member') ?? '']);
  return { library, school, userId };
}

async function come(client: PortalClient, library: string, school: string): Promise<void> {
  await client.step('has no token', 'GET /portal/users', '401 UNAUTHENTICATED');
  await client.step('mistypes the password', 'POST /auth/sign-in', '401 INVALID_CREDENTIALS', {
    body: { email: client.email, password: 'a long walk', tenantId: library },
  });
  const first = await client.signIn('signs in at Lumen Library', library);
  await client.step('lists its members, as a manager', 'GET /portal/users', '200', { token: first.accessToken });
  await client.step('names another tenant in a header', 'GET /auth/me', '200 at Lumen Library', {
    token: first.accessToken,
    tenantId: school,
    show: ({ tenantId }) => (tenantId === library ? 'at Lumen Library' : 'elsewhere'),
  });
  await client.step('has no right on the platform', 'GET /users', '403 PERMISSION_DENIED', {
    token: first.accessToken,
  });
  const second = await client.tokens('refreshes', 'POST /auth/refresh', { refreshToken: first.refreshToken });
  await client.step('goes on with the new token', 'GET /portal/users', '200', { token: second.accessToken });
  const switched = { refreshToken: second.refreshToken, tenantId: school };
  const third = await client.tokens('switches to Alder Street School', 'POST /auth/switch', switched);
  await client.step('is no manager there', 'GET /portal/users', '403 PERMISSION_DENIED', { token: third.accessToken });
  await client.step('has left the library with that session', 'GET /portal/users', '401 ACCESS_TOKEN_INVALID', {
    token: second.accessToken,
  });
  client.devices.push(third);
}

async function go(client: PortalClient, library: string): Promise<void> {
  client.devices.push(await client.signIn('signs in on a second device', library));
  const [one, two] = client.devices;
  await client.step('signs out everywhere', 'POST /auth/sign-out-everywhere', '200 2 ended', {
    token: two?.accessToken,
    show: ({ ended }) => `${String(ended)} ended`,
  });
  for (const [name, tokens] of [
    ['first', one],
    ['second', two],
  ] as const) {
    const token = tokens?.accessToken;
    await client.step(`the ${name} device is refused`, 'GET /auth/me', '401 ACCESS_TOKEN_INVALID', { token });
    await client.step('and cannot refresh', 'POST /auth/refresh', '401 REFRESH_TOKEN_INVALID', {
      body: { refreshToken: tokens?.refreshToken },
    });
  }
}

interface Sending {
  readonly token?: string | undefined;
  readonly body?: object;
  /** For a header that nobody believes. */
  readonly tenantId?: string;
  readonly show?: (body: Record<string, unknown>) => string;
}

class PortalClient {
  readonly devices: Tokens[] = [];

  constructor(
    private readonly url: string,
    readonly email: string,
    private readonly steps: Step[],
  ) {}

  async step(title: string, request: string, expected: string, sending: Sending = {}): Promise<Answer['body']> {
    const { status, body } = await this.#send(request, sending);
    const shown = status < 400 ? (sending.show?.(body) ?? '') : String(body['code']);
    this.steps.push({ title, request, expected, found: `${status} ${shown}`.trim() });
    return body;
  }

  async tokens(title: string, request: string, body: object): Promise<Tokens> {
    return (await this.step(title, request, '200', { body })) as unknown as Tokens;
  }

  signIn(title: string, tenantId: string): Promise<Tokens> {
    return this.tokens(title, 'POST /auth/sign-in', { email: this.email, password: PASSWORD, tenantId });
  }

  async #send(request: string, { token, body, tenantId }: Sending): Promise<Answer> {
    const [method = '', path = ''] = request.split(' ');
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        'content-type': 'application/json',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(tenantId === undefined ? {} : { 'x-tenant-id': tenantId }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }
}

/** What the tables hold, over a connection that nothing of the package is between. */
function look(url: string, userId: string): Promise<{ open: number; named: boolean }> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ open: number; named: boolean }>(
      `SELECT (SELECT count(*)::int FROM nest_auth_sessions WHERE user_id = $1 AND revoked_at IS NULL) AS open,
         EXISTS (
           SELECT FROM nest_auth_activities a JOIN nest_auth_sessions s
             ON s.user_id = a.user_id AND s.id::text = a.details ->> 'actorSessionId' AND s.tenant_id = a.tenant_id
           WHERE a.user_id = $1 AND a.actor_id = $1::text AND a.type = 'nest_auth.session.revoked') AS named`,
      [userId],
    );
    return rows[0] ?? { open: Number.NaN, named: false };
  });
}
