// One process of a deployment to which many people come back from a provider at once. Started by the tests of signing in by providers.
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { TypeOrmModule } from '@nestjs/typeorm';

import {
  type ExternalAnswer,
  ExternalSignInService,
  NestAuthEntities,
  NestAuthModule,
  type SessionKey,
} from '../../src/index.js';
import { PREPARED } from './connection-mode.js';
import { paperProvider } from './paper-provider.js';

const [url, keys, answers] = process.argv.slice(2) as [string, string, string];

@Module({
  imports: [
    EventEmitterModule.forRoot(),
    TypeOrmModule.forRoot({ type: 'postgres', url, poolSize: 10, entities: [...NestAuthEntities], retryAttempts: 0 }),
    NestAuthModule.forRoot({
      statements: { prepared: PREPARED },
      session: { keys: JSON.parse(keys) as SessionKey[] },
      identityProviders: [paperProvider('trusted', { signUp: true, trustsEmail: true })],
    }),
  ],
})
class Deployment {}

const app = await NestFactory.createApplicationContext(Deployment, { logger: false });
const external = app.get(ExternalSignInService);
console.log('ready');
process.stdin.once('data', () => {
  const calls = (JSON.parse(answers) as ExternalAnswer[]).map((answer) =>
    external.completeSignIn(answer).then(
      ({ userId, account }) => ({ userId, account }),
      (error: { code?: string }) => ({ code: error.code ?? 'failed' }),
    ),
  );
  void Promise.all(calls).then(async (outcomes) => {
    console.log(JSON.stringify(outcomes));
    await app.close();
    process.exit();
  });
});
