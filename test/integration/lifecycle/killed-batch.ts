// A process that disables users and says after each chunk how many; it is killed while it does. See batches.test.ts.
import { UserLifecycleService } from '../../../src/index.js';
import { startBatchApp } from './batch-app.js';

const app = await startBatchApp(process.argv[2] as string);
await app.get(UserLifecycleService).disableDeactivatedUsers({
  chunkSize: 50,
  // Slowly enough that the signal arrives before the end.
  onProgress: async ({ processed }) => {
    console.log(processed);
    await new Promise((resolve) => setTimeout(resolve, 5));
  },
});
await app.close();
