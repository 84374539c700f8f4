// One process of a deployment in which second factors are shown. Started by the tests of mfa.
import {
  type CompleteSignInInput,
  type SecondFactorProof,
  type SecretOptions,
  type SessionKey,
  type TwoFactorOptions,
  TwoFactorService,
} from '../../src/index.js';
import { answersOf, answerWhenTold, startProcessApp } from './process-app.js';

export interface SecondFactorOrder {
  readonly url: string;
  readonly keys: readonly SessionKey[];
  readonly secrets: SecretOptions;
  readonly twoFactor?: TwoFactorOptions | undefined;
  /** Completed all at once. */
  readonly answers?: readonly CompleteSignInInput[];
  /** A setup that is confirmed so often at once. */
  readonly setup?: { readonly userId: string; readonly code: string; readonly times: number };
  /** Second factors that are given up at once. */
  readonly disable?: readonly { readonly userId: string; readonly proof: SecondFactorProof }[];
}

const order = JSON.parse(process.argv[2] as string) as SecondFactorOrder;
const { url, keys, secrets, twoFactor: settings = {}, answers = [], setup, disable = [] } = order;

const app = await startProcessApp(url, {
  session: { keys },
  secrets,
  twoFactor: settings,
  rateLimits: { enabled: false },
  log: { failedTransactions: false },
});
const twoFactor = app.get(TwoFactorService);
const done = (call: Promise<unknown>): Promise<string> => call.then(() => 'done');
answerWhenTold(app, () =>
  answersOf(
    [
      ...answers.map((answer) => twoFactor.completeSignIn(answer)),
      ...Array.from({ length: setup?.times ?? 0 }, () =>
        twoFactor.verifyTwoFactorSetup(setup?.userId as string, setup?.code as string),
      ),
      ...disable.map(({ userId, proof }) => twoFactor.disableTwoFactor(userId, proof)),
    ].map(done),
    (code) => code,
  ),
);
