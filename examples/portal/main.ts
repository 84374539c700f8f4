// npm start
//
// The portal over HTTP, with the people of people.csv in a database of its own, until Ctrl-C. There is no sign-in:
// whoever reaches the port may do everything, so it listens on 127.0.0.1 only.
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
  const { outcomes } = await importWithProgress(app.get(PortalUserService), setting);
  const somebody = outcomes.find(({ user }) => user?.email && user.phone)?.user;

  heading(`The portal listens on http://${HOST}:${PORT} (${description})`);
  for (const [what, command] of commands(setting, somebody?.authUserId ?? ''))
    print(`${paint('dim', `# ${what}`)}\n${command}\n`);
  print(`There is no sign-in, so it listens on ${HOST} only. Ctrl-C stops it and removes its database.`);
  await once(stopping, 'abort');
  await app.close();
  return 0;
});

function commands({ tenants, roleIds }: Setting, userId: string): [what: string, command: string][] {
  const base = `http://${HOST}:${PORT}`;
  const tenantId = tenants.get('kestrel-freight')?.id;
  const send = (method: string, path: string, body: unknown): string =>
    `curl -i -X ${method} ${base}${path} -H 'content-type: application/json' \\\n  -d '${JSON.stringify(body)}'`;
  const grace = { tenantId, email: 'grace@example.com', displayName: 'Grace Okafor', invite: true };
  return [
    [
      'Kestrel Freight’s people; pass nextCursor as &after= for the next page',
      `curl -s '${base}/users?tenantId=${tenantId}'`,
    ],
    ['One of them, with tenants and permissions', `curl -s ${base}/users/${userId}`],
    [
      'Somebody new, who gets a welcome message; the second time it is 409',
      send('POST', '/portal/users', { ...grace, roleIds: [roleIds.get('kestrel-freight/dispatcher')] }),
    ],
    ['The last messages', `curl -s ${base}/mails`],
    [
      'A birthday to come: 422, and the email stays free',
      send('POST', '/portal/users', { ...grace, email: 'ada@example.com', dateOfBirth: '2999-01-01' }),
    ],
    [
      'An administrator of the platform',
      send('POST', '/admin/users', {
        email: 'root@example.com',
        password: 'a long walk on a short pier',
        displayName: 'Root',
        roleIds: [roleIds.get('platform-owner')],
      }),
    ],
    [
      'A new email and name, on auth user, identity and AppUser at once',
      send('PATCH', `/users/${userId}`, { email: 'renamed@example.org', displayName: 'Renamed' }),
    ],
    ['What has happened to them, when, and from where', `curl -s ${base}/users/${userId}/timeline`],
    ['Gone, with everything that belongs to them', `curl -i -X DELETE ${base}/users/${userId}`],
  ];
}
