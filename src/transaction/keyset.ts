import { createHash } from 'node:crypto';
import { InputIssues, isUuid } from '../errors/input.js';
import { NestAuthError } from '../errors/nest-auth.error.js';

/** How much of a list to read, and from where. `after` and `offset` exclude each other. */
export interface PageOptions {
  /** Rows at most. */
  readonly limit?: number;
  /** The `nextCursor` of the page before: as fast on page 10,000 as on page 1, and no row is skipped or seen twice. */
  readonly after?: string;
  /** Rows to skip; slower the further it goes. @default 0 */
  readonly offset?: number;
  /**
   * Read it at a replica, whose answer may be old: for screens that only show it. Without `replication`, inside a
   * transaction and with a manager the list is read where it would be anyway. @default false
   */
  readonly replica?: boolean;
}

/** One page of a list. */
export interface Page<T> {
  readonly items: T[];
  /** Pass it as `after` with the same filters; null on the last page. */
  readonly nextCursor: string | null;
}

/** A validated {@link PageOptions}. */
export interface PageWindow {
  readonly limit: number;
  readonly after: string | null;
  readonly offset: number;
}

export interface PageLimits {
  readonly defaultLimit: number;
  readonly maxLimit: number;
}

/** The fields of {@link PageOptions}, for inputs that refuse unknown ones. */
export const PAGE_FIELDS = ['limit', 'after', 'offset', 'replica'] as const satisfies readonly (keyof PageOptions)[];

/** Largest number of rows to skip: PostgreSQL takes more, but nobody waits for it. */
const MAX_OFFSET = 2_147_483_647;

/** Longer than any cursor of ours. */
const MAX_CURSOR_LENGTH = 2_048;

/** Refuses what cannot be a page. A limit above the maximum is refused too: fewer rows than asked for look like the end. */
export function readPage(options: PageOptions, { defaultLimit, maxLimit }: PageLimits): PageWindow {
  const { limit = defaultLimit, after, offset, replica } = options;
  const issues = new InputIssues();
  if (!Number.isInteger(limit) || limit < 1 || limit > maxLimit) {
    issues.add('limit', `must be a whole number, 1 to ${maxLimit}`);
  }
  if (offset !== undefined && (!Number.isInteger(offset) || offset < 0 || offset > MAX_OFFSET)) {
    issues.add('offset', 'must be a whole number, at least 0');
  }
  if (after !== undefined && typeof after !== 'string') issues.add('after', 'must be a cursor');
  if (after !== undefined && offset !== undefined) issues.add('offset', 'cannot be combined with after');
  if (replica !== undefined) issues.boolean('replica', replica);
  issues.refuse('The list cannot be read');
  return { limit, after: after ?? null, offset: offset ?? 0 };
}

/** What one value of a cursor must be. */
type CursorType = 'uuid' | 'text' | 'integer' | 'timestamp';
type CursorShape = Readonly<Record<string, CursorType>>;
type CursorValues<Shape extends CursorShape> = {
  readonly [Key in keyof Shape]: Shape[Key] extends 'integer' ? number : string;
};

/**
 * The kind of a list's cursors: its name and a digest of what it is filtered by, so that a cursor of another list,
 * another tenant or another search is refused instead of landing somewhere.
 */
export function cursorKind(name: string, filter: Readonly<Record<string, unknown>> = {}): string {
  const known = Object.entries(filter).filter(([, value]) => value !== undefined && value !== null);
  if (known.length === 0) return name;
  const digest = createHash('sha256').update(JSON.stringify(known.toSorted(([a], [b]) => (a < b ? -1 : 1))));
  return `${name}.${digest.digest('base64url').slice(0, 16)}`;
}

/** An opaque cursor. It holds values to compare with, never names or SQL. */
export function encodeCursor(kind: string, values: Readonly<Record<string, string | number>>): string {
  return Buffer.from(JSON.stringify([kind, ...Object.values(values)])).toString('base64url');
}

/** The values of a cursor; refuses one that is malformed, or was made by a list of another kind. */
export function decodeCursor<const Shape extends CursorShape>(
  kind: string,
  text: string,
  shape: Shape,
): CursorValues<Shape> {
  const [made, ...values] = parse(text);
  const names = Object.keys(shape);
  const fits = names.every((name, index) => isOfType(values[index], shape[name]));
  if (made !== kind || values.length !== names.length || !fits) throw foreignCursor();
  return Object.fromEntries(names.map((name, index) => [name, values[index]])) as CursorValues<Shape>;
}

/** The page of rows read with a limit of one more than asked for, which tells whether there is another page. */
export function toPage<Row, T>(
  rows: readonly Row[],
  limit: number,
  toItem: (row: Row) => T,
  cursorOf: (last: T) => string,
): Page<T> {
  const items = rows.slice(0, limit).map(toItem);
  const last = items.at(-1);
  return { items, nextCursor: rows.length > limit && last !== undefined ? cursorOf(last) : null };
}

/** The most common cursor: a list ordered by its id. Null on the first page. */
export function readIdCursor(kind: string, after: string | null): string | null {
  return after === null ? null : decodeCursor(kind, after, { id: 'uuid' }).id;
}

/** Text that a search must find literally anywhere, as a pattern of `like`. */
export function containing(search: string): string {
  return `%${search.replaceAll(/[\\%_]/g, (char) => `\\${char}`)}%`;
}

/**
 * The texts that begin with `prefix`, from the first up to, and without, the second; byte by byte, as the operators
 * `~>=~` and `~<~` compare. Unlike a pattern of `like` it is answered by an index also in a plan made without the value.
 */
export function beginningWith(prefix: string): readonly [from: string, to: string] {
  const points = Array.from(prefix);
  const last = points.pop()?.codePointAt(0) ?? 0;
  // Surrogates are no characters, and beyond the last one nothing follows that a login could hold.
  const next = last === 0xd7_ff ? 0xe0_00 : Math.min(last + 1, 0x10_ff_ff);
  return [prefix, points.join('') + String.fromCodePoint(next)];
}

function parse(text: string): unknown[] {
  if (text.length > MAX_CURSOR_LENGTH || !/^[\w-]+$/.test(text)) throw foreignCursor();
  try {
    const json = Buffer.from(text, 'base64url').toString('utf8');
    const value: unknown = JSON.parse(json);
    // Only the one spelling that we write is read.
    if (Array.isArray(value) && Buffer.from(json).toString('base64url') === text) return value;
  } catch {
    // Refused below: what is not JSON was not made here.
  }
  throw foreignCursor();
}

function isOfType(value: unknown, type: CursorType | undefined): boolean {
  if (type === 'uuid') return isUuid(value);
  if (type === 'integer') return Number.isSafeInteger(value);
  if (typeof value !== 'string' || value.includes('\u0000')) return false;
  return type === 'text' || (/^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value) && !Number.isNaN(Date.parse(value)));
}

function foreignCursor(): NestAuthError {
  const issue = {
    path: 'after',
    message: 'is not a cursor of this list; pass the nextCursor of a page with the same filters',
  };
  return new NestAuthError('VALIDATION_FAILED', `The list cannot be read: ${issue.path} ${issue.message}`, {
    details: { issues: [issue] },
  });
}
