import type { AccessService } from '../access/access.service.js';
import type { ActivityService } from '../audit/activity.service.js';
import type { ExternalSignInService } from '../external/external-sign-in.service.js';
import type { InvitationService } from '../invitation/invitation.service.js';
import type { Job, JobRun } from '../job/job.types.js';
import { LIFECYCLE_JOBS, type LifecycleJob } from '../lifecycle/lifecycle-jobs.js';
import type { SecretRotationService } from '../mfa/rotation.service.js';
import type { TrustedDeviceService } from '../mfa/trusted-device.service.js';
import type { VerificationService } from '../recovery/verification.service.js';
import type { SessionService } from '../session/session.service.js';
import type { UserLifecycleService } from '../lifecycle/user-lifecycle.service.js';

/** Whose work the jobs are. */
export interface JobServices {
  readonly lifecycle: UserLifecycleService;
  readonly activities: ActivityService;
  readonly sessions: SessionService;
  readonly access: AccessService;
  readonly external: ExternalSignInService;
  readonly verification: VerificationService;
  readonly devices: TrustedDeviceService;
  readonly rotation: SecretRotationService;
  readonly invitations: InvitationService;
}

/** The jobs of the package itself. Each goes on by itself after a kill: what is done is not due any more. */
export function ownJobs(
  { lifecycle, activities, sessions, access, external, verification, invitations, devices, rotation }: JobServices,
  retentionMonths: number | undefined,
): Job[] {
  return [
    ...LIFECYCLE_JOBS.map((batch) => ({
      name: batch.name,
      run: (run: JobRun) => runBatch(batch, lifecycle, run),
    })),
    {
      name: 'seal-activities',
      run: async () => {
        const { seals, activities: count } = await activities.sealActivities();
        return { seals, processed: count };
      },
    },
    {
      name: 'maintain-activities',
      run: async () => {
        const options = retentionMonths === undefined ? {} : { retentionMonths };
        const { created, dropped } = await activities.maintainPartitions(options);
        return { created: created.length, dropped: dropped.length };
      },
    },
    {
      name: 'purge-expired-grants',
      run: async ({ signal }) => ({ ...(await access.purgeExpiredGrants({ signal })) }),
    },
    {
      name: 'purge-ended-sessions',
      run: async ({ signal, progress }) => {
        const { isComplete: _, ...counts } = await sessions.purgeEnded({
          signal,
          onProgress: (done) => progress({ ...done }),
        });
        return counts;
      },
    },
    {
      name: 'remove-expired-external-flows',
      run: async () => ({ removed: await external.removeExpiredFlows() }),
    },
    {
      name: 'remove-expired-one-time-tokens',
      run: async () => ({ removed: await verification.removeExpiredTokens() }),
    },
    {
      name: 'remove-expired-second-factors',
      run: async () => ({ ...(await devices.removeExpired()) }),
    },
    {
      name: 'rotate-secrets',
      run: async ({ signal, progress }) => {
        const onProgress = (done: { rotated: number; unreadable: number }): void => progress({ ...done });
        const { rotated, unreadable } = await rotation.rotateSecrets({ signal, onProgress });
        return { rotated, unreadable };
      },
    },
    {
      name: 'remove-expired-invitations',
      run: async () => ({ removed: await invitations.removeExpiredInvitations() }),
    },
  ];
}

async function runBatch(batch: LifecycleJob, lifecycle: UserLifecycleService, { signal, progress }: JobRun) {
  const { processed, skippedCount, failedCount } = await batch.run(lifecycle, {
    signal,
    onProgress: ({ processed: done, skipped, failed }) => progress({ processed: done, skipped, failed }),
  });
  return { processed, skipped: skippedCount, failed: failedCount };
}
