export { NestAuthScheduleModule } from './schedule.module.js';
export type { JobSchedule, NestAuthScheduleOptions, OwnJobName } from './schedule.options.js';
export { NestAuthScheduler } from './scheduler.js';
export type { JobTiming } from './slots.policy.js';
