// One process of a deployment with a scheduler. Its job writes down each step with the process that did it. Started by
// job-processes.ts.
import { NestFactory } from '@nestjs/core';
import { Module } from '@nestjs/common';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { ScheduleModule } from '@nestjs/schedule';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';

import { NestAuthEntities, NestAuthModule } from '../../src/index.js';
import { NestAuthScheduleModule, NestAuthScheduler } from '../../src/schedule/index.js';
import { PREPARED } from './connection-mode.js';

const [url, name, cron, stepsText, stepMsText] = process.argv.slice(2) as [string, string, string, string, string];

@Module({
  imports: [
    EventEmitterModule.forRoot(),
    ScheduleModule.forRoot(),
    TypeOrmModule.forRoot({ type: 'postgres', url, poolSize: 2, entities: [...NestAuthEntities], retryAttempts: 0 }),
    NestAuthModule.forRoot({ statements: { prepared: PREPARED } }),
    NestAuthScheduleModule.forRoot({ enabled: false, leaseMs: 600, tickMs: 100 }),
  ],
})
class Deployment {}

const app = await NestFactory.createApplicationContext(Deployment, { logger: false });
const dataSource = app.get(DataSource);
const scheduler = app.get(NestAuthScheduler);
scheduler.add(
  {
    name: 'steps',
    run: async ({ slot, signal, progress }) => {
      const done = await dataSource.query<{ n: number }[]>('select count(*)::integer as n from steps where slot = $1', [
        slot,
      ]);
      for (let step = done[0]?.n ?? 0, own = 0; step < Number(stepsText) && !signal.aborted; step += 1) {
        // The key is (slot, step): a step that two processes do is an error.
        await dataSource.query('insert into steps (slot, step, process) values ($1, $2, $3)', [slot, step, name]);
        progress({ processed: (own += 1) });
        await new Promise((resolve) => setTimeout(resolve, Number(stepMsText)));
      }
    },
  },
  { cron, timeZone: 'UTC' },
);
console.log('ready');
process.on('SIGTERM', () => void app.close().then(() => process.exit()));
