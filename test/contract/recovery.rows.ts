import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';

import { PasswordRecoveryService, type RevealedProof, VerificationService } from '../../src/index.js';
import { freshEmail, freshPhone, type NestAppFixture } from '../support/nest-app.js';
import type { Row, Stage } from './rows.js';

/** Keys of links and codes, for these rows. */
export const SECRETS = { keys: [{ id: 'contract', secret: 'thirty-two characters of chance!' }] };

const nobody = uuidv7();
const NOBODYS_LINK = `${'A'.repeat(22)}.${'A'.repeat(43)}`;
const INVALID = 'ONE_TIME_TOKEN_INVALID';
const PASSWORD = 'correct horse battery staple';

const service = ({ context }: NestAppFixture): VerificationService => context.get(VerificationService);
const recovery = ({ context }: NestAppFixture): PasswordRecoveryService => context.get(PasswordRecoveryService);

const tokenOf = (requested: { reveal(): RevealedProof | null }): string =>
  (requested.reveal() as { readonly token: string }).token;
const codeOf = (requested: { reveal(): RevealedProof | null }): string =>
  (requested.reveal() as { readonly code: string }).code;

/** The password is set first, and verified with a count that is apart from the transaction of the caller. */
const BY_PASSWORD = { writes: true, apart: true } as const;

async function byPassword(stage: Stage, manager?: EntityManager) {
  await stage.user.setPassword(PASSWORD, manager);
  return { userId: stage.user.id, currentPassword: PASSWORD };
}

export const VERIFICATION_ROWS: Readonly<Record<string, Row>> = {
  requestEmailVerification: {
    writes: true,
    call: (app, { user }, m) => service(app).requestEmailVerification(user.id, {}, m),
    foreign: { call: (app, _, m) => service(app).requestEmailVerification(nobody, {}, m), code: 'USER_NOT_FOUND' },
  },
  requestPhoneVerification: {
    writes: true,
    call: (app, { user }, m) => service(app).requestPhoneVerification(user.id, m),
    foreign: { call: (app, _, m) => service(app).requestPhoneVerification(nobody, m), code: 'USER_NOT_FOUND' },
  },
  verifyEmail: {
    writes: true,
    call: async (app, { user }, m) => {
      const token = tokenOf(await service(app).requestEmailVerification(user.id, {}, m));
      return service(app).verifyEmail({ token }, m);
    },
    foreign: { call: (app, _, m) => service(app).verifyEmail({ token: NOBODYS_LINK }, m), code: INVALID },
  },
  verifyPhone: {
    writes: true,
    apart: true,
    call: async (app, { user }, m) => {
      const code = codeOf(await service(app).requestPhoneVerification(user.id, m));
      return service(app).verifyPhone({ userId: user.id, code }, m);
    },
    foreign: { call: (app, _, m) => service(app).verifyPhone({ userId: nobody, code: '000000' }, m), code: INVALID },
  },
  requestEmailChange: {
    ...BY_PASSWORD,
    call: async (app, stage, m) =>
      service(app).requestEmailChange({ ...(await byPassword(stage, m)), email: freshEmail() }, m),
    foreign: {
      call: (app, _, m) =>
        service(app).requestEmailChange({ userId: nobody, sessionId: nobody, email: freshEmail() }, m),
      code: 'REAUTHENTICATION_REQUIRED',
    },
  },
  confirmEmailChange: {
    ...BY_PASSWORD,
    call: async (app, stage, m) => {
      const input = { ...(await byPassword(stage, m)), email: freshEmail() };
      const token = tokenOf(await service(app).requestEmailChange(input, m));
      return service(app).confirmEmailChange({ token }, m);
    },
    foreign: { call: (app, _, m) => service(app).confirmEmailChange({ token: NOBODYS_LINK }, m), code: INVALID },
  },
  requestPhoneChange: {
    ...BY_PASSWORD,
    call: async (app, stage, m) =>
      service(app).requestPhoneChange({ ...(await byPassword(stage, m)), phone: freshPhone() }, m),
    foreign: {
      call: (app, _, m) =>
        service(app).requestPhoneChange({ userId: nobody, sessionId: nobody, phone: freshPhone() }, m),
      code: 'REAUTHENTICATION_REQUIRED',
    },
  },
  confirmPhoneChange: {
    ...BY_PASSWORD,
    call: async (app, stage, m) => {
      const input = { ...(await byPassword(stage, m)), phone: freshPhone() };
      const code = codeOf(await service(app).requestPhoneChange(input, m));
      return service(app).confirmPhoneChange({ userId: stage.user.id, code }, m);
    },
    foreign: {
      call: (app, _, m) => service(app).confirmPhoneChange({ userId: nobody, code: '000000' }, m),
      code: INVALID,
    },
  },
  removeExpiredTokens: {
    writes: true,
    call: async (app, { user }, m) => {
      await service(app).requestEmailVerification(user.id, {}, m);
      return service(app).removeExpiredTokens(m);
    },
  },
};

export const RECOVERY_ROWS: Readonly<Record<string, Row>> = {
  requestPasswordReset: {
    writes: true,
    call: (app, { email }, m) => recovery(app).requestPasswordReset({ email }, m),
  },
  resetPassword: {
    writes: true,
    call: async (app, { email }, m) => {
      const token = tokenOf(await recovery(app).requestPasswordReset({ email }, m));
      return recovery(app).resetPassword({ token, password: PASSWORD }, m);
    },
    foreign: {
      call: (app, _, m) => recovery(app).resetPassword({ token: NOBODYS_LINK, password: PASSWORD }, m),
      code: INVALID,
    },
  },
  changePassword: {
    ...BY_PASSWORD,
    call: async (app, stage, m) =>
      recovery(app).changePassword({ ...(await byPassword(stage, m)), newPassword: 'seven purple otters dance' }, m),
  },
};
