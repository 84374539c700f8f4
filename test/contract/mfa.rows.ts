import type { EntityManager } from 'typeorm';
import { generate } from 'otplib';
import { v7 as uuidv7 } from 'uuid';

import { type TwoFactorEnrolment, TwoFactorService } from '../../src/index.js';
import type { NestAppFixture } from '../support/nest-app.js';
import type { Row, Stage } from './rows.js';

const nobody = uuidv7();
const PASSWORD = 'correct horse battery staple';

const service = ({ context }: NestAppFixture): TwoFactorService => context.get(TwoFactorService);

/** The password is set first, and verified with a count that is apart from the transaction of the caller. */
const BY_PASSWORD = { writes: true, apart: true } as const;

async function begin(app: NestAppFixture, { user }: Stage, manager?: EntityManager): Promise<TwoFactorEnrolment> {
  await user.setPassword(PASSWORD, manager);
  return service(app).enableTwoFactor(user.id, { currentPassword: PASSWORD }, manager);
}

async function enrol(app: NestAppFixture, stage: Stage, manager?: EntityManager): Promise<unknown> {
  const { secret } = await begin(app, stage, manager);
  return service(app).verifyTwoFactorSetup(stage.user.id, await generate({ secret }), {}, manager);
}

/** What is answered is counted apart, before it is looked at: what it is an answer to must have been committed. */
const COUNTED_APART: Row = {
  call: () => Promise.resolve(),
  elsewhere: 'the tests of mfa: an answer is counted apart, and so must what it answers have been committed',
};

export const TWO_FACTOR_ROWS: Readonly<Record<string, Row>> = {
  enableTwoFactor: {
    ...BY_PASSWORD,
    call: begin,
    foreign: { call: (app, _, m) => service(app).enableTwoFactor(nobody, {}, m), code: 'REAUTHENTICATION_REQUIRED' },
  },
  verifyTwoFactorSetup: {
    ...BY_PASSWORD,
    call: enrol,
    foreign: {
      call: (app, _, m) => service(app).verifyTwoFactorSetup(nobody, '000000', {}, m),
      code: 'SECOND_FACTOR_NOT_ENABLED',
    },
  },
  completeSignIn: COUNTED_APART,
  disableTwoFactor: COUNTED_APART,
  regenerateRecoveryCodes: COUNTED_APART,
  resetTwoFactor: {
    ...BY_PASSWORD,
    call: async (app, stage, m) => {
      await enrol(app, stage, m);
      return service(app).resetTwoFactor(stage.user.id, {}, m);
    },
    foreign: { call: (app, _, m) => service(app).resetTwoFactor(nobody, {}, m), code: 'USER_NOT_FOUND' },
  },
  listSecondFactors: {
    call: (app, { user }, m) => service(app).listSecondFactors(user.id, m),
    foreign: {
      call: (app, _, m) => service(app).listSecondFactors(nobody, m),
      answers: { factors: [], recoveryCodesLeft: 0 },
    },
  },
};
