import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';

import { SecondFactorCodeService, SecretRotationService, TrustedDeviceService } from '../../src/index.js';
import { TransactionHost } from '../../src/transaction/transaction-host.js';
import type { NestAppFixture } from '../support/nest-app.js';
import type { Row, Stage } from './rows.js';

const nobody = uuidv7();
const PASSWORD = 'correct horse battery staple';

const devices = ({ context }: NestAppFixture): TrustedDeviceService => context.get(TrustedDeviceService);
const codes = ({ context }: NestAppFixture): SecondFactorCodeService => context.get(SecondFactorCodeService);
const rotation = ({ context }: NestAppFixture): SecretRotationService => context.get(SecretRotationService);

/** In the transaction that runs, as a statement of the package would be. */
function sql(
  app: NestAppFixture,
  manager: EntityManager | undefined,
  text: string,
  values: unknown[],
): Promise<unknown> {
  return app.context.get(TransactionHost).operate(manager, (m) => m.query(text, values));
}

/** A device as `completeSignIn` leaves it, which cannot be called here: it counts apart. */
async function trusted(app: NestAppFixture, { user }: Stage, manager?: EntityManager): Promise<string> {
  const id = uuidv7();
  await sql(
    app,
    manager,
    `insert into nest_auth_trusted_devices (user_id, token_hash, id, realm_id, security_stamp, expires_at)
     select id, decode(md5($2), 'hex'), $2::uuid, realm_id, security_stamp, now() + interval '1 day'
     from nest_auth_users where id = $1`,
    [user.id, id],
  );
  return id;
}

const AFTER_A_CHALLENGE: Row = {
  call: () => Promise.resolve(),
  elsewhere: 'the tests of mfa: the challenge must have been committed, and what comes of it is counted apart',
};

export const TRUSTED_DEVICE_ROWS: Readonly<Record<string, Row>> = {
  listTrustedDevices: {
    call: (app, { user }, m) => devices(app).listTrustedDevices(user.id, m),
    foreign: { call: (app, _, m) => devices(app).listTrustedDevices(nobody, m), answers: [] },
  },
  revokeTrustedDevice: {
    writes: true,
    call: async (app, stage, m) => devices(app).revokeTrustedDevice(stage.user.id, await trusted(app, stage, m), m),
    foreign: {
      call: (app, { user }, m) => devices(app).revokeTrustedDevice(user.id, nobody, m),
      code: 'TRUSTED_DEVICE_NOT_FOUND',
    },
  },
  revokeTrustedDevices: {
    writes: true,
    call: async (app, stage, m) => {
      await trusted(app, stage, m);
      return devices(app).revokeTrustedDevices(stage.user.id, m);
    },
    foreign: { call: (app, _, m) => devices(app).revokeTrustedDevices(nobody, m), answers: 0 },
  },
  // What is due is in the tests of mfa: nothing here is old enough.
  removeExpired: { call: (app, _, m) => devices(app).removeExpired(m) },
};

export const SECOND_FACTOR_CODE_ROWS: Readonly<Record<string, Row>> = {
  enableSecondFactorCodes: {
    writes: true,
    apart: true,
    call: async (app, { user }, m) => {
      await user.setPassword(PASSWORD, m);
      await sql(app, m, 'update nest_auth_users set email_verified_at = now() where id = $1', [user.id]);
      return codes(app).enableSecondFactorCodes(user.id, 'email', { currentPassword: PASSWORD }, m);
    },
    foreign: {
      call: (app, _, m) => codes(app).enableSecondFactorCodes(nobody, 'email', {}, m),
      code: 'REAUTHENTICATION_REQUIRED',
    },
  },
  sendSecondFactorCode: AFTER_A_CHALLENGE,
};

export const ENROLMENT_ROWS: Readonly<Record<string, Row>> = {
  beginEnrolment: AFTER_A_CHALLENGE,
  completeEnrolment: AFTER_A_CHALLENGE,
};

export const ROTATION_ROWS: Readonly<Record<string, Row>> = {
  rotateSecrets: {
    call: (app, _, m) => rotation(app).rotateSecrets({}, m),
    foreign: { call: (app, _, m) => rotation(app).rotateSecrets({ chunkSize: 0 }, m), code: 'VALIDATION_FAILED' },
  },
};
