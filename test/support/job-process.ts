// One process of a deployment with a scheduler. Its job writes down each step with the process that did it. Started by
// job-processes.ts.
import { ScheduleModule } from '@nestjs/schedule';
import { DataSource } from 'typeorm';

import { NestAuthScheduleModule, NestAuthScheduler } from '../../src/schedule/index.js';
import { startProcessApp, stayUntilTerminated } from './process-app.js';

const [url, name, cron, stepsText, stepMsText] = process.argv.slice(2) as [string, string, string, string, string];

const schedule = NestAuthScheduleModule.forRoot({ enabled: false, leaseMs: 600, tickMs: 100 });
const app = await startProcessApp(url, {}, { pool: 2, imports: [ScheduleModule.forRoot(), schedule] });
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
stayUntilTerminated(app);
