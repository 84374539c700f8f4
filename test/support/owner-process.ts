// One process of a deployment in which owners leave their tenant at once. Started by the tests of the last owner.
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { TypeOrmModule } from '@nestjs/typeorm';

import { AccessService, NestAuthEntities, NestAuthModule, UserLifecycleService, UserService } from '../../src/index.js';
import { PREPARED } from './connection-mode.js';

const [url, tenantId, steps] = process.argv.slice(2) as [string, string, string];

@Module({
  imports: [
    EventEmitterModule.forRoot(),
    TypeOrmModule.forRoot({ type: 'postgres', url, poolSize: 10, entities: [...NestAuthEntities], retryAttempts: 0 }),
    NestAuthModule.forRoot({ statements: { prepared: PREPARED } }),
  ],
})
class Deployment {}

const app = await NestFactory.createApplicationContext(Deployment, { logger: false });
const leave: Record<string, (userId: string) => Promise<unknown>> = {
  remove: (userId) => app.get(UserService).deleteUserAccess(userId, tenantId),
  demote: (userId) => app.get(AccessService).removeUserAccessRoles(userId, tenantId, [process.argv[5] as string]),
  disable: (userId) => app.get(UserLifecycleService).disableById(userId),
  delete: (userId) => app.get(UserService).deleteUser(userId),
};
console.log('ready');
process.stdin.once('data', () => {
  const calls = (JSON.parse(steps) as [string, string][]).map(([how, userId]) =>
    (leave[how] as (userId: string) => Promise<unknown>)(userId).then(
      () => 'left',
      (error: { code?: string }) => error.code ?? 'failed',
    ),
  );
  void Promise.all(calls).then(async (answers) => {
    console.log(JSON.stringify(answers));
    await app.close();
    process.exit();
  });
});
