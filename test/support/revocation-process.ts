// One process of a deployment that is asked for rights all the time. Started by the tests of revocation.
//
// Told `{"permission": …}` or `{"token": …}` on a line, it says `allowed` when that is allowed, goes on asking, and says
// `refused <milliseconds since 1970>` as soon as it is not.
import { createInterface } from 'node:readline';
import { setImmediate as turn } from 'node:timers/promises';

import { AccessService, AuthService, type SessionKey } from '../../src/index.js';
import { startProcessApp } from './process-app.js';

interface Question {
  readonly userId: string;
  readonly tenantId: string;
  readonly permission?: string;
  readonly token?: string;
}

const [url, keys, revocation] = process.argv.slice(2) as [string, string, string];

const options = { session: { keys: JSON.parse(keys) as SessionKey[] }, revocation: JSON.parse(revocation) as object };
const app = await startProcessApp(url, options, { pool: 3 });
const [access, auth] = [app.get(AccessService), app.get(AuthService)];

async function isAllowed({ userId, tenantId, permission, token }: Question): Promise<boolean> {
  if (permission !== undefined) return access.can(userId, tenantId, permission);
  return auth.authenticate(token ?? '').then(
    () => true,
    () => false,
  );
}

console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line) as Question;
  console.log((await isAllowed(question)) ? 'allowed' : 'not even before');
  while (await isAllowed(question)) await turn();
  console.log(`refused ${performance.timeOrigin + performance.now()}`);
}
await app.close();
process.exit();
