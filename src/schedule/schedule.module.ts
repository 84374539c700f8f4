import { type DynamicModule, Logger, Module } from '@nestjs/common';
import { SchedulerRegistry } from '@nestjs/schedule';
import { AccessService } from '../access/access.service.js';
import { ActivityService } from '../audit/activity.service.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { InvitationService } from '../invitation/invitation.service.js';
import { ExternalSignInService } from '../external/external-sign-in.service.js';
import { TenantContext } from '../isolation/tenant-context.js';
import { SecretRotationService } from '../mfa/rotation.service.js';
import { TrustedDeviceService } from '../mfa/trusted-device.service.js';
import { UserLifecycleService } from '../lifecycle/user-lifecycle.service.js';
import { VerificationService } from '../recovery/verification.service.js';
import { SessionService } from '../session/session.service.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { ownJobs } from './own-jobs.js';
import { type NestAuthScheduleOptions, OWN_JOBS, type OwnJobName } from './schedule.options.js';
import { NestAuthScheduler } from './scheduler.js';
import { checkTiming, type JobTiming } from './slots.policy.js';

const MAX_MS = 3_600_000;

/**
 * Runs the jobs of the package, and those that `NestAuthScheduler.add` brings, once a slot across all processes.
 *
 * Import it beside `ScheduleModule.forRoot()` of `@nestjs/schedule` and `NestAuthModule`.
 */
@Module({})
export class NestAuthScheduleModule {
  static forRoot(options: NestAuthScheduleOptions = {}): DynamicModule {
    const leaseMs = milliseconds('leaseMs', options.leaseMs ?? 60_000);
    const tickMs = milliseconds('tickMs', options.tickMs ?? 60_000);
    const own = ownTimings(options);
    return {
      module: NestAuthScheduleModule,
      global: true,
      providers: [
        {
          provide: NestAuthScheduler,
          inject: [
            TransactionHost,
            TenantContext,
            SchedulerRegistry,
            UserLifecycleService,
            ActivityService,
            SessionService,
            AccessService,
            ExternalSignInService,
            VerificationService,
            InvitationService,
            TrustedDeviceService,
            SecretRotationService,
          ],
          useFactory: (
            host: TransactionHost,
            context: TenantContext,
            registry: SchedulerRegistry,
            lifecycle: UserLifecycleService,
            activities: ActivityService,
            sessions: SessionService,
            access: AccessService,
            external: ExternalSignInService,
            verification: VerificationService,
            invitations: InvitationService,
            devices: TrustedDeviceService,
            rotation: SecretRotationService,
          ) => {
            const scheduler = makeScheduler(host, context, registry, { leaseMs, tickMs });
            const services = {
              lifecycle,
              activities,
              sessions,
              access,
              external,
              verification,
              invitations,
              devices,
              rotation,
            };
            for (const job of ownJobs(services, options.activityRetentionMonths)) {
              const timing = own.get(job.name);
              if (timing !== undefined) scheduler.add(job, timing);
            }
            host.health.register({ name: 'jobs', read: () => scheduler.readHealth() });
            return scheduler;
          },
        },
      ],
      exports: [NestAuthScheduler],
    };
  }
}

/** The times of the package's jobs that are on. Wrong options fail here, where they are written. */
function ownTimings({ enabled = true, timeZone = 'UTC', jobs = {} }: NestAuthScheduleOptions): Map<string, JobTiming> {
  const unknown = Object.keys(jobs).filter((name) => !(name in OWN_JOBS));
  if (unknown.length > 0) {
    refuse('jobs', `names ${unknown.join(', ')}; known are ${Object.keys(OWN_JOBS).join(', ')}`);
  }
  const timings = Object.entries(OWN_JOBS).map(([name, defaults]) => {
    const job = { timeZone, ...defaults, ...jobs[name as OwnJobName] };
    checkTiming(name, job);
    return { name, job };
  });
  const running = timings.filter(({ job }) => enabled && job.enabled);
  return new Map(running.map(({ name, job }) => [name, { cron: job.cron, timeZone: job.timeZone }]));
}

function makeScheduler(
  host: TransactionHost,
  context: TenantContext,
  registry: SchedulerRegistry,
  settings: { readonly leaseMs: number; readonly tickMs: number },
): NestAuthScheduler {
  const logger = new Logger('NestAuthScheduler');
  return new NestAuthScheduler(
    {
      query: (fn) => context.asPlatform(() => host.operate(undefined, fn)),
      platform: (fn) => context.asPlatform(fn),
      report: (message, error) => logger.error(message, error instanceof Error ? error.stack : String(error)),
    },
    registry,
    settings,
  );
}

function milliseconds(option: string, value: number): number {
  if (Number.isInteger(value) && value >= 100 && value <= MAX_MS) return value;
  refuse(option, `must be a whole number, 100 to ${MAX_MS}`);
}

function refuse(option: string, message: string): never {
  throw new NestAuthError('INVALID_OPTIONS', `NestAuthScheduleModule: ${option} ${message}`, { details: { option } });
}
