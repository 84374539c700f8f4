import { stringify } from 'csv-stringify/sync';
import type { ExportActivitiesOptions } from './activity-log.types.js';
import type { ActivityRow } from './activity.queries.js';

type Cell = (row: ActivityRow) => string | null;

/** The columns of an export, in their order, by the names of the entity. */
const CELLS: Readonly<Record<string, Cell>> = {
  id: ({ id }) => id,
  occurredAt: (row) => row.occurred_at.toISOString(),
  type: ({ type }) => type,
  actorType: (row) => row.actor_type,
  actorId: (row) => row.actor_id,
  impersonatorId: (row) => row.impersonator_id,
  userId: (row) => row.user_id,
  tenantId: (row) => row.tenant_id,
  subjectType: (row) => row.subject_type,
  subjectId: (row) => row.subject_id,
  before: ({ before }) => json(before),
  after: ({ after }) => json(after),
  details: ({ details }) => json(details),
  ip: ({ ip }) => ip,
  userAgent: (row) => row.user_agent,
  requestId: (row) => row.request_id,
};

const JSON_CELLS = new Set(['before', 'after', 'details']);

/** The text that stands before the first row. */
export function headOf({ format }: ExportActivitiesOptions): string {
  return format === 'csv' ? toCsv([Object.keys(CELLS)]) : '';
}

/** The text of some rows, complete lines. */
export function textOf(rows: readonly ActivityRow[], { format }: ExportActivitiesOptions): string {
  if (format === 'csv') return toCsv(rows.map((row) => Object.values(CELLS).map((cell) => cell(row))));
  return rows.map((row) => `${toJson(row)}\n`).join('');
}

function toJson(row: ActivityRow): string {
  const { before, after, details } = row;
  const cells = Object.entries(CELLS).map(([name, cell]) => [name, JSON_CELLS.has(name) ? null : cell(row)]);
  return JSON.stringify({ ...Object.fromEntries(cells), before, after, details });
}

/**
 * A spreadsheet runs what begins like a formula, and much of the log was typed by strangers. Such cells get an apostrophe
 * in front: `= + - @`, their full-width forms, tab and carriage return by the library, a line feed here.
 * See https://owasp.org/www-community/attacks/CSV_Injection
 */
function toCsv(records: readonly (readonly (string | null)[])[]): string {
  return stringify(records as (string | null)[][], {
    escape_formulas: true,
    record_delimiter: 'windows',
    cast: { string: (value) => (value.startsWith('\n') ? `'${value}` : value) },
  });
}

function json(value: object | null): string | null {
  return value === null ? null : JSON.stringify(value);
}
