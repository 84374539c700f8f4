import { randomUUID } from 'node:crypto';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Controller, Get, type MiddlewareConsumer, Module, type NestModule, Post, Query } from '@nestjs/common';
import { EventEmitterModule } from '@nestjs/event-emitter';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  ActivityService,
  IdentityContext,
  IdentityContextMiddleware,
  NestAuthActivity,
  NestAuthEntities,
  NestAuthModule,
  UserService,
} from '../../../src/index.js';
import { PREPARED } from '../../support/connection-mode.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { freshEmail } from '../../support/nest-app.js';

@Controller()
class SignUpController {
  constructor(private readonly users: UserService) {}

  @Post('sign-up')
  async signUp(): Promise<string> {
    return (await this.users.createUser({ email: freshEmail() })).id;
  }

  @Get('facts')
  async facts(@Query('wait') wait = '0'): Promise<object> {
    await new Promise((resolve) => setTimeout(resolve, Number(wait)));
    return IdentityContext.current;
  }
}

@Module({ controllers: [SignUpController] })
class HostModule implements NestModule {
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(IdentityContextMiddleware).forRoutes('{*path}');
  }
}

let database: TestDatabase;
let app: NestExpressApplication;
beforeAll(async () => {
  database = await createTestDatabase();
  const module = await Test.createTestingModule({
    imports: [
      EventEmitterModule.forRoot(),
      TypeOrmModule.forRoot({ type: 'postgres', url: database.url, entities: [...NestAuthEntities], retryAttempts: 0 }),
      NestAuthModule.forRoot({ statements: { prepared: PREPARED } }),
      HostModule,
    ],
  }).compile();
  app = module.createNestApplication<NestExpressApplication>({ logger: false });
  await app.listen(0, '127.0.0.1');
});
afterAll(async () => {
  await app.close();
  await database.drop();
});

interface Answer {
  readonly body: string;
  readonly requestId: string | undefined;
}

/** With `node:http`, which sends headers as they are, also twice. */
function send(method: string, path: string, headers: Record<string, string | string[]> = {}): Promise<Answer> {
  const { port } = app.getHttpServer().address() as AddressInfo;
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, method, path, headers }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      response.on('end', () => resolve({ body, requestId: response.headers['x-request-id'] as string | undefined }));
    })
      .on('error', reject)
      .end();
  });
}

async function factsOf(headers: Record<string, string | string[]>): Promise<Record<string, unknown>> {
  return JSON.parse((await send('GET', '/facts', headers)).body) as Record<string, unknown>;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

describe('IdentityContextMiddleware', () => {
  it('lets the activity tell from where, with what and by which request it was made', async () => {
    const { body: userId, requestId } = await send('POST', '/sign-up', {
      'user-agent': 'curl/8',
      'x-request-id': 'trace:1234-5678',
    });
    expect(requestId).toBe('trace:1234-5678');
    const { items } = await app.get(ActivityService).findActivities({ userId });
    expect(items).toHaveLength(1);
    expect(items[0]).toBeInstanceOf(NestAuthActivity);
    expect(items[0]).toMatchObject({ ip: '127.0.0.1', userAgent: 'curl/8', requestId: 'trace:1234-5678' });
  });

  it.each([
    ['none', {}],
    ['one that is too short', { 'x-request-id': 'abc' }],
    ['one that is too long', { 'x-request-id': 'a'.repeat(129) }],
    ['one with a space in it', { 'x-request-id': 'abcdefgh ijk' }],
    ['one that would forge a line', { 'x-request-id': '{"level":"info"}' }],
    ['two', { 'x-request-id': ['first-id-1', 'second-id-2'] }],
  ])('makes a request id when the request has %s', async (_, headers) => {
    const facts = await factsOf(headers);
    expect(facts['requestId']).toMatch(UUID);
    expect(facts['requestId']).not.toBe((await factsOf(headers))['requestId']);
  });

  it('believes a proxy only when Express is told to', async () => {
    const headers = { 'x-forwarded-for': '203.0.113.9' };
    expect((await factsOf(headers))['ip']).toBe('127.0.0.1');
    app.set('trust proxy', 1);
    expect((await factsOf(headers))['ip']).toBe('203.0.113.9');
    expect((await factsOf({ 'x-forwarded-for': '::ffff:203.0.113.9' }))['ip']).toBe('203.0.113.9');
    expect((await factsOf({ 'x-forwarded-for': 'fe80::1%eth0' }))['ip']).toBe('fe80::1');
    // What is no address is left out instead of failing the request, or every write in it.
    expect(await factsOf({ 'x-forwarded-for': 'unknown' })).not.toHaveProperty('ip');
    app.set('trust proxy', false);
  });

  it('keeps the facts of requests at the same time apart', async () => {
    const ids = Array.from({ length: 20 }, () => randomUUID());
    const answers = await Promise.all(
      ids.map((id, index) => send('GET', `/facts?wait=${(index % 5) * 5}`, { 'x-request-id': id })),
    );
    expect(answers.map(({ body }) => (JSON.parse(body) as { requestId: string }).requestId)).toEqual(ids);
    expect(IdentityContext.current).toEqual({});
  });

  it('cuts what is too long, and takes a request without a user agent', async () => {
    expect(String((await factsOf({ 'user-agent': 'x'.repeat(2_000) }))['userAgent'])).toHaveLength(512);
    expect(await factsOf({})).not.toHaveProperty('userAgent');
  });
});
