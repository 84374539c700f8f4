// One process of a deployment in which people follow the links of invitations at once. Started by the tests of invitations.
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { TypeOrmModule } from '@nestjs/typeorm';

import { InvitationService, NestAuthEntities, NestAuthModule, type NestAuthModuleOptions } from '../../src/index.js';
import { PREPARED } from './connection-mode.js';

type SecretOptions = NonNullable<NestAuthModuleOptions['secrets']>;

const [url, keys, calls] = process.argv.slice(2) as [string, string, string];

/** Accepts by a token, or invites an address. */
export type Call = { readonly token: string } | { readonly email: string; readonly tenantId: string };

@Module({
  imports: [
    EventEmitterModule.forRoot(),
    TypeOrmModule.forRoot({
      type: 'postgres',
      url,
      poolSize: 10,
      entities: [...NestAuthEntities],
      retryAttempts: 0,
    }),
    NestAuthModule.forRoot({
      statements: { prepared: PREPARED },
      secrets: { keys: JSON.parse(keys) as NonNullable<SecretOptions['keys']> },
      user: {
        afterCreate: async ({ id }, _input, manager) => {
          await manager.query('insert into app_users (auth_user_id) values ($1)', [id]);
        },
      },
    }),
  ],
})
class Deployment {}

const app = await NestFactory.createApplicationContext(Deployment, { logger: false });
const invitations = app.get(InvitationService);
const run = async (call: Call) => {
  if (!('token' in call)) return { invitationId: (await invitations.sendInvitation(call)).invitation.id };
  const { user, isNewUser } = await invitations.acceptInvitation(call);
  return { userId: user.id, isNewUser };
};
console.log('ready');
process.stdin.once('data', () => {
  const running = (JSON.parse(calls) as Call[]).map((call) =>
    run(call).catch((error: { code?: string }) => ({ code: error.code ?? 'failed' })),
  );
  void Promise.all(running).then(async (outcomes) => {
    console.log(JSON.stringify(outcomes));
    await app.close();
    process.exit();
  });
});
