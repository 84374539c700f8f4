import type { INestApplication } from '@nestjs/common';
import { castOf, type Play } from './invited.play.js';
import { isUntouched, tokensStored, whatIsStored } from './invited.look.js';
import { changesEmail, enrols, forgets, givesKey, isInvited, signsInByTwo } from './invited.scenes.js';
import { PortalClient } from './portal-client.js';
import { type PostOffice, purposeOf } from './post-office.js';
import type { Setting } from './setting.js';
import { heading, mark, print, table } from './terminal.js';

/**
 * One person over HTTP, who has nothing but the mails that came: invited, with a second factor, a password that was
 * forgotten, another email, and a key for a script.
 */
export async function showInvited(
  app: INestApplication,
  url: string,
  { tenants, roleIds }: Setting,
  office: PostOffice,
  name = 'noor',
): Promise<boolean> {
  heading('Invited, forgotten, and with a second factor');
  const play: Play = {
    app,
    url,
    office,
    client: new PortalClient(await app.getUrl()),
    cast: castOf(name),
    secrets: [],
    tenantId: tenants.get('lumen-library')?.id ?? '',
    roleIds: [roleIds.get('manager') ?? ''],
  };
  const before = office.mails.length;
  const undone = await isInvited(play);
  const authenticator = await enrols(play);
  await forgets(play, authenticator);
  const tokens = await signsInByTwo(play, authenticator);
  await changesEmail(play, tokens, authenticator);
  await givesKey(play, tokens);
  const ok = play.client.show();
  return [ok, showMails(play, before), await showStored(play, undone)].every(Boolean);
}

function showMails({ office, cast }: Play, before: number): boolean {
  heading('The mails of this, as a mail server on this machine has taken them');
  const mails = office.mails.slice(before);
  table(
    [
      { title: 'to', width: 28 },
      { title: 'subject', width: 40 },
      { title: 'what for', width: 28 },
    ],
    mails.map((mail) => [mail.to, mail.subject, purposeOf(mail)]),
  );
  const ghosts = mails.filter(({ to }) => to === cast.ghost).length;
  const different = new Set(mails.map(({ id }) => id)).size;
  const isEachOnce = mails.length > 0 && different === mails.length;
  print(`\n${mark(isEachOnce)} ${mails.length} mails, each of them once`);
  print(`${mark(ghosts === 0)} ${ghosts} mails to ${cast.ghost}, whose user and invitation were rolled back`);
  return isEachOnce && ghosts === 0;
}

async function showStored(play: Play, undone: Awaited<ReturnType<typeof isInvited>>): Promise<boolean> {
  const stored = await whatIsStored(play.url, play.cast.renamed);
  const { found, searched } = await tokensStored(play.url, play.secrets);
  const isMirrored = stored.appUserEmail === play.cast.renamed;
  const claims: [boolean, string][] = [
    [isUntouched(undone), 'the acceptance with the birthday to come left the invitation pending, and nobody half-made'],
    [stored.invitation === 'accepted', 'the invitation is accepted, once, by the user whom it has made'],
    [isMirrored, 'AppUser has the new email, as the auth user has'],
    [
      stored.openSessions === 2,
      `${stored.openSessions} sessions go on, which began after the reset, by a second factor`,
    ],
    [
      found === 0,
      `of ${play.secrets.length} tokens, codes and keys that came up, ${found} are in the ${searched} tables`,
    ],
  ];
  for (const [ok, claim] of claims) print(`${mark(ok)} ${claim}`);
  return claims.every(([ok]) => ok);
}
