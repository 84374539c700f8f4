import { InvitationService, UserService } from 'nest-auth-identity';
import { generate } from 'otplib';
import { PortalUserService } from '../app/portal-user.service.js';
import { whatIsStored } from './invited.look.js';
import type { Play } from './invited.play.js';
import type { Tokens } from './portal-client.js';
import { tokenIn } from './post-office.js';

const OLD = 'a long walk on a short pier';
const NEW = 'two herons by the weir at noon';
const STEP_SECONDS = 30;

/** The app on the telephone, and the paper in the drawer. */
interface Authenticator {
  readonly secret: string;
  readonly recoveryCodes: readonly string[];
  /** That of the device on which it was enrolled. */
  readonly session: Tokens;
}

/** Answers what an acceptance that was refused has left. */
export async function isInvited(play: Play) {
  const { client, cast, office, roleIds, url } = play;
  const token = await inviter(play);
  await rollBack(play);
  const seen = office.mails.length;
  await client.step('invites Noor', 'POST /portal/invitations', '201 pending', {
    token,
    body: { email: cast.invited, roleIds },
    show: ({ status }) => String(status),
  });
  const invited = noted(play, tokenIn(await office.nextTo(cast.invited, seen)));
  await client.step('Noor looks at what came', 'POST /invitations/preview', '200 Lumen Library', {
    body: { token: invited },
    show: ({ tenantName }) => String(tenantName),
  });
  const accept = (title: string, expected: string, changes: object = {}) => {
    const body = { token: invited, displayName: 'Noor', password: OLD, ...changes };
    return client.step(title, 'POST /invitations/accept', expected, { body });
  };
  await accept('with a password that many have', '422 PASSWORD_REFUSED', { password: 'passwordpassword' });
  await accept('with a birthday to come', '422 DATE_OF_BIRTH_REFUSED', { dateOfBirth: '2999-01-01' });
  const left = await whatIsStored(url, cast.invited);
  await accept('accepts by the same link', '201');
  await accept('and once more', '404 INVITATION_INVALID');
  return left;
}

/** Somebody who runs the tenant, signed in. */
async function inviter({ app, client, cast, tenantId, roleIds }: Play): Promise<string> {
  const login = { email: cast.inviter, password: OLD, tenantId };
  await app.get(PortalUserService).createPortalUser({ ...login, displayName: 'Ines', roleIds });
  const { accessToken } = await client.tokens('Ines signs in, who runs the library', 'POST /auth/sign-in', login);
  return accessToken;
}

/** An invitation and a user, both written and taken back: nobody may hear of them. */
async function rollBack({ app, cast, tenantId }: Play): Promise<void> {
  const rolledBack = new Error('rolled back by the demo');
  const users = app.get(UserService);
  const both = users.runInTransaction(async (manager) => {
    await app.get(InvitationService).sendInvitation({ email: cast.ghost, tenantId }, manager);
    await users.createUser({ email: cast.ghost }, undefined, undefined, manager);
    throw rolledBack;
  });
  await both.catch((error: unknown) => {
    if (error !== rolledBack) throw error;
  });
}

/** The session in which it is done goes on; what is signed in elsewhere ends. */
export async function enrols(play: Play): Promise<Authenticator> {
  const { client } = play;
  const first = await client.tokens('Noor signs in', 'POST /auth/sign-in', loginOf(play, OLD));
  const enrolment = await client.step('wants a second factor', 'POST /auth/second-factor', '201 with a QR code', {
    token: first.accessToken,
    body: { currentPassword: OLD },
    show: ({ qrCode }) => (String(qrCode).trimStart().startsWith('<svg') ? 'with a QR code' : 'without'),
  });
  const secret = noted(play, String(enrolment['secret']));
  const enabled = await client.step('shows a code of it', 'POST /auth/second-factor/confirm', '200 10 recovery codes', {
    token: first.accessToken,
    body: { code: await codeOf(secret, 'now') },
    show: ({ recoveryCodes }) => `${(recoveryCodes as string[]).length} recovery codes`,
  });
  const recoveryCodes = enabled['recoveryCodes'] as string[];
  play.secrets.push(...recoveryCodes);
  const session = await client.tokens('and goes on', 'POST /auth/refresh', { refreshToken: first.refreshToken });
  return { secret, recoveryCodes, session };
}

export async function forgets(play: Play, { session }: Authenticator): Promise<void> {
  const { client, cast, office } = play;
  const seen = office.mails.length;
  const ask = 'POST /auth/password/forgotten';
  await client.step('a stranger has forgotten a password', ask, '202', { body: { email: cast.ghost } });
  await client.step('so has Noor, and is answered the same', ask, '202', { body: { email: cast.invited } });
  const token = noted(play, tokenIn(await office.nextTo(cast.invited, seen, 'reset-password')));
  const reset = (title: string, expected: string, password: string) =>
    client.step(title, 'POST /auth/password/reset', expected, { body: { token, password } });
  await reset('chooses her own email', '422 PASSWORD_REFUSED', cast.invited);
  await reset('chooses another password by the link', '204', NEW);
  await reset('and once more', '400 ONE_TIME_TOKEN_INVALID', NEW);
  await client.step('is signed out where she was signed in', 'GET /auth/me', '401 ACCESS_TOKEN_INVALID', {
    token: session.accessToken,
  });
  await client.step('and cannot refresh', 'POST /auth/refresh', '401 REFRESH_TOKEN_INVALID', {
    body: { refreshToken: session.refreshToken },
  });
  await client.step('the old password is refused', 'POST /auth/sign-in', '401 INVALID_CREDENTIALS', {
    body: loginOf(play, OLD),
  });
}

/** The reset has skipped nothing: the new password alone opens no session. */
export async function signsInByTwo(play: Play, { secret, recoveryCodes }: Authenticator): Promise<Tokens> {
  const { client } = play;
  const challenge = await challenged(play, 'the new one is not enough');
  await client.step('what it answers opens nothing', 'GET /auth/me', '401 ACCESS_TOKEN_INVALID', { token: challenge });
  // That of the present half-minute was used to enrol: the next one is taken, too, because clocks differ.
  const code = await codeOf(secret, 'next');
  const tokens = await second(play, 'signs in with a code', '200', { challengeToken: challenge, code });
  const again = await challenged(play, 'signs in on another device');
  await second(play, 'the same code does not work twice', '401 SECOND_FACTOR_INVALID', { challengeToken: again, code });
  const [recoveryCode = ''] = recoveryCodes;
  await second(play, 'a recovery code does', '200', { challengeToken: again, recoveryCode });
  const third = await challenged(play, 'and on a third one');
  await second(play, 'where that recovery code is used up', '401 SECOND_FACTOR_INVALID', {
    challengeToken: third,
    recoveryCode,
  });
  return tokens;
}

/** Where the mails go decides who comes in: whoever has a second factor shows it for another address, too. */
export async function changesEmail(
  play: Play,
  { accessToken: token }: Tokens,
  { recoveryCodes: [, recoveryCode] }: Authenticator,
): Promise<void> {
  const { client, cast, office } = play;
  const seen = office.mails.length;
  const change = { email: cast.renamed, currentPassword: NEW };
  const ask = 'POST /auth/email';
  await client.step('wants another email by the password alone', ask, '400 VALIDATION_FAILED', { token, body: change });
  await client.step('and with a recovery code', ask, '202', { token, body: { ...change, recoveryCode } });
  const confirmation = { token: noted(play, tokenIn(await office.nextTo(cast.renamed, seen))) };
  await client.step('confirms it by the link', 'POST /auth/email/confirm', '200 with the new one', {
    body: confirmation,
    show: ({ email }) => (email === cast.renamed ? 'with the new one' : 'with another'),
  });
  await client.step('and once more', 'POST /auth/email/confirm', '400 ONE_TIME_TOKEN_INVALID', { body: confirmation });
  // The address of before hears of it; that is the last mail of the chapter.
  await office.nextTo(cast.invited, seen, 'email address of your account was changed');
}

/** A key opens what its scopes name, and nothing by which one would get another. */
export async function givesKey(play: Play, { accessToken: token }: Tokens): Promise<void> {
  const { client } = play;
  const made = await client.step('makes a key for a script', 'POST /auth/api-keys', '201 to read the members', {
    token,
    body: { name: 'nightly report', scopes: ['members.read'] },
    show: ({ apiKey }) =>
      String((apiKey as { scopes: string[] }).scopes) === 'members.read' ? 'to read the members' : '',
  });
  const key = noted(play, String(made['secret']));
  const { id } = made['apiKey'] as { id: string };
  await client.step('the script reads them', 'GET /portal/users', '200', { token: key });
  await client.step('it may not invite', 'POST /portal/invitations', '403 PERMISSION_DENIED', {
    token: key,
    body: { email: 'friend@example.com' },
  });
  await client.step('nor make a key', 'POST /auth/api-keys', '403 PERMISSION_DENIED', {
    token: key,
    body: { name: 'another', scopes: ['members.read'] },
  });
  await client.step('the key is taken back', `DELETE /auth/api-keys/${id}`, '204', { token });
  await client.step('the script is refused', 'GET /portal/users', '401 API_KEY_INVALID', { token: key });
}

/** The password is right, and a challenge is all that one gets for it. */
async function challenged(play: Play, title: string): Promise<string> {
  const expected = '401 SECOND_FACTOR_REQUIRED';
  const body = await play.client.step(title, 'POST /auth/sign-in', expected, { body: loginOf(play, NEW) });
  return noted(play, String((body['challenge'] as { token?: string } | undefined)?.token));
}

async function second(play: Play, title: string, expected: string, body: object): Promise<Tokens> {
  return (await play.client.step(title, 'POST /auth/sign-in/second-factor', expected, { body })) as unknown as Tokens;
}

function loginOf({ cast, tenantId }: Play, password: string) {
  return { email: cast.invited, password, tenantId };
}

function codeOf(secret: string, when: 'now' | 'next'): Promise<string> {
  const epoch = Math.floor(Date.now() / 1_000) + (when === 'now' ? 0 : STEP_SECONDS);
  return generate({ secret, epoch });
}

function noted({ secrets }: Play, secret: string): string {
  secrets.push(secret);
  return secret;
}
