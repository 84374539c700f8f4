import { randomUUID } from 'node:crypto';
import type { EntityMetadata, ObjectLiteral, QueryRunner } from 'typeorm';
import { type OwnershipRule, quote, tableOf } from './isolation.rules.js';

/** A row of `owner` that `attacker` is after. */
export interface Victim {
  readonly metadata: EntityMetadata;
  readonly rule: OwnershipRule;
  /** By the names of the columns. */
  readonly row: Readonly<Record<string, unknown>>;
  /** A row of the attacker's in the same table, if there is one. */
  readonly own: Readonly<Record<string, unknown>> | undefined;
  readonly attacker: string;
  readonly owner: string;
}

/** One attempt. */
export interface Attack {
  readonly name: string;
  readonly writes: boolean;
  /** How many of the victim's rows it saw; of one that writes, 0 if it changed none at all. A failure is a refusal. */
  readonly run: (runner: QueryRunner) => Promise<number | undefined>;
}

/** Everything that is tried against one row, relations to it included. */
export function attacksOn(tables: readonly EntityMetadata[], victim: Victim, random: () => number): Attack[] {
  const reads = victim.rule.readable === true ? [] : readsOf(victim, random);
  return [...reads, ...writesOf(victim), ...relationsOf(tables, victim)];
}

interface Condition {
  readonly text: string;
  readonly values: unknown[];
}

/** Matches this one row. */
function keyOf({ metadata, row }: Pick<Victim, 'metadata' | 'row'>, first = 1): Condition {
  const columns = metadata.primaryColumns.map(({ databaseName }) => databaseName);
  return {
    text: columns.map((name, index) => `t.${quote(name)} = $${first + index}`).join(' and '),
    values: columns.map((name) => row[name]),
  };
}

function idOf({ metadata, row }: Victim): ObjectLiteral {
  return metadata.primaryColumns.reduce<ObjectLiteral>(
    (id, column) => Object.assign(id, column.createValueMap(row[column.databaseName])),
    {},
  );
}

const count = (rows: unknown): number => (Array.isArray(rows) ? rows.length : 0);

function readsOf(victim: Victim, random: () => number): Attack[] {
  const { metadata, rule, row, owner, attacker } = victim;
  const table = tableOf(metadata);
  const key = keyOf(victim);
  const read = (name: string, run: Attack['run']): Attack => ({ name, writes: false, run });
  const named = metadata.columns.filter(({ databaseName }) => row[databaseName] !== null && !isJson(row[databaseName]));
  const column =
    named[Math.floor(random() * named.length)]?.databaseName ?? metadata.primaryColumns[0]?.databaseName ?? '';
  const target = metadata.target;
  return [
    read('find by key', async ({ manager }) =>
      count(await manager.find(target, { where: idOf(victim), loadEagerRelations: false })),
    ),
    read('exists', async ({ manager }) => Number(await manager.exists(target, { where: idOf(victim) }))),
    read('count', ({ manager }) => manager.count(target, { where: idOf(victim) })),
    read('query builder with OR TRUE', async ({ manager }) => {
      const builder = manager
        .createQueryBuilder(target, 't')
        .where(key.text.replaceAll(/t\."([^"]+)" = \$(\d+)/g, 't."$1" = :p$2'));
      key.values.forEach((value, index) => builder.setParameter(`p${index + 1}`, value));
      const all = await builder.orWhere('true').getRawMany<Record<string, unknown>>();
      return all.filter((found) =>
        metadata.primaryColumns.every(({ databaseName: name }) => String(found[`t_${name}`]) === String(row[name])),
      ).length;
    }),
    read('raw SELECT by key', async (runner) =>
      count(await runner.query(`select 1 from ${table} t where ${key.text}`, key.values)),
    ),
    read('raw SELECT of all that is the owner’s', async (runner) =>
      count(await runner.query(`select 1 from ${table} t where ${rule.where}`, [owner, attacker])),
    ),
    read(`raw SELECT by ${column}`, async (runner) =>
      count(
        await runner.query(
          `select 1 from ${table} t where t.${quote(column)} = $${key.values.length + 1} and ${key.text}`,
          [...key.values, row[column]],
        ),
      ),
    ),
    read('SELECT FOR UPDATE', async (runner) =>
      count(await runner.query(`select 1 from ${table} t where ${key.text} for update`, key.values)),
    ),
  ];
}

function isJson(value: unknown): boolean {
  return typeof value === 'object' && !(value instanceof Date);
}

function writesOf(victim: Victim): Attack[] {
  const { metadata, row, own, owner, attacker } = victim;
  const table = tableOf(metadata);
  const key = keyOf(victim);
  const next = `$${key.values.length + 1}`;
  const write = (name: string, sql: string, values: unknown[]): Attack => ({
    name,
    writes: true,
    run: async (runner) => {
      const { affected } = await runner.query(sql, values, true);
      return affected === 0 ? 0 : undefined;
    },
  });
  const tenant = metadata.columns.find(({ databaseName }) => row[databaseName] === owner)?.databaseName;
  const free = metadata.columns.find(
    ({ isPrimary, databaseName: name }) => !isPrimary && otherThan(row[name]) !== undefined,
  );
  const touched = (free ?? metadata.primaryColumns[0])?.databaseName ?? '';
  const names = metadata.columns.map(({ databaseName }) => databaseName);
  const copy = { ...row, ...freshKey(victim) };
  const columns = names.map(quote).join(', ');
  const places = names.map((_name, index) => `$${index + 1}`).join(', ');
  const valuesOf = (source: Readonly<Record<string, unknown>>): unknown[] => names.map((name) => plain(source[name]));
  const conflict = metadata.primaryColumns.map(({ databaseName }) => quote(databaseName)).join(', ');
  return [
    ...metadata.columns.flatMap(({ databaseName, isPrimary }) => {
      const changed = isPrimary ? undefined : otherThan(row[databaseName]);
      if (changed === undefined) return [];
      const sql = `update ${table} t set ${quote(databaseName)} = ${next} where ${key.text}`;
      return [write(`UPDATE of ${databaseName}`, sql, [...key.values, changed])];
    }),
    write('UPDATE of everything', `update ${table} t set ${quote(touched)} = ${quote(touched)}`, []),
    write('DELETE by key', `delete from ${table} t where ${key.text}`, key.values),
    write('DELETE of everything', `delete from ${table}`, []),
    write('INSERT of a row of the owner’s', `insert into ${table} (${columns}) values (${places})`, valuesOf(copy)),
    write(
      'INSERT over the row',
      `insert into ${table} (${columns}) values (${places}) on conflict (${conflict}) do update set ${quote(touched)} = excluded.${quote(touched)}`,
      valuesOf({ ...row, [touched]: otherThan(row[touched]) ?? row[touched] }),
    ),
    write('TRUNCATE', `truncate ${table} cascade`, []),
    {
      name: 'delete by the repository',
      writes: true,
      run: async ({ manager }) => void (await manager.delete(metadata.target, idOf(victim))),
    },
    ...(tenant === undefined
      ? []
      : [
          write('UPDATE that takes the row', `update ${table} t set ${quote(tenant)} = ${next} where ${key.text}`, [
            ...key.values,
            attacker,
          ]),
          ...(own === undefined ? [] : [giveAway(victim, own, tenant)]),
        ]),
  ];
}

const IS_UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A value that is not the one that is there, where its type allows any; undefined for keys of other rows. */
function otherThan(value: unknown): unknown {
  if (typeof value === 'boolean') return !value;
  if (typeof value === 'number') return value + 1;
  if (value instanceof Date) return new Date(value.getTime() - 60_000);
  if (typeof value === 'object') return '{"attacked":true}';
  if (typeof value !== 'string' || IS_UUID.test(value)) return undefined;
  return `${value}-attacked`;
}

/** The attacker's own row is moved to the owner. */
function giveAway({ metadata, owner }: Victim, own: Readonly<Record<string, unknown>>, tenant: string): Attack {
  const key = keyOf({ metadata, row: own });
  return {
    name: 'UPDATE that gives a row away',
    writes: true,
    run: async (runner) =>
      void (await runner.query(
        `update ${tableOf(metadata)} t set ${quote(tenant)} = $${key.values.length + 1} where ${key.text}`,
        [...key.values, owner],
      )),
  };
}

/** A key that no row has, where a column of it may be chosen freely. */
function freshKey({ metadata, owner }: Victim): Record<string, unknown> {
  const [only, second] = metadata.primaryColumns;
  if (only === undefined || second !== undefined || only.type !== 'uuid') return {};
  return metadata.tableName === 'nest_auth_tenants'
    ? { [only.databaseName]: randomUUID(), slug: `x-${owner}` }
    : { [only.databaseName]: randomUUID() };
}

/** As the driver takes it back: JSON must be a text, since an array would become one of PostgreSQL's. */
function plain(value: unknown): unknown {
  return typeof value === 'object' && value !== null && !(value instanceof Date) ? JSON.stringify(value) : value;
}

/** A row of the attacker's must not be made to refer to the victim's: the check of a foreign key sees hidden rows. */
function relationsOf(children: readonly EntityMetadata[], { metadata, rule, row }: Victim): Attack[] {
  if (rule.readable === true) return [];
  return children.flatMap((child) =>
    child.foreignKeys
      .filter(({ referencedEntityMetadata }) => referencedEntityMetadata === metadata)
      .flatMap(({ columns, referencedColumns, name }): Attack[] => {
        const table = tableOf(child);
        // The tenant of the own row stays: a row that moves as a whole is another attempt.
        const sets = columns
          .map((column, index) => ({ to: column.databaseName, from: referencedColumns[index]?.databaseName ?? '' }))
          .filter(({ to }) => to !== 'tenant_id');
        if (sets.length === 0) return [];
        const changes = sets.map(({ to }, index) => `${quote(to)} = $${index + 1}`).join(', ');
        return [
          {
            name: `a ${child.name} that refers to it (${name})`,
            writes: false,
            run: async (runner) => {
              const [answer] = (await runner.query(
                `with changed as (
                  update ${table} set ${changes} where ctid = (select ctid from ${table} limit 1) returning 1)
                select count(*)::integer as count from changed`,
                sets.map(({ from }) => plain(row[from])),
              )) as { count: number }[];
              return answer?.count;
            },
          },
        ];
      }),
  );
}
