import { AsyncLocalStorage } from 'node:async_hooks';
import pg from 'pg';

/** Called before each statement of a run, with its number from 1; it is sent once the answer has come. */
type Gate = (number: number, text: string, client: GatedClient) => Promise<void> | undefined;

/** The driver's client, with the number of its process at the server. */
export type GatedClient = pg.Client & { readonly processID: number };

interface Run {
  readonly gate: Gate;
  sent: number;
}

const running = new AsyncLocalStorage<Run | undefined>();
const send = pg.Client.prototype.query as (...args: unknown[]) => unknown;

// Once, below every wrapper of the package and of TypeORM: the driver sees each statement exactly as it leaves.
pg.Client.prototype.query = function gated(this: GatedClient, ...args: unknown[]): unknown {
  const run = running.getStore();
  const [config] = args as [string | { text?: string }];
  const text = typeof config === 'string' ? config : config?.text;
  if (run === undefined || text === undefined) return send.apply(this, args);
  run.sent += 1;
  // What the gate does has statements of its own.
  const opened = running.run(undefined, () => run.gate(run.sent, text, this));
  return opened === undefined ? send.apply(this, args) : opened.then(() => send.apply(this, args));
} as typeof pg.Client.prototype.query;

export function throughGate<T>(gate: Gate, fn: () => Promise<T>): Promise<T> {
  return running.run({ gate, sent: 0 }, fn);
}

/**
 * Sees, and numbers, what is sent by the connection that sends first, which is that of the transaction; or what is sent
 * beside it.
 */
export function sentBy(whom: 'the first connection' | 'another connection', gate: Gate): Gate {
  let first: GatedClient | undefined;
  let sent = 0;
  return (_number, text, client) => {
    first ??= client;
    if ((client === first) !== (whom === 'the first connection')) return undefined;
    sent += 1;
    return gate(sent, text, client);
  };
}

/** What `fn` sends by its first connection, BEGIN and COMMIT included. */
export async function statementsOf(
  fn: () => Promise<unknown>,
  whom: Parameters<typeof sentBy>[0] = 'the first connection',
): Promise<string[]> {
  const texts: string[] = [];
  const gate: Gate = (_number, text) => {
    texts.push(text.replaceAll(/\s+/g, ' ').trim());
    return undefined;
  };
  await throughGate(sentBy(whom, gate), fn);
  return texts;
}
