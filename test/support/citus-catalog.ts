import type { Client } from 'pg';

import { NestAuthCitusMigrations } from '../../migrations/index.js';
import { statementsOf } from './migration-lint.js';
import { nodeOf, numberOf, type TreeNode, type TreeValue, walk } from './parse-tree.js';

/** What the rules for Citus have to know of the database that a statement was written for. */
export interface Catalog {
  readonly names: ReadonlyMap<number, string>;
  /** The tables of the cluster, with the number of the column by which they are spread; none for one on every node. */
  readonly places: ReadonlyMap<number, number | undefined>;
  /** The operators that say two values are the same. */
  readonly equals: ReadonlySet<number>;
  /** Of the function that a node calls: `i`, `s` or `v`; undefined when it calls none. */
  volatilityOf(node: TreeNode): string | undefined;
  /** Whether rows with the same value are on the same node. */
  isBeside(table: number, other: number): boolean;
}

/** Where the scale-out migration puts the tables, in its own words. */
async function readPlaces(): Promise<{ table: string; column: string | undefined; beside: string }[]> {
  const statements = (await Promise.all(NestAuthCitusMigrations.map(statementsOf))).flat();
  return statements.flatMap((sql) => {
    const [, table, column, beside] =
      /create_(?:reference|distributed)_table\('(\w+)'(?:, '(\w+)', colocate_with => '(\w+)')?\)/.exec(sql) ?? [];
    return table === undefined ? [] : [{ table, column, beside: beside === 'none' ? table : (beside ?? '') }];
  });
}

const TABLES = `select c.oid::integer as id, c.relname as name, a.attname as column, a.attnum::integer as number
  from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
  where c.relkind in ('r', 'p') and c.relname like 'nest_auth_%'`;

export async function readCatalog(client: Client): Promise<Catalog> {
  const ask = async <Row>(sql: string): Promise<Row[]> => (await client.query(sql)).rows as Row[];
  const columns = await ask<{ id: number; name: string; column: string; number: number }>(TABLES);
  const functions = await readMap(ask, 'select oid::integer as id, provolatile as value from pg_proc');
  const operators = await readMap(
    ask,
    'select oid::integer as id, oprcode::oid::integer::text as value from pg_operator',
  );
  const coercions = await readMap(
    ask,
    `select oid::integer as id, typinput::oid::integer || ' ' || typoutput::oid::integer as value from pg_type`,
  );
  const equals = await ask<{ id: number }>(`select oid::integer as id from pg_operator where oprname = '='`);
  const found = (await readPlaces()).map(({ table, column, beside }) => {
    const own = columns.filter(({ name }) => name === table);
    return { id: own[0]?.id ?? 0, number: own.find((one) => one.column === column)?.number, beside };
  });
  const volatilityOf = (node: TreeNode): string | undefined => {
    if (node.tag === 'SQLVALUEFUNCTION') return 's';
    if (node.tag === 'COERCEVIAIO') {
      const [input] = coercions.get(numberOf(node, 'resulttype'))?.split(' ') ?? [];
      const [, output] = coercions.get(typeOf(nodeOf(node, 'arg')))?.split(' ') ?? [];
      return worst([input, output].map((one) => functions.get(Number(one))));
    }
    const called = ['funcid', 'aggfnoid', 'winfnoid'].map((field) => numberOf(node, field)).find((id) => id > 0);
    const operator = operators.get(numberOf(node, 'opno'));
    return called === undefined ? functions.get(Number(operator)) : functions.get(called);
  };
  return {
    names: new Map(columns.map(({ id, name }) => [id, name])),
    places: new Map(found.map(({ id, number }) => [id, number])),
    equals: new Set(equals.map(({ id }) => id)),
    volatilityOf,
    isBeside: (table, other) =>
      found.find(({ id }) => id === table)?.beside === found.find(({ id }) => id === other)?.beside,
  };
}

async function readMap(ask: <Row>(sql: string) => Promise<Row[]>, sql: string): Promise<ReadonlyMap<number, string>> {
  return new Map((await ask<{ id: number; value: string }>(sql)).map(({ id, value }) => [id, value]));
}

function worst(found: readonly (string | undefined)[]): string | undefined {
  return ['v', 's', 'i'].find((one) => found.includes(one));
}

const TYPE =
  /^(?:var|const|param|minmax|agg|win|coalesce|case)type$|^(?:func|op|)resulttype$|^array_typeid$|^refrestype$/;

function typeOf(node: TreeNode | undefined): number {
  const field = [...(node?.fields.keys() ?? [])].find((name) => TYPE.test(name));
  return node === undefined || field === undefined ? 0 : numberOf(node, field);
}

/** Whether it calls what may answer another value later, also in a query within. */
export function isChanging(value: TreeValue | undefined, catalog: Catalog): boolean {
  return [...walk(value)].some((node) => /[sv]/.test(catalog.volatilityOf(node) ?? ''));
}

export function isVolatile(value: TreeValue | undefined, catalog: Catalog): boolean {
  return [...walk(value)].some((node) => catalog.volatilityOf(node) === 'v');
}
