import type { ActivityService } from '../audit/activity.service.js';
import type { Job, JobRun } from '../job/job.types.js';
import { LIFECYCLE_JOBS, type LifecycleJob } from '../lifecycle/lifecycle-jobs.js';
import type { UserLifecycleService } from '../lifecycle/user-lifecycle.service.js';

/** The jobs of the package itself. Each goes on by itself after a kill: what is done is not due any more. */
export function ownJobs(
  lifecycle: UserLifecycleService,
  activities: ActivityService,
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
  ];
}

async function runBatch(batch: LifecycleJob, lifecycle: UserLifecycleService, { signal, progress }: JobRun) {
  const { processed, skippedCount, failedCount } = await batch.run(lifecycle, {
    signal,
    onProgress: ({ processed: done, skipped, failed }) => progress({ processed: done, skipped, failed }),
  });
  return { processed, skipped: skippedCount, failed: failedCount };
}
