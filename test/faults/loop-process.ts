// A process of a deployment that runs the operations for ever, three at a time, until it is killed. It says what it is
// about to do. Started by whole-server.test.ts.
import { EventEmitterModule } from '@nestjs/event-emitter';
import { NestFactory } from '@nestjs/core';
import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';

import { NestAuthEntities, NestAuthModule, UserLifecycleService, UserService } from '../../src/index.js';
import { AppMirror } from './mirror.js';
import { type Host, OPERATIONS } from './operations.js';
import { Random } from './random.js';

const [url, seed, label] = process.argv.slice(2) as [string, string, string];

@Module({
  imports: [
    EventEmitterModule.forRoot(),
    TypeOrmModule.forRoot({ type: 'postgres', url, poolSize: 3, entities: [...NestAuthEntities, AppMirror] }),
    NestAuthModule.forRoot(),
  ],
})
class LoopModule {}

const context = await NestFactory.createApplicationContext(LoopModule, { logger: ['error'] });
const host: Host = {
  users: context.get(UserService),
  lifecycle: context.get(UserLifecycleService),
  seed: JSON.parse(seed) as Host['seed'],
};

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
