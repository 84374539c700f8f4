import type { DataSource } from 'typeorm';
import { runOutsideTransaction } from '../transaction/frame.js';

/** Number of rows and digest of the contents, by table. */
export type Snapshot = ReadonlyMap<string, { readonly rows: number; readonly digest: string }>;

/** What the tables hold, as a digest: two equal snapshots mean byte-identical rows. Meant for test databases. */
export function takeSnapshot(dataSource: DataSource, tables: readonly string[]): Promise<Snapshot> {
  return runOutsideTransaction(async () => {
    const snapshot = new Map<string, { rows: number; digest: string }>();
    for (const table of tables) {
      const name = table
        .split('.')
        .map((part) => `"${part}"`)
        .join('.');
      const [row] = await dataSource.query<{ rows: number; digest: string }[]>(
        `select count(*)::integer as rows, md5(coalesce(string_agg(t::text, E'\\n' order by t::text), '')) as digest from ${name} t`,
      );
      if (row !== undefined) snapshot.set(table, row);
    }
    return snapshot;
  });
}

/** One line a table that is not the same in both. */
export function differencesOf(before: Snapshot, after: Snapshot): string[] {
  return [...before].flatMap(([table, { rows, digest }]) => {
    const now = after.get(table);
    if (now?.digest === digest) return [];
    return [now?.rows === rows ? `${table} (rows changed)` : `${table} (${rows} rows before, ${now?.rows ?? 0} after)`];
  });
}
