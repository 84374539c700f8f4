import type { INestApplication } from '@nestjs/common';
import { PortalUserService } from '../app/portal-user.service.js';
import { withClient } from './database.js';
import { PortalClient, type Tokens } from './portal-client.js';
import type { Setting } from './setting.js';
import { heading, mark, print } from './terminal.js';

const PASSWORD = 'a long walk on a short pier';

/** With what she signs in, and where. */
interface Login {
  readonly email: string;
  readonly password: string;
  readonly tenantId: string;
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
  const client = new PortalClient(await app.getUrl());
  const here: Login = { email, password: PASSWORD, tenantId: library };
  await go(client, here, await come(client, here, school));
  const ok = client.show();
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

async function come(client: PortalClient, login: Login, school: string): Promise<Tokens> {
  const { tenantId: library } = login;
  await client.step('has no token', 'GET /portal/users', '401 UNAUTHENTICATED');
  await client.step('mistypes the password', 'POST /auth/sign-in', '401 INVALID_CREDENTIALS', {
    body: { ...login, password: 'a long walk' },
  });
  const first = await client.tokens('signs in at Lumen Library', 'POST /auth/sign-in', login);
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
  return third;
}

async function go(client: PortalClient, login: Login, one: Tokens): Promise<void> {
  const two = await client.tokens('signs in on a second device', 'POST /auth/sign-in', login);
  await client.step('signs out everywhere', 'POST /auth/sign-out-everywhere', '200 2 ended', {
    token: two.accessToken,
    show: ({ ended }) => `${String(ended)} ended`,
  });
  for (const [name, tokens] of [
    ['first', one],
    ['second', two],
  ] as const) {
    const token = tokens.accessToken;
    await client.step(`the ${name} device is refused`, 'GET /auth/me', '401 ACCESS_TOKEN_INVALID', { token });
    await client.step('and cannot refresh', 'POST /auth/refresh', '401 REFRESH_TOKEN_INVALID', {
      body: { refreshToken: tokens.refreshToken },
    });
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
