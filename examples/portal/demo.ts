// npm run demo
//
// Imports people.csv, proves from the database what came of it, breaks a flow at each of its statements, shows the life
// of one user with its timeline, signs somebody in and out through guarded routes, goes through the mails of somebody who
// was invited and has forgotten the password, and says how fast it was. Needs nothing but Node; with DATABASE_URL it uses
// a database of its own on that server.
import { availableParallelism } from 'node:os';
import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { smtpSender } from 'nest-auth-identity/nodemailer';
import { DataSource } from 'typeorm';
import { PortalModule } from './app/portal.module.js';
import { PortalUserService } from './app/portal-user.service.js';
import { showChanges } from './demo/changes.js';
import { showFailingSteps } from './demo/failing-steps.js';
import { importWithProgress } from './demo/import.progress.js';
import { showCorrected, showRefusals, showSpeed } from './demo/import.report.js';
import { showInvariants, showInvariantsAgain } from './demo/invariants.report.js';
import { happenedIn, readInvariants } from './demo/invariants.js';
import { showInvited } from './demo/invited.js';
import { showLife } from './demo/life.js';
import { withDatabase } from './demo/lifetime.js';
import { PostOffice } from './demo/post-office.js';
import { showSessions } from './demo/sessions.js';
import { createSetting, type Setting } from './demo/setting.js';
import { heading, paint, print } from './demo/terminal.js';
import { showWelcomes, untilWelcomed } from './demo/welcome.js';

await withDatabase(async ({ url, description }) => {
  const started = performance.now();
  heading('nest-auth-identity: a portal in which nobody is half-made');
  print(`Node ${process.versions.node}, ${availableParallelism()} cores, ${description}`);

  // What fails here is meant to; a line for each would hide what is shown.
  const office = await PostOffice.open();
  const auth = {
    log: { failedTransactions: false },
    subscribers: { pollMs: 100 },
    delivery: { sender: smtpSender({ url: office.url, from: { name: 'The portal', address: 'portal@example.com' } }) },
  };
  const app = await NestFactory.create(PortalModule.connectedTo(url, auth), { logger: ['error'] });
  await app.listen(0, '127.0.0.1');
  const setting = await createSetting(app);
  await describe(app, setting);

  const portal = app.get(PortalUserService);
  const imported = await importWithProgress(portal, setting);
  const invariants = async () => {
    await untilWelcomed(url);
    return readInvariants(url, happenedIn(app));
  };
  const proofs = [
    await showRefusals(url, imported),
    await showCorrected(portal, setting, imported),
    await showWelcomes(url),
    showInvariants(await invariants()),
    await showFailingSteps(app, url, setting),
    await showChanges(app, url, imported),
    await showLife(app, url, setting),
    await showSessions(app, url, setting),
    await showInvited(app, url, setting, office),
    showInvariantsAgain(await invariants()),
  ];
  showSpeed(imported);
  await app.close();
  await office.close();

  const ok = proofs.every(Boolean);
  const seconds = ((performance.now() - started) / 1_000).toFixed(1);
  const verdict = ok ? paint('green', 'Everything held') : paint('red', 'Something did not hold: see ✗ above');
  print(`\n${verdict}, ${seconds} s after PostgreSQL was there.`);
  return ok ? 0 : 1;
});

async function describe(app: INestApplicationContext, { tenants, roleIds, permissions }: Setting): Promise<void> {
  const migrations = await app.get(DataSource).query<{ name: string }[]>('SELECT name FROM migrations ORDER BY id');
  print(`${migrations.length} migrations: ${migrations.map(({ name }) => name.replace(/\d+$/, '')).join(', ')}`);
  print(`${tenants.size} tenants: ${[...tenants.values()].map(({ name }) => name).join(', ')}`);
  const own = [...roleIds.keys()].filter((name) => name.includes('/')).length;
  print(
    `${roleIds.size} roles (${roleIds.size - own} of the system, ${own} of single tenants), ${permissions} permissions`,
  );
}
