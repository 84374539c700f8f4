import type { Client } from 'pg';

import { recordStatements } from '../../support/wire.js';

/** A statement as it left, with what was bound to it. */
export interface Sent {
  readonly text: string;
  readonly values: readonly unknown[];
}

/** A step of a plan. What it did is there only if it was run: a mean over all its loops. */
interface Node {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Actual Rows'?: number;
  readonly 'Actual Loops'?: number;
  readonly 'Rows Removed by Filter'?: number;
  readonly 'Rows Removed by Index Recheck'?: number;
  readonly 'Shared Hit Blocks'?: number;
  readonly 'Shared Read Blocks'?: number;
  readonly Plans?: readonly Node[];
}

/** Every statement about our tables that `fn` sends. */
export async function sentBy(fn: () => Promise<unknown>): Promise<Sent[]> {
  const { statements, values } = await recordStatements(fn);
  return statements
    .map((text, index) => ({ text, values: values[index] ?? [] }))
    .filter(({ text }) => /^(select|with|insert|update|delete)\b/i.test(text) && text.includes('nest_auth_'));
}

/** An index, its table, and now and then a level more. What is passed over inside of an index shows here alone. */
const BLOCKS_PER_ROW = 3;

export interface Rules {
  /** Tables that are small however many users there are: reading all of them is right. */
  readonly small: readonly string[];
  /** A keyset list: what it reads comes in the order of an index, and nothing is sorted before the limit. */
  readonly isSorted: boolean;
  /** Rows and entries of indexes that a statement which only reads may look at. */
  readonly mostRows: number;
}

/** What is wrong with the plans of a statement: that made for its values, and the one made for any. */
export async function problemsOf(client: Client, sent: Sent, rules: Rules): Promise<string[]> {
  const plans = { custom: await customPlan(client, sent), generic: await genericPlan(client, sent) };
  const empty = await emptyTables(client);
  const problems = Object.entries(plans).flatMap(([kind, plan]) =>
    nodesOf(plan).flatMap((node) => problemOf(node, rules, empty).map((problem) => `${problem} (${kind} plan)`)),
  );
  const rows = nodesOf(plans.custom).reduce((sum, node) => sum + rowsReadBy(node), 0);
  if (rows > rules.mostRows) problems.push(`looks at ${rows} rows`);
  const { 'Shared Hit Blocks': hit = 0, 'Shared Read Blocks': read = 0 } = plans.custom;
  if (hit + read > rules.mostRows * BLOCKS_PER_ROW) problems.push(`looks at ${hit + read} blocks`);
  return [...new Set(problems)].map((problem) => `${problem}: ${sent.text.slice(0, 100)}`);
}

function problemOf(node: Node, { small, isSorted }: Rules, empty: ReadonlySet<string>): string[] {
  const { 'Node Type': type, 'Relation Name': table = '' } = node;
  if (type === 'Seq Scan' && table.startsWith('nest_auth_') && !small.includes(table) && !empty.has(table)) {
    return [`reads ${table} from end to end`];
  }
  // An incremental sort has the order of an index already, and stops with the limit.
  return isSorted && type === 'Sort' ? ['sorts everything it finds'] : [];
}

/** Tables and partitions without a single block, such as those of the months to come: no index is as quick to read. */
async function emptyTables(client: Client): Promise<ReadonlySet<string>> {
  const { rows } = await client.query<{ name: string }>(
    `select relname as name from pg_class
     where relkind = 'r' and relname like 'nest_auth_%' and pg_relation_size(oid) = 0`,
  );
  return new Set(rows.map(({ name }) => name));
}

/** An index may be read from end to end too. */
function rowsReadBy(node: Node): number {
  const { 'Actual Rows': rows = 0, 'Actual Loops': loops = 0 } = node;
  const { 'Rows Removed by Filter': filtered = 0, 'Rows Removed by Index Recheck': rechecked = 0 } = node;
  return node['Node Type'].endsWith('Scan') && (node['Relation Name'] ?? node['Index Name']) !== undefined
    ? Math.round((rows + filtered + rechecked) * loops)
    : 0;
}

function nodesOf(node: Node): Node[] {
  return [node, ...(node.Plans ?? []).flatMap(nodesOf)];
}

/** Runs what only reads; a change has been made already and would not be the same again. */
async function customPlan(client: Client, { text, values }: Sent): Promise<Node> {
  const onlyReads = !/\b(insert into|update|delete from|for (no key |key )?(update|share)) /i.test(text);
  const options = onlyReads ? 'analyze, buffers, timing off, format json' : 'format json';
  const { rows } = await client.query<Explained>(`explain (${options}) ${text}`, [...values]);
  return planOf(rows);
}

async function genericPlan(client: Client, { text, values }: Sent): Promise<Node> {
  await client.query('set plan_cache_mode = force_generic_plan');
  await client.query(`prepare examined as ${text}`);
  try {
    const nulls = values.length === 0 ? '' : `(${values.map(() => 'null').join(', ')})`;
    const { rows } = await client.query<Explained>(`explain (format json) execute examined ${nulls}`);
    return planOf(rows);
  } finally {
    await client.query('deallocate examined');
    await client.query('reset plan_cache_mode');
  }
}

interface Explained {
  readonly 'QUERY PLAN': readonly [{ readonly Plan: Node }];
}

function planOf([row]: readonly Explained[]): Node {
  if (row === undefined) throw new Error('EXPLAIN has answered nothing');
  return row['QUERY PLAN'][0].Plan;
}
