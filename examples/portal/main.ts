// npm start
//
// The portal over HTTP, with the people of people.csv in a database of its own, until Ctrl-C. It prints the password of
// its administrators, so it listens on 127.0.0.1 only.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { NestFactory } from '@nestjs/core';
import { PortalModule } from './app/portal.module.js';
import { PortalUserService } from './app/portal-user.service.js';
import { importWithProgress } from './demo/import.progress.js';
import { withDatabase } from './demo/lifetime.js';
import { createSetting, type Setting } from './demo/setting.js';
import { heading, paint, print } from './demo/terminal.js';

const HOST = '127.0.0.1';
const PORT = Number(process.env['PORT'] ?? 3000);

await withDatabase(async ({ url, description }, stopping) => {
  // The rows of people.csv that are refused on purpose are no news.
  const auth = { log: { failedTransactions: false } };
  const app = await NestFactory.create(PortalModule.connectedTo(url, auth), { logger: ['error'] });
  // Before the import: a port that is taken should be told at once.
  await app.listen(PORT, HOST);
  const setting = await createSetting(app);
  const portal = app.get(PortalUserService);
  const { outcomes } = await importWithProgress(portal, setting);
  const somebody = outcomes.find(({ user }) => user?.email && user.phone)?.user;
  const people = await createAdministrators(portal, setting);

  heading(`The portal listens on http://${HOST}:${PORT} (${description})`);
  for (const [what, command] of commands(setting, people, somebody?.authUserId ?? ''))
    print(`${paint('dim', `# ${what}`)}\n${command}\n`);
  print(`The passwords are of this run only. Ctrl-C stops the portal and removes its database.`);
  await once(stopping, 'abort');
  await app.close();
  return 0;
});

interface Administrators {
  readonly password: string;
  readonly root: string;
  readonly manager: string;
}

/** One of the platform and one of a tenant, with a password that nobody else has. */
async function createAdministrators(portal: PortalUserService, { tenants, roleIds }: Setting): Promise<Administrators> {
  const people = {
    password: randomBytes(12).toString('base64url'),
    root: 'root@example.com',
    manager: 'manager@example.com',
  };
  const { password, root, manager } = people;
  const role = (name: string): string[] => [roleIds.get(name) ?? ''];
  await portal.createAdmin({ email: root, password, displayName: 'Root', roleIds: role('platform-owner') });
  const tenantId = tenants.get('kestrel-freight')?.id ?? '';
  const member = { email: manager, password, displayName: 'Manager', roleIds: role('manager') };
  await portal.createPortalUser({ ...member, tenantId });
  return people;
}

function commands(
  { tenants, roleIds }: Setting,
  { password, root, manager }: Administrators,
  userId: string,
): [what: string, command: string][] {
  const base = `http://${HOST}:${PORT}`;
  const tenantId = tenants.get('kestrel-freight')?.id;
  const json = "-H 'content-type: application/json'";
  const by = (token: string): string => `-H "authorization: Bearer $${token}"`;
  const send = (method: string, path: string, token: string, body: unknown): string =>
    `curl -i -X ${method} ${base}${path} ${by(token)} ${json} \\\n  -d '${JSON.stringify(body)}'`;
  const signIn = (token: string, body: unknown): string =>
    `${token}=$(curl -s ${base}/auth/sign-in ${json} -d '${JSON.stringify(body)}' | \\\n  node -pe 'JSON.parse(fs.readFileSync(0)).accessToken')`;
  const grace = { email: 'grace@example.com', displayName: 'Grace Okafor', invite: true };
  return [
    ['Sign in on the platform; the token is good for five minutes', signIn('ROOT', { email: root, password })],
    ['Sign in at Kestrel Freight', signIn('MANAGER', { email: manager, password, tenantId })],
    ['Its people; pass nextCursor as ?after= for the next page', `curl -s ${base}/portal/users ${by('MANAGER')}`],
    ['What the manager may not: 403', `curl -i '${base}/users' ${by('MANAGER')}`],
    ['One of them, with tenants and permissions', `curl -s ${base}/users/${userId} ${by('ROOT')}`],
    [
      'Somebody new, who gets a welcome message; the second time it is 409',
      send('POST', '/portal/users', 'MANAGER', { ...grace, roleIds: [roleIds.get('kestrel-freight/dispatcher')] }),
    ],
    ['The last messages', `curl -s ${base}/mails ${by('ROOT')}`],
    [
      'Invite somebody; the mail is kept instead of sent',
      send('POST', '/portal/invitations', 'MANAGER', { email: 'edith@example.com' }),
    ],
    ['What would have been mailed, with the link', `curl -s ${base}/captured-mails ${by('ROOT')}`],
    [
      'Accept, by what stands behind the # of the link: auth user, membership and AppUser at once',
      `TOKEN=$(curl -s ${base}/captured-mails ${by('ROOT')} | \\\n  node -pe 'JSON.parse(fs.readFileSync(0))[0].token')\n` +
        `curl -i ${base}/invitations/accept ${json} \\\n` +
        `  -d '{"token":"'$TOKEN'","displayName":"Edith","password":"three herons by the weir"}'`,
    ],
    [
      'Forgotten already; the link of the next mail takes /auth/password/reset',
      `curl -i ${base}/auth/password/forgotten ${json} -d '{"email":"edith@example.com"}'`,
    ],
    [
      'A key for a script, which may read the members and nothing else',
      send('POST', '/auth/api-keys', 'MANAGER', { name: 'nightly report', scopes: ['members.read'] }),
    ],
    [
      'A birthday to come: 422, and the email stays free',
      send('POST', '/portal/users', 'MANAGER', { ...grace, email: 'ada@example.com', dateOfBirth: '2999-01-01' }),
    ],
    [
      'A new email and name, on auth user, identity and AppUser at once',
      send('PATCH', `/users/${userId}`, 'ROOT', { email: 'renamed@example.org', displayName: 'Renamed' }),
    ],
    ['What has happened to them, by whom, and from where', `curl -s ${base}/users/${userId}/timeline ${by('ROOT')}`],
    ['Gone, with everything that belongs to them', `curl -i -X DELETE ${base}/users/${userId} ${by('ROOT')}`],
    [
      'Out on every device; the token is refused at once',
      `curl -i -X POST ${base}/auth/sign-out-everywhere ${by('MANAGER')}`,
    ],
  ];
}
