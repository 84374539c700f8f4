import 'reflect-metadata';
import { strict as assert } from 'node:assert';
import { NestFactory } from '@nestjs/core';
import { NestAuthError, NestAuthEvents, NestAuthUser, UserCreatedEvent } from 'nest-auth-identity';
import * as testing from 'nest-auth-identity/testing';
import { DataSource } from 'typeorm';
import { AppUser } from './app-user.entity.js';
import { AppModule, Registration, Welcome } from './app.module.js';

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
  const dataSource = app.get(DataSource);
  const registration = app.get(Registration);
  const { events } = app.get(Welcome);
  const appUsers = dataSource.getRepository(AppUser);

  await step("the schema is made by the migrations, and the host's next one would be empty", async () => {
    assert.equal(await dataSource.showMigrations(), false);
    const { upQueries } = await dataSource.driver.createSchemaBuilder().log();
    assert.deepEqual(
      upQueries.map(({ query }) => query),
      [],
    );
  });

  const shop = await registration.openShop();
  let userId = '';

  await step('user and host row are committed together, and announced once, afterwards', async () => {
    userId = await registration.register('ann@example.com', shop);
    const { authUser } = await appUsers.findOneOrFail({ where: { authUserId: userId }, relations: { authUser: true } });
    assert.ok(authUser instanceof NestAuthUser);
    assert.equal(authUser.email, 'ann@example.com');
    assert.equal(events.length, 1);
    assert.ok(events[0] instanceof UserCreatedEvent);
    assert.ok(events[0].user instanceof NestAuthUser);
    assert.equal(events[0].name, NestAuthEvents.USER_CREATED);
  });

  await step('a failure of the host rolls back both and announces nothing', async () => {
    const mine = new Error('no stock');
    await assert.rejects(registration.register('bob@example.com', shop, mine), (error) => error === mine);
    assert.equal(await NestAuthUser.count(), 1);
    assert.equal(await appUsers.count(), 1);
    assert.equal(events.length, 1);
  });

  await step('a conflict is an instance of the error class, and its transaction goes on', async () => {
    const [conflict, created] = await registration.registerOneOf(['ANN@example.com', 'bob@example.com'], shop);
    assert.ok(conflict instanceof NestAuthError);
    assert.equal(conflict.code, 'EMAIL_ALREADY_EXISTS');
    assert.ok(created instanceof NestAuthUser);
    assert.equal(await NestAuthUser.count(), 2);
  });

  await step('active record finds and saves', async () => {
    const user = await NestAuthUser.findOneByOrFail({ id: userId });
    user.metadata = { plan: 'gold' };
    await user.save();
    assert.deepEqual((await NestAuthUser.findOneByOrFail({ id: userId })).metadata, { plan: 'gold' });
  });

  await step('what needs a peer of its own is loaded by nobody but its entry', async () => {
    for (const [entry, peer] of [
      ['telemetry', '@opentelemetry/api'],
      ['health', '@nestjs/terminus'],
    ] as const) {
      // A text that the compiler does not follow: the peer is not installed here.
      const name: string = `nest-auth-identity/${entry}`;
      await assert.rejects(import(name), new RegExp(`Cannot find (package|module) '${peer}'`));
    }
  });

  await step('the testing entry loads', async () => {
    assert.equal(typeof testing.startPostgres, 'function');
  });

  await app.close();
}

async function step(name: string, check: () => Promise<void>): Promise<void> {
  await check();
  console.log(`  ok  ${name}`);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
