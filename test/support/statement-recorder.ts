// Loaded before each test file. Writes down every distinct statement that the package or TypeORM, for our entities, puts
// on the wire; summary-reporter.mjs holds the rules against them when all tests have run.
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';

const directory = process.env['NEST_AUTH_TEST_STATEMENTS'];

/** Deep enough to reach from the driver through TypeORM to whoever has asked. */
const STACK_DEPTH = 60;

const seen = new Set<string>();
const send = pg.Client.prototype.query as (...args: unknown[]) => unknown;

if (directory !== undefined) {
  const file = join(directory, `${process.pid}.jsonl`);
  // The driver's own method, below every wrapper: also a statement that a later layer has changed is seen as it leaves.
  pg.Client.prototype.query = function recorded(this: pg.Client, ...args: unknown[]): unknown {
    const [config] = args as [string | { text?: string; name?: string }];
    const text = typeof config === 'string' ? config : config?.text;
    if (text?.includes('nest_auth_') === true && !seen.has(text)) {
      const by = senderOf(typeof config === 'string' ? undefined : config?.name);
      if (by !== undefined) {
        // Only then: a test may send the same text itself first.
        seen.add(text);
        appendFileSync(file, `${JSON.stringify({ by, text: text.replaceAll(/\s+/g, ' ').trim() })}\n`);
      }
    }
    return send.apply(this, args);
  } as typeof pg.Client.prototype.query;
}

/** Whose statement it is, told by the code that waits for it; undefined for a test's or a host's own SQL. */
function senderOf(name: string | undefined): 'package' | 'orm' | undefined {
  if (name?.startsWith('nest_auth_') === true) return 'package';
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = STACK_DEPTH;
  const { stack = '' } = new Error();
  Error.stackTraceLimit = limit;
  if (/[\\/]src[\\/]transaction[\\/]statement\./.test(stack)) return 'package';
  return /QueryBuilder|SubjectExecutor/.test(stack) && !/MigrationExecutor|RdbmsSchemaBuilder/.test(stack)
    ? 'orm'
    : undefined;
}
