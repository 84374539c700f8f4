import { inspect } from 'node:util';
import { jest } from '@jest/globals';
import { Logger, type LoggerService } from '@nestjs/common';
import { DataSource, type Logger as TypeOrmLogger } from 'typeorm';
import { withClient } from '../../support/database.js';

/** Where something was written down, and what. */
export interface Written {
  readonly where: string;
  readonly text: string;
}

/** Keeps whatever anybody says while the flows run: log lines, what is printed, statements with their parameters, errors. */
export class Witness {
  /** By place, each once: the same statement is sent a thousand times. */
  readonly #written = new Map<string, Set<string>>();

  /** For `new DataSource({ logging: true, logger })`: with every parameter, as an application in trouble would have it. */
  readonly queryLogger: TypeOrmLogger = {
    logQuery: (query, parameters) => this.#keep('query log', leavesOf([query, parameters])),
    logQueryError: (error, query, parameters) => this.#keep('query log', leavesOf([error, query, parameters])),
    logQuerySlow: (_time, query, parameters) => this.#keep('query log', leavesOf([query, parameters])),
    logSchemaBuild: (message) => this.#keep('query log', [message]),
    logMigration: (message) => this.#keep('query log', [message]),
    log: (_level, message) => this.#keep('query log', leavesOf(message)),
  };

  get written(): readonly Written[] {
    return [...this.#written].map(([where, texts]) => ({ where, text: [...texts].join('\n') }));
  }

  note(where: string, value: unknown): void {
    this.#keep(where, [textOf(value)]);
  }

  #keep(where: string, texts: readonly string[]): void {
    const known = this.#written.get(where) ?? new Set();
    this.#written.set(where, known);
    for (const text of texts) known.add(text);
  }

  /** From now on, until `jest.restoreAllMocks()`. */
  listen(): void {
    const line =
      (level: string) =>
      (...parts: unknown[]): void =>
        this.note(`Nest logger, ${level}`, parts);
    const logger: LoggerService = {
      log: line('log'),
      error: line('error'),
      warn: line('warn'),
      debug: line('debug'),
      verbose: line('verbose'),
      fatal: line('fatal'),
    };
    Logger.overrideLogger(logger);
    for (const method of ['log', 'info', 'warn', 'error', 'debug', 'trace'] as const)
      jest.spyOn(console, method).mockImplementation((...parts) => this.note(`console.${method}`, parts));
    for (const [name, stream] of Object.entries({ stdout: process.stdout, stderr: process.stderr }))
      jest.spyOn(stream, 'write').mockImplementation((chunk) => {
        this.note(name, Buffer.from(chunk).toString());
        return true;
      });
  }
}

/** Every row of every table that is there, as text and as JSON, and what the server shows of running statements. */
export function dumpEverything(url: string): Promise<Written[]> {
  return withClient(url, async (client) => {
    const { rows: tables } = await client.query<{ name: string }>(
      `select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where c.relkind in ('r', 'm') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') order by 1`,
    );
    const written: Written[] = [];
    for (const { name } of [...tables, { name: 'pg_stat_activity' }]) {
      const { rows } = await client.query<{ text: string }>(
        `select t::text || E'\\n' || to_jsonb(t)::text as text from ${name} t`,
      );
      written.push({ where: `table ${name}`, text: rows.map(({ text }) => text).join('\n') });
    }
    return written;
  });
}

/** All that a logger of whatever kind could make of a value: JSON, `inspect`, every property, hidden ones and bytes too. */
export function textOf(value: unknown): string {
  const parts = leavesOf(value);
  parts.push(inspect(value, { depth: null, maxArrayLength: null, maxStringLength: null }));
  try {
    parts.push(JSON.stringify(value) ?? '');
  } catch {
    // A circle has no JSON.
  }
  return parts.join('\n');
}

/** Every text in it, and the bytes. */
function leavesOf(value: unknown): string[] {
  const parts: string[] = [];
  collect(value, parts, new Set());
  return parts;
}

function collect(value: unknown, parts: string[], seen: Set<unknown>): void {
  if (typeof value === 'string') return void parts.push(value);
  if (typeof value !== 'object' || value === null || seen.has(value)) return;
  seen.add(value);
  // An entity remembers, hidden, where it came from: that is the whole application.
  if (value instanceof DataSource) return;
  if (Buffer.isBuffer(value)) return void parts.push(value.toString('hex'), value.toString('latin1'));
  if (value instanceof Error) parts.push(String(value), value.stack ?? '');
  if (value instanceof Map || value instanceof Set) for (const one of value.entries()) collect(one, parts, seen);
  for (const key of Reflect.ownKeys(value)) {
    const property = Object.getOwnPropertyDescriptor(value, key);
    if (property !== undefined && 'value' in property) collect(property.value, parts, seen);
  }
}
