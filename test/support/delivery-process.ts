// One process of a deployment that mails what is asked for. Started by the tests of kills.
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { TypeOrmModule } from '@nestjs/typeorm';

import { NestAuthEntities, NestAuthModule, PasswordRecoveryService, UserService } from '../../src/index.js';
import { smtpSender } from '../../src/nodemailer/index.js';
import { PREPARED } from './connection-mode.js';

/** `after-commit`: it dies right after the COMMIT of the requests, and has mailed nothing. */
type DiesAt = 'never' | 'after-commit';

const [url, smtp, diesAt, ...emails] = process.argv.slice(2) as [string, string, DiesAt, ...string[]];

@Module({
  imports: [
    EventEmitterModule.forRoot(),
    TypeOrmModule.forRoot({ type: 'postgres', url, poolSize: 3, entities: [...NestAuthEntities], retryAttempts: 0 }),
    NestAuthModule.forRoot({
      statements: { prepared: PREPARED },
      // Whoever dies after COMMIT must not deliver before.
      subscribers: { pollMs: diesAt === 'after-commit' ? 3_600_000 : 20, leaseMs: 600 },
      secrets: { keys: [{ id: 'k1', secret: 'the same in every process, for the tests' }] },
      delivery: {
        sender: smtpSender({ url: smtp, from: 'no-reply@example.com' }),
        links: {
          invitation: false,
          emailVerification: false,
          emailChange: false,
          passwordReset: 'https://app.example.com/reset#{token}',
        },
        backoffMs: 10,
      },
    }),
  ],
})
class Deployment {}

const app = await NestFactory.createApplicationContext(Deployment, { logger: false });
const [users, recovery] = [app.get(UserService), app.get(PasswordRecoveryService)];
for (const email of emails) {
  await users.runInTransaction(async () => {
    await users.createUser({ email });
    await recovery.requestPasswordReset({ email });
  });
}
if (diesAt === 'after-commit') process.kill(process.pid, 'SIGKILL');
console.log('ready');
process.on('SIGTERM', () => void app.close().then(() => process.exit()));
