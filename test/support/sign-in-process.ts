// One process of a deployment in which somebody tries passwords. Started by the tests of lockout.
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { TypeOrmModule } from '@nestjs/typeorm';

import { AuthService, NestAuthEntities, NestAuthModule, PasswordService } from '../../src/index.js';
import type { LockoutOptions, PasswordSettings, SessionKey } from '../../src/index.js';
import { PREPARED } from './connection-mode.js';

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

@Module({
  imports: [
    EventEmitterModule.forRoot(),
    TypeOrmModule.forRoot({ type: 'postgres', url, poolSize: 4, entities: [...NestAuthEntities], retryAttempts: 0 }),
    NestAuthModule.forRoot({
      statements: { prepared: PREPARED },
      session: { keys },
      lockout,
      password,
    }),
  ],
})
class Deployment {}

const app = await NestFactory.createApplicationContext(Deployment, { logger: false });
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
console.log('ready');
process.stdin.once('data', () => {
  const codes: Record<string, number> = {};
  const calls = passwords.map((one) =>
    auth.signIn({ email, password: one }, { ip }).then(
      () => 'signed in',
      (error: { code?: string }) => error.code ?? 'failed',
    ),
  );
  void Promise.all(calls).then(async (answers) => {
    for (const code of answers) codes[code] = (codes[code] ?? 0) + 1;
    console.log(JSON.stringify({ verified, codes } satisfies SignInReport));
    await app.close();
    process.exit();
  });
});
