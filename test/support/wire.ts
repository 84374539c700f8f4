import pg from 'pg';

import { until } from './until.js';

interface Watcher {
  /** What is sent instead of the text, or nothing for the text itself. */
  (text: string, client: pg.Client, values: readonly unknown[]): void;
}

const watchers = new Set<Watcher>();
const send = pg.Client.prototype.query as (...args: unknown[]) => unknown;

// Once, below every wrapper of the package: the driver's own method sees each statement exactly as it leaves.
pg.Client.prototype.query = function watched(this: pg.Client, ...args: unknown[]): unknown {
  const [config, given] = args as [string | { text?: string; values?: unknown[] }, unknown];
  const text = typeof config === 'string' ? config : config?.text;
  const values = Array.isArray(given) ? given : typeof config === 'string' ? [] : (config?.values ?? []);
  if (text !== undefined) for (const watcher of watchers) watcher(text, this, values);
  return send.apply(this, args);
} as typeof pg.Client.prototype.query;

export interface Recording<T> {
  readonly result: T;
  /** Every statement on the wire, BEGIN and COMMIT included. */
  readonly statements: readonly string[];
  /** What was bound to each. */
  readonly values: readonly (readonly unknown[])[];
  /** How many connections they were sent on. */
  readonly connections: number;
}

/**
 * Waits until a statement of this text was sent so many times from now on. Whoever sends them one after another has done
 * with all but the last one: to see that something does not happen, wait for as many looks as it would need.
 */
export async function untilSent(text: RegExp, times: number): Promise<void> {
  let sent = 0;
  const watcher: Watcher = (one) => {
    if (one.search(text) >= 0) sent += 1;
  };
  watchers.add(watcher);
  try {
    await until(`${times} statements like ${text.source}`, () => sent >= times);
  } finally {
    watchers.delete(watcher);
  }
}

/** Records what `fn` sends to PostgreSQL, on whatever connection. */
export async function recordStatements<T>(fn: () => Promise<T>): Promise<Recording<T>> {
  const statements: string[] = [];
  const values: (readonly unknown[])[] = [];
  const clients = new Set<pg.Client>();
  const watcher: Watcher = (text, client, bound) => {
    statements.push(text.replaceAll(/\s+/g, ' ').trim());
    values.push(bound);
    clients.add(client);
  };
  watchers.add(watcher);
  try {
    const result = await fn();
    return { result, statements, values, connections: clients.size };
  } finally {
    watchers.delete(watcher);
  }
}
