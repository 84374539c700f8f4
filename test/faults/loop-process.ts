// A process of a deployment that runs the operations for ever, three at a time, until it is killed. It says what it is
// about to do. Started by whole-server.test.ts.
import { EventEmitterModule } from '@nestjs/event-emitter';
import { NestFactory } from '@nestjs/core';
import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';

import { NestAuthEntities, NestAuthModule } from '../../src/index.js';
import type { Seed } from '../support/nest-app.js';
import { hostOf, SIGN_IN } from './host.js';
import { AppMirror } from './mirror.js';
import { OPERATIONS } from './operations.js';
import { Random } from './random.js';

const [url, seed, label] = process.argv.slice(2) as [string, string, string];

/** Each of three at a time may need a second connection. */
const POOL = 6;

@Module({
  imports: [
    EventEmitterModule.forRoot(),
    TypeOrmModule.forRoot({ type: 'postgres', url, poolSize: POOL, entities: [...NestAuthEntities, AppMirror] }),
    NestAuthModule.forRoot(SIGN_IN),
  ],
})
class LoopModule {}

const context = await NestFactory.createApplicationContext(LoopModule, { logger: ['error'] });
const host = await hostOf(context, JSON.parse(seed) as Seed);

async function work(random: Random): Promise<never> {
  for (;;) {
    const operation = random.pick(OPERATIONS);
    const subject = await operation.prepare(host, random);
    const { email } = subject.after ?? { email: '' };
    console.log(`begins ${email}`);
    await operation.run(host, subject);
  }
}

await Promise.all(['a', 'b', 'c'].map((one) => work(new Random(`${label} ${one}`))));
