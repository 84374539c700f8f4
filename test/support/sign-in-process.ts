// One process of a deployment in which somebody tries passwords. Started by the tests of lockout.
import { AuthService, PasswordService } from '../../src/index.js';
import type { LockoutOptions, PasswordSettings, SessionKey } from '../../src/index.js';
import { answersOf, answerWhenTold, startProcessApp } from './process-app.js';

export interface SignInOrder {
  readonly url: string;
  readonly keys: readonly SessionKey[];
  readonly lockout: LockoutOptions;
  readonly password: Partial<PasswordSettings>;
  readonly email: string;
  readonly ip: string;
  /** Tried all at once. */
  readonly passwords: readonly string[];
  /** Says that a password was verified, and does not come back from that. */
  readonly hangs?: boolean;
}

export interface SignInReport {
  /** How often a password was held against the hash of an account. */
  readonly verified: number;
  readonly codes: Readonly<Record<string, number>>;
}

const order = JSON.parse(process.argv[2] as string) as SignInOrder;
const { url, keys, lockout, password, email, ip, passwords, hangs = false } = order;

const app = await startProcessApp(url, { session: { keys }, lockout, password }, { pool: 4 });
const auth = app.get(AuthService);
const hashes = app.get(PasswordService);
const verify = hashes.verify.bind(hashes);
let verified = 0;
hashes.verify = async (stored, given) => {
  const answer = await verify(stored, given);
  if (stored !== null) verified += 1;
  if (!hangs || stored === null) return answer;
  console.log('verified');
  return new Promise(() => undefined);
};
answerWhenTold(app, async () => {
  const calls = passwords.map(async (one) => {
    await auth.signIn({ email, password: one }, { ip });
    return 'signed in';
  });
  const codes: Record<string, number> = {};
  for (const code of await answersOf(calls, (refusal) => refusal)) codes[code] = (codes[code] ?? 0) + 1;
  return { verified, codes } satisfies SignInReport;
});
