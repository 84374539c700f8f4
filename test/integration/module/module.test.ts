import { Controller, Injectable, Module } from '@nestjs/common';
import { EventEmitterModule, OnEvent } from '@nestjs/event-emitter';
import { Test } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';

import {
  type CreateUserContext,
  NestAuthEntities,
  NestAuthEvents,
  NestAuthModule,
  type NestAuthModuleOptions,
  type NestAuthOptionsFactory,
  NestAuthUser,
  TenantModeEnum,
  UserCreatedEvent,
  UserService,
  runOutsideTransaction,
} from '../../../src/index.js';
import { PREPARED } from '../../support/connection-mode.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { freshEmail, type NestApp, startNestApp } from '../../support/nest-app.js';
import { countRows } from '../../support/tables.js';

let one: TestDatabase;
let two: TestDatabase;
beforeAll(async () => {
  [one, two] = [await createTestDatabase(), await createTestDatabase()];
});
afterAll(async () => {
  await one.drop();
  await two.drop();
});

const disabled: NestAuthModuleOptions = {
  tenant: { mode: TenantModeEnum.DISABLED },
  statements: { prepared: PREPARED },
};

@Injectable()
class Settings implements NestAuthOptionsFactory {
  createNestAuthOptions(): NestAuthModuleOptions {
    return disabled;
  }
}

@Module({ providers: [Settings], exports: [Settings] })
class SettingsModule {}

/** Whether the options reached the services: only in DISABLED tenancy does everybody get an access. */
async function isDisabled(app: NestApp): Promise<boolean> {
  const { id } = await app.users.createUser({ email: freshEmail() });
  return (await app.users.getUserTenants(id)).length === 1;
}

describe('NestAuthModule', () => {
  it.each([
    ['forRoot()', () => NestAuthModule.forRoot(), false],
    ['forRoot(options)', () => NestAuthModule.forRoot(disabled), true],
    ['useFactory', () => NestAuthModule.forRootAsync({ useFactory: () => disabled }), true],
    ['an async useFactory', () => NestAuthModule.forRootAsync({ useFactory: () => Promise.resolve(disabled) }), true],
    [
      'useFactory with inject and imports',
      () =>
        NestAuthModule.forRootAsync({
          imports: [SettingsModule],
          inject: [Settings],
          useFactory: (settings: Settings) => settings.createNestAuthOptions(),
        }),
      true,
    ],
    ['useClass', () => NestAuthModule.forRootAsync({ useClass: Settings }), true],
    ['useExisting', () => NestAuthModule.forRootAsync({ imports: [SettingsModule], useExisting: Settings }), true],
  ])('takes its options by %s', async (_way, make, expected) => {
    const app = await startNestApp(one.url, { imports: [make()] });
    expect(await isDisabled(app)).toBe(expected);
    await app.close();
  });

  it.each([
    ['wrong', { transaction: { onEscape: 'ignore' } }, 'transaction.onEscape'],
    ['unknown', { sessions: {} }, 'sessions'],
    ['too weak', { password: { memoryKiB: 1 } }, 'password.memoryKiB'],
  ])('refuses to start with options of a factory that are %s, and names the option', async (_what, options, option) => {
    const imports = [NestAuthModule.forRootAsync({ useFactory: () => options as never })];
    await expect(startNestApp(one.url, { imports })).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
      details: { option },
    });
  });

  it('gives its services everywhere by default, and only to importers with isGlobal: false', async () => {
    @Controller()
    class Consumer {
      constructor(readonly users: UserService) {}
    }
    @Module({ controllers: [Consumer] })
    class Feature {}
    const compile = (isGlobal?: boolean) =>
      Test.createTestingModule({
        imports: [
          EventEmitterModule.forRoot(),
          TypeOrmModule.forRoot({ type: 'postgres', url: one.url, entities: [...NestAuthEntities], retryAttempts: 0 }),
          NestAuthModule.forRoot(isGlobal === undefined ? {} : { isGlobal }),
          Feature,
        ],
      }).compile();
    const module = await compile();
    expect(module.get(Consumer, { strict: false }).users).toBeInstanceOf(UserService);
    await module.close();
    await expect(compile(false)).rejects.toThrow(/UserService/);
  });

  it('serves the DataSource that is named', async () => {
    const module = await Test.createTestingModule({
      imports: [
        EventEmitterModule.forRoot(),
        TypeOrmModule.forRoot({
          name: 'identity',
          type: 'postgres',
          url: two.url,
          entities: [...NestAuthEntities],
          retryAttempts: 0,
        }),
        NestAuthModule.forRoot({ dataSource: 'identity' }),
      ],
    }).compile();
    const email = freshEmail();
    await module.get(UserService).createUser({ email });
    expect(await countRows(two.url, 'nest_auth_users', 'email_norm = $1', [email])).toBe(1);
    await module.close();
  });
});

describe('two applications in one process', () => {
  let first: NestApp;
  let second: NestApp;
  beforeAll(async () => {
    first = await startNestApp(one.url, { auth: { phone: { defaultRegion: 'DE' } } });
    second = await startNestApp(two.url, {
      auth: { ...disabled, transaction: { onEscape: 'off' }, user: { beforeCreate: () => undefined } },
    });
  });
  afterAll(async () => {
    await first.close();
    await second.close();
  });

  it('share no options, no rows and no events', async () => {
    const email = freshEmail();
    const before = [first.events.length, second.events.length];
    const user = await first.users.createUser({ email, phone: '0151 12345678' });
    expect(await second.users.getUserByEmail(email)).toBeNull();
    await expect(second.users.createUser({ phone: '0151 12345678' })).rejects.toMatchObject({
      code: 'VALIDATION_FAILED',
    });
    expect(await isDisabled(first)).toBe(false);
    expect(await isDisabled(second)).toBe(true);
    expect([first.events.length, second.events.length]).toEqual([(before[0] ?? 0) + 2, (before[1] ?? 0) + 1]);
    expect(await second.users.getUserById(user.id)).toBeNull();
  });

  it("keep an entity with the DataSource it came from, and its helpers with that one's services", async () => {
    const email = freshEmail();
    const [here, there] = [await first.users.createUser({ email }), await second.users.createUser({ email })];
    await there.updateEmail(`moved-${email}`);
    here.metadata = { saved: true };
    await here.save();
    expect(await first.users.getUserByEmail(email)).toMatchObject({ metadata: { saved: true } });
    expect(await second.users.getUserByEmail(email)).toBeNull();
    await expect(async () => NestAuthUser.find()).rejects.toMatchObject({ code: 'AMBIGUOUS_DATA_SOURCE' });
  });

  it('refuse a manager of the other one', async () => {
    const call = first.users.createUser({ email: freshEmail() }, null, {}, second.manager);
    await expect(call).rejects.toMatchObject({ code: 'AMBIGUOUS_DATA_SOURCE' });
    const inside = second.users.runInTransaction((manager) =>
      first.users.getUserById('01a1fb24-0fde-73a3-a684-6db91d4ba5d7', {}, manager),
    );
    await expect(inside).rejects.toMatchObject({ code: 'AMBIGUOUS_DATA_SOURCE' });
  });

  it('commit and roll back apart, also when one runs inside the other', async () => {
    const email = freshEmail();
    const undo = new Error('undo');
    const flow = first.users.runInTransaction(async () => {
      await first.users.createUser({ email });
      await second.users.runInTransaction(() => second.users.createUser({ email }));
      throw undo;
    });
    await expect(flow).rejects.toBe(undo);
    expect(await countRows(one.url, 'nest_auth_users', 'email_norm = $1', [email])).toBe(0);
    expect(await countRows(two.url, 'nest_auth_users', 'email_norm = $1', [email])).toBe(1);
  });
});

describe('listeners', () => {
  const heard: { event: UserCreatedEvent; rows: number }[] = [];

  @Injectable()
  class Welcome {
    constructor(private readonly dataSource: DataSource) {}

    @OnEvent(NestAuthEvents.USER_CREATED)
    async greet(event: UserCreatedEvent): Promise<void> {
      heard.push({ event, rows: await this.dataSource.getRepository(NestAuthUser).countBy({ id: event.user.id }) });
      throw new Error('a listener that fails changes nothing');
    }
  }

  it('hear of a user with input and tenant, once, when the row can be seen, and cannot fail the call', async () => {
    const app = await startNestApp(one.url, { providers: [Welcome] });
    const email = freshEmail();
    const tenant = await app.tenants.createTenant({ name: 'Acme', slug: 'acme' });
    const context: CreateUserContext = { source: 'signup', actorId: 'somebody' };
    const user = await app.users.runInTransaction(async () => {
      const made = await app.users.createUser({ email, password: 'correct horse battery staple' }, tenant.id, context);
      // A listener told too early would have asked the database by now: it began before these questions.
      for (let round = 0; round < 5; round += 1) await runOutsideTransaction(() => app.users.countUsers());
      expect(heard).toEqual([]);
      return made;
    });
    while (heard.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(heard).toMatchObject([
      { event: { user: { id: user.id }, input: { email }, tenantId: tenant.id, context }, rows: 1 },
    ]);
    expect(heard[0]?.event).toBeInstanceOf(UserCreatedEvent);
    await app.close();
  });
});
