// One process of a deployment in which many requests refresh one session at once. Started by the tests of sessions.
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { TypeOrmModule } from '@nestjs/typeorm';

import { AuthService, NestAuthEntities, NestAuthModule, type SessionKey } from '../../src/index.js';
import { PREPARED } from './connection-mode.js';

const [url, keys, token, count] = process.argv.slice(2) as [string, string, string, string];

@Module({
  imports: [
    EventEmitterModule.forRoot(),
    TypeOrmModule.forRoot({ type: 'postgres', url, poolSize: 10, entities: [...NestAuthEntities], retryAttempts: 0 }),
    NestAuthModule.forRoot({
      statements: { prepared: PREPARED },
      session: { keys: JSON.parse(keys) as SessionKey[] },
    }),
  ],
})
class Deployment {}

const app = await NestFactory.createApplicationContext(Deployment, { logger: false });
const auth = app.get(AuthService);
console.log('ready');
process.stdin.once('data', () => {
  const calls = Array.from({ length: Number(count) }, () =>
    auth.refresh(token).then(
      ({ refreshToken }) => refreshToken,
      (error: { code?: string }) => error.code ?? 'failed',
    ),
  );
  void Promise.all(calls).then(async (answers) => {
    console.log(JSON.stringify(answers));
    await app.close();
    process.exit();
  });
});
