import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { TenantModeEnum } from '../../../src/index.js';
import { freshEmail, freshPhone, type NestApp, startNestApp, useNestApp } from '../../support/nest-app.js';
import { dumpTables } from '../../support/tables.js';
import { auth, PASSWORD } from '../session/fixture.js';
import {
  AUTH,
  codeOf,
  INVALID,
  NEW_PASSWORD,
  recovery,
  resetToken,
  somebody,
  type Somebody,
  tokenOf,
  verification,
} from './fixture.js';

const app = useNestApp({ auth: AUTH });

type Made = { readonly token: string } | { readonly code: string };

/** Every link and code that can be asked for, made for somebody. */
const MAKE: Record<string, (one: Somebody) => Promise<Made>> = {
  'the link of verifyEmail': async ({ id }) => ({
    token: tokenOf(await verification(app).requestEmailVerification(id)),
  }),
  'the code of verifyEmail': async ({ id }) => ({
    code: codeOf(await verification(app).requestEmailVerification(id, { by: 'code' })),
  }),
  'the code of verifyPhone': async ({ id }) => ({ code: codeOf(await verification(app).requestPhoneVerification(id)) }),
  'the link of confirmEmailChange': async ({ id }) => ({
    token: tokenOf(
      await verification(app).requestEmailChange({ userId: id, email: freshEmail(), currentPassword: PASSWORD }),
    ),
  }),
  'the code of confirmPhoneChange': async ({ id }) => ({
    code: codeOf(
      await verification(app).requestPhoneChange({ userId: id, phone: freshPhone(), currentPassword: PASSWORD }),
    ),
  }),
  'the link of resetPassword': async ({ email }) => ({ token: await resetToken(app, email) }),
};

/** Everything that takes one. */
const USE: Record<string, (proof: Made & { userId: string }) => Promise<unknown>> = {
  verifyEmail: (proof) =>
    verification(app).verifyEmail(
      'token' in proof ? { token: proof.token } : { userId: proof.userId, code: proof.code },
    ),
  verifyPhone: (proof) => verification(app).verifyPhone({ userId: proof.userId, code: textOf(proof) }),
  confirmEmailChange: (proof) => verification(app).confirmEmailChange({ token: textOf(proof) }),
  confirmPhoneChange: (proof) => verification(app).confirmPhoneChange({ userId: proof.userId, code: textOf(proof) }),
  resetPassword: (proof) => recovery(app).resetPassword({ token: textOf(proof), password: NEW_PASSWORD }),
};

const textOf = (made: Made): string => ('token' in made ? made.token : made.code);

/** Without what counts guesses, which stays. */
async function facts(): Promise<Record<string, string[]>> {
  const { nest_auth_one_time_tokens: _, ...rest } = await dumpTables(app.url);
  return rest;
}

const matrix = Object.keys(MAKE).flatMap((made) => Object.keys(USE).map((used) => [made, used] as const));
const own = matrix.filter(([made, used]) => made.endsWith(` ${used}`));
const others = matrix.filter(([made, used]) => !made.endsWith(` ${used}`));

describe('SEC-21 what was made for one purpose', () => {
  it.each(own)('%s is taken by %s', async (made, used) => {
    const one = await somebody(app);
    const proof = await MAKE[made]?.(one);
    await expect(USE[used]?.({ ...(proof as Made), userId: one.id })).resolves.not.toThrow();
  });

  it.each(others)('%s is refused by %s', async (made, used) => {
    const one = await somebody(app);
    // Each of the others is there, too: none is taken for want of one.
    for (const make of Object.values(MAKE)) await make(one);
    const proof = await MAKE[made]?.(one);
    const before = await facts();
    await expect(USE[used]?.({ ...(proof as Made), userId: one.id })).rejects.toMatchObject(INVALID);
    expect(await facts()).toEqual(before);
  });

  it.each(Object.keys(MAKE).filter((made) => made.includes('code')))('%s is no code of another user', async (made) => {
    const [one, other] = [await somebody(app), await somebody(app)];
    const proof = (await MAKE[made]?.(one)) as Made;
    const used = USE[made.split(' ').at(-1) as string];
    await expect(used?.({ ...proof, userId: other.id })).rejects.toMatchObject(INVALID);
  });

  it('a link names its user, and is nobody else’s by another name', async () => {
    const [one, other] = [await somebody(app), await somebody(app)];
    const [mine, theirs] = [await resetToken(app, one.email), await resetToken(app, other.email)];
    const forged = `${theirs.split('.')[0]}.${mine.split('.')[1]}`;
    await expect(recovery(app).resetPassword({ token: forged, password: NEW_PASSWORD })).rejects.toMatchObject(INVALID);
  });
});

describe('SEC-61 in ISOLATED tenancy', () => {
  let isolated: NestApp;
  beforeAll(async () => {
    isolated = await startNestApp(app.url, { auth: { ...AUTH, tenant: { mode: TenantModeEnum.ISOLATED } } });
  });
  afterAll(() => isolated.close());

  it('the email of a reset means nothing without its tenant, and in each tenant somebody else', async () => {
    const { tenantId, otherTenantId } = app.seed;
    const email = freshEmail();
    const make = async (tenant: string) =>
      isolated.users.createUser({ email, password: await isolated.passwords.hash(PASSWORD) }, tenant);
    const [here, there] = [await make(tenantId), await make(otherTenantId)];
    await expect(recovery(isolated).requestPasswordReset({ email })).rejects.toMatchObject({ code: 'TENANT_REQUIRED' });
    const asked = (await recovery(isolated).requestPasswordReset({ email, tenantId: otherTenantId })).reveal();
    expect(asked?.userId).toBe(there.id);
    await recovery(isolated).resetPassword({ token: asked?.token as string, password: NEW_PASSWORD });
    await expect(auth(isolated).signIn({ email, tenantId, password: PASSWORD })).resolves.toMatchObject({
      userId: here.id,
    });
    await expect(auth(isolated).signIn({ email, tenantId: otherTenantId, password: PASSWORD })).rejects.toMatchObject({
      code: 'INVALID_CREDENTIALS',
    });
  });

  it('a change to an email that somebody of another tenant has is no conflict', async () => {
    const { tenantId, otherTenantId } = app.seed;
    const email = freshEmail();
    await isolated.users.createUser({ email }, otherTenantId);
    const { id } = await isolated.users.createUser(
      { email: freshEmail(), password: await isolated.passwords.hash(PASSWORD) },
      tenantId,
    );
    const asked = await verification(isolated).requestEmailChange({ userId: id, email, currentPassword: PASSWORD });
    await expect(verification(isolated).confirmEmailChange({ token: tokenOf(asked) })).resolves.toMatchObject({
      email,
    });
  });

  it('a user of the platform is asked for as such', async () => {
    const email = freshEmail();
    const { id } = await isolated.users.createPlatformUser({ email, platformRoleIds: [app.seed.admin] });
    const asked = await recovery(isolated).requestPasswordReset({ email, platform: true });
    expect(asked.reveal()?.userId).toBe(id);
  });
});
