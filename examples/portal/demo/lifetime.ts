import 'reflect-metadata';
import { once } from 'node:events';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DemoDatabase, openDatabase } from './database.js';
import { print } from './terminal.js';

/**
 * Gives `work` a database and takes it away again, however `work` ends: by itself, by an error, or by Ctrl-C.
 * The exit code is what `work` answers, 1 after an error, 130 when Ctrl-C cut it short.
 */
export async function withDatabase(
  work: (database: DemoDatabase, signal: AbortSignal) => Promise<number>,
): Promise<void> {
  const stopping = new AbortController();
  let stoppedBy: NodeJS.Signals | undefined;
  const stop = (signal: NodeJS.Signals): void => {
    stoppedBy ??= signal;
    stopping.abort();
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);

  try {
    const database = await openDatabase(stopping.signal);
    try {
      process.exitCode = await Promise.race([work(database, stopping.signal), abandoned(stopping.signal)]);
    } finally {
      print(`\n${await database.remove()}`);
    }
  } catch (error) {
    if (stoppedBy !== undefined) process.exit(128 + constants.signals[stoppedBy]);
    console.error(error);
    process.exit(1);
  }
}

/** Told to stop, work may end by itself for a moment; then it meets a database that is gone, and nobody waits for it. */
async function abandoned(signal: AbortSignal): Promise<never> {
  if (!signal.aborted) await once(signal, 'abort');
  await sleep(GRACE_MS);
  throw new Error('stopped');
}

const GRACE_MS = 300;
