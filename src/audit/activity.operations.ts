import { Readable } from 'node:stream';
import type { EntityManager } from 'typeorm';
import { InputIssues } from '../errors/input.js';
import { cursorKind, decodeCursor, encodeCursor, readPage, toPage } from '../transaction/keyset.js';
import { headOf, textOf } from './activity-export.policy.js';
import { checkActivityFilter, readActivity } from './activity-input.policy.js';
import {
  type ActivityFilter,
  type ActivityPage,
  type ActivityPageOptions,
  DEFAULT_ACTIVITIES_PER_PAGE,
  type ExportActivitiesOptions,
  type LogActivityInput,
  MAX_ACTIVITIES_PER_PAGE,
} from './activity-log.types.js';
import type { NestAuthActivity } from './activity.entity.js';
import {
  type ActivityRow,
  type ActivityWindow,
  insertActivity,
  listActivities,
  toActivity,
} from './activity.queries.js';

/** Rows of an export that are read, and kept in memory, at once. */
const EXPORT_ROWS = 500;

export async function logActivity(manager: EntityManager, input: LogActivityInput): Promise<NestAuthActivity> {
  return toActivity(await insertActivity(manager, readActivity(input)), manager);
}

/** One page, newest first, and the cursor of the next. One statement. */
export async function findActivities(
  manager: EntityManager,
  filter: ActivityFilter,
  page: ActivityPageOptions,
): Promise<ActivityPage> {
  checkActivityFilter(filter);
  const issues = new InputIssues();
  issues.fields(page, ['limit', 'after', 'replica']);
  issues.refuse('The activities cannot be listed');
  const { limit, after } = readPage(page, {
    defaultLimit: DEFAULT_ACTIVITIES_PER_PAGE,
    maxLimit: MAX_ACTIVITIES_PER_PAGE,
  });
  const kind = cursorKind('activities', { ...filter });
  const rows = await listActivities(manager, filter, {
    // One row more than asked for tells whether there is a next page.
    limit: limit + 1,
    after: after === null ? null : decodeCursor(kind, after, { at: 'timestamp', id: 'uuid' }),
  });
  return toPage(
    rows,
    limit,
    (row) => toActivity(row, manager),
    ({ occurredAt, id }) => encodeCursor(kind, { at: occurredAt.toISOString(), id }),
  );
}

/** Reads the pages only as fast as somebody takes them. `read` sends one statement. */
export function exportStream(
  read: (after: ActivityWindow['after'], limit: number) => Promise<ActivityRow[]>,
  options: ExportActivitiesOptions,
): Readable {
  // With a highest mark of one byte nothing is read before it is asked for.
  return Readable.from(textsOf(read, options), { objectMode: false, encoding: 'utf8', highWaterMark: 1 });
}

async function* textsOf(
  read: (after: ActivityWindow['after'], limit: number) => Promise<ActivityRow[]>,
  options: ExportActivitiesOptions,
): AsyncGenerator<string> {
  const head = headOf(options);
  if (head !== '') yield head;
  let after: ActivityWindow['after'] = null;
  for (;;) {
    const rows: ActivityRow[] = await read(after, EXPORT_ROWS);
    const last = rows.at(-1);
    if (last !== undefined) yield textOf(rows, options);
    if (last === undefined || rows.length < EXPORT_ROWS) return;
    after = { at: last.occurred_at.toISOString(), id: last.id };
  }
}
