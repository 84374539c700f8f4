import { randomUUID } from 'node:crypto';
import { generate } from 'otplib';
import {
  ApiKeyService,
  AuthService,
  InvitationService,
  PasswordRecoveryService,
  RequiredEnrolmentService,
  SecondFactorCodeService,
  SecondFactorEnrolmentRequiredError,
  SecondFactorRequiredError,
  ServiceAccountService,
  type SignInResult,
  TwoFactorService,
  VerificationService,
} from '../../../src/index.js';
import { freshEmail, freshPhone } from '../../support/nest-app.js';
import { until } from '../../support/until.js';
import type { SecretKind } from './canaries.js';
import { mistyped, newPassword, person, type Stage } from './secret-stage.js';

/** What is done, and the same with values that are wrong. */
interface Prepared {
  readonly act: () => Promise<unknown>;
  readonly wrong?: readonly (() => Promise<unknown>)[];
}

/** Something that makes or takes secrets; `prepare` does what must have happened before. */
export interface Flow {
  readonly name: string;
  readonly prepare: (stage: Stage) => Promise<Prepared>;
}

const STEP_SECONDS = 30;

const invitations = ({ app }: Stage) => app.context.get(InvitationService);
const verification = ({ app }: Stage) => app.context.get(VerificationService);
const recovery = ({ app }: Stage) => app.context.get(PasswordRecoveryService);
const twoFactor = ({ app }: Stage) => app.context.get(TwoFactorService);
const codes = ({ app }: Stage) => app.context.get(SecondFactorCodeService);
const enrolments = ({ app }: Stage) => app.context.get(RequiredEnrolmentService);
const apiKeys = ({ app }: Stage) => app.context.get(ApiKeyService);
const accounts = ({ app }: Stage) => app.context.get(ServiceAccountService);
const auth = ({ app }: Stage) => app.context.get(AuthService);

type Person = Awaited<ReturnType<typeof person>>;

async function invited(stage: Stage) {
  const { tenantId, roleId, canaries } = stage;
  const email = freshEmail();
  const issued = await invitations(stage).sendInvitation({ email, tenantId, roleIds: [roleId] });
  return { email, id: issued.invitation.id, token: canaries.add('invitation token', issued.reveal().token) };
}

const INVITATIONS: Flow[] = [
  {
    name: 'inviting somebody',
    prepare: async (stage) => {
      const { email } = await invited(stage);
      const again = { email, tenantId: stage.tenantId };
      return { act: () => invited(stage), wrong: [() => invitations(stage).sendInvitation(again)] };
    },
  },
  {
    name: 'sending an invitation again',
    prepare: async (stage) => {
      const { id, token } = await invited(stage);
      return {
        act: async () => {
          const issued = await invitations(stage).resendInvitation(id, stage.tenantId);
          stage.canaries.add('invitation token', issued.reveal().token);
        },
        // Known until then, unknown afterwards.
        wrong: [() => invitations(stage).getInvitationByToken(mistyped(stage, token))],
      };
    },
  },
  {
    name: 'accepting an invitation',
    prepare: async (stage) => {
      const { token } = await invited(stage);
      const accept = (input: { token: string; password: string }) => invitations(stage).acceptInvitation(input);
      return {
        act: () => accept({ token, password: newPassword(stage) }),
        wrong: [
          () => accept({ token: mistyped(stage, token), password: newPassword(stage) }),
          () => accept({ token, password: mistyped(stage, 'canary') }),
        ],
      };
    },
  },
  {
    name: 'declining an invitation',
    prepare: async (stage) => {
      const { token } = await invited(stage);
      return {
        act: () => invitations(stage).declineInvitation({ token }),
        wrong: [() => invitations(stage).declineInvitation({ token: mistyped(stage, token) })],
      };
    },
  },
];

/** What was asked for: a link, or a code. */
function revealed(
  { canaries }: Stage,
  kind: SecretKind,
  proof: { reveal(): { token: string } | { code: string } | null },
): string {
  const made = proof.reveal();
  if (made === null) throw new Error('nothing was made');
  return 'token' in made ? canaries.add(kind, made.token) : canaries.add('sent code', made.code);
}

async function unverified(stage: Stage): Promise<Person> {
  const user = await person(stage);
  await stage.app.users.unverifyUser(user.id, 'email');
  await stage.app.users.unverifyUser(user.id, 'phone');
  return user;
}

const VERIFICATION: Flow[] = [
  {
    name: 'proving an email by a link',
    prepare: async (stage) => {
      const { id } = await unverified(stage);
      const service = verification(stage);
      const ask = async () => revealed(stage, 'email verification token', await service.requestEmailVerification(id));
      const wrong = await ask();
      return {
        act: async () => service.verifyEmail({ token: await ask() }),
        wrong: [() => service.verifyEmail({ token: mistyped(stage, wrong) })],
      };
    },
  },
  {
    name: 'proving an email by a code',
    prepare: async (stage) => {
      const { id: userId } = await unverified(stage);
      const service = verification(stage);
      const ask = async () =>
        revealed(stage, 'sent code', await service.requestEmailVerification(userId, { by: 'code' }));
      const wrong = await ask();
      return {
        act: async () => service.verifyEmail({ userId, code: await ask() }),
        wrong: [() => service.verifyEmail({ userId, code: mistyped(stage, wrong) })],
      };
    },
  },
  {
    name: 'proving a phone number',
    prepare: async (stage) => {
      const { id: userId } = await unverified(stage);
      const service = verification(stage);
      const ask = async () => revealed(stage, 'sent code', await service.requestPhoneVerification(userId));
      const wrong = await ask();
      return {
        act: async () => service.verifyPhone({ userId, code: await ask() }),
        wrong: [() => service.verifyPhone({ userId, code: mistyped(stage, wrong) })],
      };
    },
  },
  {
    name: 'another email',
    prepare: async (stage) => {
      const { id: userId, password } = await person(stage);
      const service = verification(stage);
      const ask = async (currentPassword: string) =>
        revealed(
          stage,
          'email change token',
          await service.requestEmailChange({ userId, email: freshEmail(), currentPassword }),
        );
      const wrong = await ask(password);
      return {
        act: async () => service.confirmEmailChange({ token: await ask(password) }),
        wrong: [
          () => service.confirmEmailChange({ token: mistyped(stage, wrong) }),
          () => ask(mistyped(stage, password)),
        ],
      };
    },
  },
  {
    name: 'another phone number',
    prepare: async (stage) => {
      const { id: userId, password } = await person(stage);
      const service = verification(stage);
      const ask = async (currentPassword: string) =>
        revealed(
          stage,
          'sent code',
          await service.requestPhoneChange({ userId, phone: freshPhone(), currentPassword }),
        );
      const wrong = await ask(password);
      return {
        act: async () => service.confirmPhoneChange({ userId, code: await ask(password) }),
        wrong: [
          () => service.confirmPhoneChange({ userId, code: mistyped(stage, wrong) }),
          () => ask(mistyped(stage, password)),
        ],
      };
    },
  },
];

const PASSWORDS: Flow[] = [
  {
    name: 'a password that was forgotten',
    prepare: async (stage) => {
      const { email, tenantId } = { ...(await person(stage)), tenantId: stage.tenantId };
      const service = recovery(stage);
      const ask = async () => {
        const made = (await service.requestPasswordReset({ email, tenantId })).reveal();
        return stage.canaries.add('password reset token', made?.token ?? '');
      };
      const token = await ask();
      return {
        act: async () => service.resetPassword({ token: await ask(), password: newPassword(stage) }),
        wrong: [
          () => service.resetPassword({ token: mistyped(stage, token), password: newPassword(stage) }),
          () => service.resetPassword({ token, password: mistyped(stage, 'canary') }),
        ],
      };
    },
  },
  {
    name: 'another password',
    prepare: async (stage) => {
      const { id: userId, password } = await person(stage);
      const change = (currentPassword: string, newOne: string) =>
        recovery(stage).changePassword({ userId, currentPassword, newPassword: newOne });
      return {
        act: () => change(password, newPassword(stage)),
        wrong: [
          () => change(mistyped(stage, password), newPassword(stage)),
          () => change(password, mistyped(stage, 'canary')),
        ],
      };
    },
  },
  {
    name: 'signing in and on',
    prepare: async (stage) => {
      const { email, password } = await person(stage);
      const tenantId = stage.tenantId;
      const first = noted(stage, await auth(stage).signIn({ email, password, tenantId }));
      return {
        act: async () => {
          const signedIn = noted(stage, await auth(stage).signIn({ email, password, tenantId }));
          await auth(stage).authenticate(signedIn.accessToken);
          const { accessToken, refreshToken } = await auth(stage).refresh(signedIn.refreshToken);
          stage.canaries.add('access token', accessToken);
          stage.canaries.add('refresh token', refreshToken);
        },
        wrong: [
          () => auth(stage).signIn({ email, password: mistyped(stage, password), tenantId }),
          () => auth(stage).refresh(mistyped(stage, first.refreshToken)),
          () => auth(stage).authenticate(mistyped(stage, first.accessToken)),
        ],
      };
    },
  },
];

function noted(stage: Stage, result: SignInResult): SignInResult {
  stage.canaries.add('access token', result.accessToken);
  stage.canaries.add('refresh token', result.refreshToken);
  return result;
}

/** Codes of the present step, and of the next one, which is taken, too. */
async function codeOf({ canaries }: Stage, secret: string, when: 'now' | 'next'): Promise<string> {
  const epoch = Math.floor(Date.now() / 1_000) + (when === 'now' ? 0 : STEP_SECONDS);
  return canaries.add('TOTP code', await generate({ secret, epoch }));
}

async function enrolled(stage: Stage) {
  const user = await person(stage);
  const { secret } = await begun(stage, user);
  const { recoveryCodes } = await twoFactor(stage).verifyTwoFactorSetup(user.id, await codeOf(stage, secret, 'now'));
  for (const code of recoveryCodes) stage.canaries.add('recovery code', code);
  return { ...user, secret, recoveryCodes };
}

async function begun(stage: Stage, { id, password }: Person) {
  const enrolment = await twoFactor(stage).enableTwoFactor(id, { currentPassword: password });
  stage.canaries.add('TOTP seed', enrolment.secret);
  return enrolment;
}

/** The password is right, and this is what one gets for it. */
async function challenged(
  stage: Stage,
  { email, password }: Pick<Person, 'email' | 'password'>,
  tenantId = stage.tenantId,
): Promise<string> {
  const { witness, canaries } = stage;
  const error: unknown = await auth(stage)
    .signIn({ email, password, tenantId })
    .catch((thrown: unknown) => thrown);
  const isAsked = error instanceof SecondFactorRequiredError || error instanceof SecondFactorEnrolmentRequiredError;
  if (!isAsked) throw error;
  witness.note('thrown error', error);
  return canaries.add('challenge token', error.challenge.token);
}

const SECOND_FACTORS: Flow[] = [
  {
    name: 'enrolling an authenticator',
    prepare: async (stage) => {
      const user = await person(stage);
      const other = await person(stage);
      const { secret } = await begun(stage, other);
      return {
        act: async () => {
          const enrolment = await begun(stage, user);
          const code = await codeOf(stage, enrolment.secret, 'now');
          const { recoveryCodes } = await twoFactor(stage).verifyTwoFactorSetup(user.id, code);
          for (const each of recoveryCodes) stage.canaries.add('recovery code', each);
        },
        wrong: [
          () => begun(stage, { ...user, password: mistyped(stage, user.password) }),
          async () =>
            twoFactor(stage).verifyTwoFactorSetup(other.id, mistyped(stage, await codeOf(stage, secret, 'now'))),
        ],
      };
    },
  },
  {
    name: 'signing in with an authenticator, on a device that is trusted from then on',
    prepare: async (stage) => {
      const user = await enrolled(stage);
      const { email, password, secret } = user;
      const first = await challenged(stage, user);
      return {
        act: async () => {
          const challengeToken = await challenged(stage, user);
          const code = await codeOf(stage, secret, 'next');
          const result = await twoFactor(stage).completeSignIn({ challengeToken, code, trustDevice: true });
          noted(stage, result);
          const deviceToken = stage.canaries.add('device token', result.trustedDevice?.token ?? '');
          noted(stage, await auth(stage).signIn({ email, password, tenantId: stage.tenantId }, { deviceToken }));
        },
        wrong: [
          async () =>
            twoFactor(stage).completeSignIn({
              challengeToken: first,
              code: mistyped(stage, await codeOf(stage, secret, 'next')),
            }),
          async () =>
            twoFactor(stage).completeSignIn({
              challengeToken: mistyped(stage, first),
              code: await codeOf(stage, secret, 'next'),
            }),
          () =>
            auth(stage).signIn({ email, password, tenantId: stage.tenantId }, { deviceToken: mistyped(stage, first) }),
        ],
      };
    },
  },
  {
    name: 'signing in with a recovery code',
    prepare: async (stage) => {
      const user = await enrolled(stage);
      const [recoveryCode = ''] = user.recoveryCodes;
      const first = await challenged(stage, user);
      const complete = (challengeToken: string, code: string) =>
        twoFactor(stage).completeSignIn({ challengeToken, recoveryCode: code });
      return {
        act: async () => noted(stage, await complete(await challenged(stage, user), recoveryCode)),
        wrong: [() => complete(first, mistyped(stage, recoveryCode))],
      };
    },
  },
  {
    name: 'other recovery codes, and none any more',
    prepare: async (stage) => {
      const { id, recoveryCodes, secret } = await enrolled(stage);
      const [first = '', second = ''] = recoveryCodes;
      return {
        act: async () => {
          const made = await twoFactor(stage).regenerateRecoveryCodes(id, { recoveryCode: first });
          for (const code of made.recoveryCodes) stage.canaries.add('recovery code', code);
          await twoFactor(stage).disableTwoFactor(id, { code: await codeOf(stage, secret, 'next') });
        },
        wrong: [
          () => twoFactor(stage).regenerateRecoveryCodes(id, { recoveryCode: mistyped(stage, second) }),
          () => twoFactor(stage).disableTwoFactor(id, { recoveryCode: mistyped(stage, second) }),
        ],
      };
    },
  },
  {
    name: 'taking second factors away from somebody',
    prepare: async (stage) => {
      const { id } = await enrolled(stage);
      return { act: () => twoFactor(stage).resetTwoFactor(id, { reason: 'lost the telephone' }) };
    },
  },
];

/** What the sender was given last for somebody, whether or not it could be sent. */
async function codeSentTo({ messages, canaries }: Stage, userId: string, seen: number): Promise<string> {
  const sent = () => messages.slice(seen).find((message) => message.userId === userId && 'code' in message);
  await until('a code by a short message', () => sent() !== undefined);
  const message = sent();
  return canaries.add('sent code', message !== undefined && 'code' in message ? message.code : '');
}

const CODES: Flow[] = [
  {
    name: 'signing in with a code by a short message',
    prepare: async (stage) => {
      const user = await person(stage);
      const options = { currentPassword: user.password };
      const { recoveryCodes } = await codes(stage).enableSecondFactorCodes(user.id, 'sms', options);
      for (const code of recoveryCodes ?? []) stage.canaries.add('recovery code', code);
      const send = async (challengeToken: string) => {
        const seen = stage.messages.length;
        await codes(stage).sendSecondFactorCode({ challengeToken, kind: 'sms' });
        return codeSentTo(stage, user.id, seen);
      };
      const complete = (challengeToken: string, code: string) =>
        twoFactor(stage).completeSignIn({ challengeToken, code, method: 'sms' });
      const first = await challenged(stage, user);
      return {
        act: async () => {
          const challenge = await challenged(stage, user);
          noted(stage, await complete(challenge, await send(challenge)));
        },
        wrong: [
          async () => complete(first, mistyped(stage, await send(first))),
          () => codes(stage).sendSecondFactorCode({ challengeToken: mistyped(stage, first), kind: 'sms' }),
        ],
      };
    },
  },
  {
    name: 'enrolling because the tenant demands it',
    prepare: async (stage) => {
      const { strictTenantId: tenantId } = stage;
      const user = await person(stage, tenantId);
      const first = await challenged(stage, user, tenantId);
      const complete = (challengeToken: string, code: string) =>
        enrolments(stage).completeEnrolment({ challengeToken, code, trustDevice: true });
      return {
        act: async () => {
          const challengeToken = await challenged(stage, user, tenantId);
          const { secret } = await enrolments(stage).beginEnrolment({ challengeToken });
          stage.canaries.add('TOTP seed', secret);
          const result = await complete(challengeToken, await codeOf(stage, secret, 'now'));
          noted(stage, result);
          for (const code of result.recoveryCodes) stage.canaries.add('recovery code', code);
          stage.canaries.add('device token', result.trustedDevice?.token ?? '');
        },
        wrong: [
          () => enrolments(stage).beginEnrolment({ challengeToken: mistyped(stage, first) }),
          () => complete(mistyped(stage, first), '000000'),
        ],
      };
    },
  },
];

const KEYS: Flow[] = [
  {
    name: 'a key of a user',
    prepare: async (stage) => {
      const { id: userId } = await person(stage);
      const owner = { userId, tenantId: stage.tenantId };
      const make = async () => {
        const made = await apiKeys(stage).createApiKey({ owner, name: 'canary', scopes: ['canary.read'] });
        return { ...made, secret: stage.canaries.add('API key', made.secret) };
      };
      const other = await make();
      return {
        act: async () => {
          const { apiKey, secret } = await make();
          await apiKeys(stage).authenticateApiKey(secret);
          const rotated = await apiKeys(stage).rotateApiKey(owner, apiKey.id, { overlapSeconds: 60 });
          await apiKeys(stage).authenticateApiKey(stage.canaries.add('API key', rotated.secret));
          await apiKeys(stage).revokeApiKey(owner, apiKey.id);
          await apiKeys(stage)
            .authenticateApiKey(secret)
            .catch((error: unknown) => stage.witness.note('thrown error', error));
        },
        wrong: [
          () => apiKeys(stage).authenticateApiKey(mistyped(stage, other.secret)),
          () => apiKeys(stage).createApiKey({ owner, name: 'canary', scopes: ['more.than.held'] }),
        ],
      };
    },
  },
  {
    name: 'a key of a service account',
    prepare: async (stage) => {
      const { tenantId } = stage;
      const account = await accounts(stage).create({ tenantId, name: `canary ${randomUUID()}` });
      const owner = { serviceAccountId: account.id, tenantId };
      return {
        act: async () => {
          const made = await apiKeys(stage).createApiKey({ owner, name: 'canary', scopes: ['canary.read'] });
          await apiKeys(stage).authenticateApiKey(stage.canaries.add('API key', made.secret));
        },
      };
    },
  },
];

export const FLOWS: readonly Flow[] = [
  ...INVITATIONS,
  ...VERIFICATION,
  ...PASSWORDS,
  ...SECOND_FACTORS,
  ...CODES,
  ...KEYS,
];
