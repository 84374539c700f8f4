import { CronTime } from 'cron';
import { NestAuthError } from '../errors/nest-auth.error.js';

/** When a job is due. */
export interface JobTiming {
  /** A cron expression of five or six fields. */
  readonly cron: string;
  /** IANA name, such as `Europe/Berlin`. */
  readonly timeZone: string;
}

const MINUTE_MS = 60_000;
const DAY_MS = 1_440 * MINUTE_MS;

/** How far to look back for the last time, in growing steps: a job of each minute is found by the first. */
const LOOK_BACK_MS = [2 * MINUTE_MS, 2 * 60 * MINUTE_MS, 2 * DAY_MS, 32 * DAY_MS, 370 * DAY_MS, 1_500 * DAY_MS];

/** The last moment at or before `now` at which the job was due. */
export function latestSlot({ cron, timeZone }: JobTiming, now: Date): Date | null {
  const time = new CronTime(cron, timeZone);
  for (const lookBack of LOOK_BACK_MS) {
    let last: Date | null = null;
    let next = nextOf(time, new Date(now.getTime() - lookBack));
    while (next !== null && next <= now) {
      last = next;
      next = nextOf(time, next);
    }
    if (last !== null) return last;
  }
  return null;
}

/** Null when there is none: cron gives up after some years. */
function nextOf(time: CronTime, after: Date): Date | null {
  try {
    return time.getNextDateFrom(after).toJSDate();
  } catch {
    return null;
  }
}

/** Refuses what would never, or not when meant, be due. */
export function checkTiming(job: string, { cron, timeZone }: JobTiming): void {
  if (!CronTime.validateCronExpression(cron).valid) refuse(job, 'cron', `'${cron}' is no cron expression`);
  try {
    // Only this tells a zone that does not exist.
    Intl.DateTimeFormat('en', { timeZone });
  } catch {
    refuse(job, 'timeZone', `'${timeZone}' is no time zone; use an IANA name such as Europe/Berlin`);
  }
}

function refuse(job: string, field: string, message: string): never {
  throw new NestAuthError('INVALID_OPTIONS', `NestAuthScheduleModule: ${job}.${field}: ${message}`, {
    details: { option: `jobs.${job}.${field}` },
  });
}
