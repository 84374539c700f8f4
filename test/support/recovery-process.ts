// One process of a deployment in which links and codes are used. Started by the tests of recovery.
import {
  type NestAuthModuleOptions,
  PasswordRecoveryService,
  type PasswordResetInput,
  type ProofInput,
  VerificationService,
} from '../../src/index.js';
import { answersOf, answerWhenTold, startProcessApp } from './process-app.js';

export interface RecoveryOrder {
  readonly url: string;
  readonly secrets: NonNullable<NestAuthModuleOptions['secrets']>;
  /** Made all at once. */
  readonly resets?: readonly PasswordResetInput[];
  readonly emails?: readonly ProofInput[];
  readonly phones?: readonly { readonly userId: string; readonly code: string }[];
}

const order = JSON.parse(process.argv[2] as string) as RecoveryOrder;
const { url, secrets, resets = [], emails = [], phones = [] } = order;

const app = await startProcessApp(url, {
  secrets,
  password: { memoryKiB: 7_168, iterations: 5, parallelism: 1 },
  rateLimits: { enabled: false },
  log: { failedTransactions: false },
});
const [recovery, verification] = [app.get(PasswordRecoveryService), app.get(VerificationService)];
const done = (call: Promise<unknown>): Promise<string> => call.then(() => 'done');
answerWhenTold(app, () =>
  answersOf(
    [
      ...resets.map((input) => recovery.resetPassword(input)),
      ...emails.map((input) => verification.verifyEmail(input)),
      ...phones.map((input) => verification.confirmPhoneChange(input)),
    ].map(done),
    (code) => code,
  ),
);
