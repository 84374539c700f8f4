import type { DataSource, EntityMetadata, EntityTarget, ObjectLiteral, QueryRunner } from 'typeorm';
import { findTenantContext, type TenantContext } from '../isolation/tenant-context.js';
import { runOutsideTransaction } from '../transaction/frame.js';
import { attacksOn, type Attack, type Victim } from './isolation.attacks.js';
import { describeLeaks, IsolationError, type IsolationLeak, type IsolationReport } from './isolation.report.js';
import { type OwnershipRule, quote, ruleOf, tableOf } from './isolation.rules.js';

export interface ExpectTenantIsolationOptions {
  /** Two tenants that have rows in every table. @default two that are found */
  readonly tenants?: readonly [string, string];
  /** Column that names the tenant of a host's row. @default 'tenant_id' */
  readonly tenantColumn?: string;
  /** Rows of each tenant and table that are attacked, drawn at random. @default 5 */
  readonly rows?: number;
  /** Repeats the choices of a run that failed. @default drawn, and told in the report */
  readonly seed?: number;
}

/** What all attempts of a run share. */
interface Run {
  readonly dataSource: DataSource;
  readonly context: TenantContext;
  readonly tables: readonly Table[];
  readonly random: () => number;
  readonly rows: number;
  readonly leaks: IsolationLeak[];
  /** What each tenant had when it was last looked at, by attacker and owner. */
  readonly digests: Map<string, string>;
  attempts: number;
}

interface Table {
  readonly metadata: EntityMetadata;
  readonly rule: OwnershipRule;
}

/**
 * Attacks the rows of one tenant from another, both ways round: reads, writes and relations of every entity, by
 * repositories, query builders and raw SQL. Asserts that nothing is seen and that nothing is changed.
 *
 * Each attempt is a transaction that is rolled back; the database is as before. Needs `rls: true`, and rows of two
 * tenants in every table: a table without any proves nothing and is reported.
 *
 * @param dataSource - The one that `NestAuthModule` serves, connected as the application's role.
 * @param entities - Those of the host and, if wanted, `NestAuthEntities`.
 * @throws IsolationError listing every leak, table without protection and entity without a tenant column.
 */
export async function expectTenantIsolation(
  dataSource: DataSource,
  entities: readonly EntityTarget<ObjectLiteral>[],
  options: ExpectTenantIsolationOptions = {},
): Promise<IsolationReport> {
  const { tenantColumn = 'tenant_id', rows = 5, seed = Math.floor(Math.random() * 2 ** 31) } = options;
  const context = findTenantContext(dataSource);
  if (context === undefined) {
    throw new IsolationError(
      'expectTenantIsolation needs the DataSource that NestAuthModule serves with rls: true',
      [],
      seed,
    );
  }
  const leaks: IsolationLeak[] = [];
  const tables = tablesOf(dataSource, entities, tenantColumn, leaks);
  const run: Run = {
    dataSource,
    context,
    tables,
    random: randomOf(seed),
    rows,
    leaks,
    digests: new Map(),
    attempts: 0,
  };
  await runOutsideTransaction(() => attackAll(run, options.tenants));
  if (leaks.length > 0) throw new IsolationError(describeLeaks(leaks, seed), leaks, seed);
  return { attempts: run.attempts, entities: tables.map(({ metadata }) => metadata.name), seed };
}

function tablesOf(
  dataSource: DataSource,
  entities: readonly EntityTarget<ObjectLiteral>[],
  tenantColumn: string,
  leaks: IsolationLeak[],
): Table[] {
  return entities.flatMap((entity) => {
    const metadata = dataSource.getMetadata(entity);
    const rule = ruleOf(metadata, tenantColumn);
    if (rule !== undefined) return [{ metadata, rule }];
    leaks.push({
      entity: metadata.name,
      attempt: 'find its tenant',
      leak: `it has no column ${tenantColumn}, and no key to a user`,
    });
    return [];
  });
}

async function attackAll(run: Run, given: readonly [string, string] | undefined): Promise<void> {
  await checkCatalog(run);
  const [one, other] = given ?? (await findTenants(run));
  for (const table of run.tables) {
    await attackTable(run, table, one, other);
    await attackTable(run, table, other, one);
  }
}

/** Attacks cannot prove that a protection is there for every command; the catalog can. */
async function checkCatalog({ dataSource, context, tables, leaks }: Run): Promise<void> {
  const rows = await context.withoutTenant('expectTenantIsolation', () =>
    dataSource.query<{ name: string; enabled: boolean; forced: boolean }[]>(
      `select w.name, c.relrowsecurity as enabled, c.relforcerowsecurity as forced
       from unnest($1::text[]) as w (name) join pg_class c on c.oid = to_regclass(w.name)`,
      [tables.map(({ metadata }) => tableOf(metadata))],
    ),
  );
  for (const { metadata } of tables) {
    const facts = rows.find(({ name }) => name === tableOf(metadata));
    const looked = { entity: metadata.name, attempt: 'look for its row-level security' };
    if (facts?.enabled !== true) leaks.push({ ...looked, leak: 'it is not enabled' });
    else if (!facts.forced) leaks.push({ ...looked, leak: 'it is not forced on the owner' });
  }
}

/** The two tenants with rows in the most tables. */
async function findTenants(run: Run): Promise<readonly [string, string]> {
  const sources = ['select id, 0 as rows from nest_auth_tenants'];
  for (const { metadata, rule } of run.tables) {
    const column = /t\.("(?:[^"]|"")+") = \$1 and .* is distinct from \$2::uuid/.exec(rule.where)?.[1];
    if (column === undefined) continue;
    sources.push(`select ${column}, 1 from ${tableOf(metadata)} where ${column} is not null group by 1`);
  }
  sources.push('select tenant_id, 1 from nest_auth_user_accesses group by 1');
  const rows = await run.context.withoutTenant('expectTenantIsolation', () =>
    run.dataSource.query<{ id: string }[]>(
      `select id from (${sources.join(' union all ')}) as t (id, rows) group by id order by sum(rows) desc, id limit 2`,
    ),
  );
  const [one, other] = rows;
  if (one === undefined || other === undefined) {
    throw new IsolationError('expectTenantIsolation needs rows of two tenants; make them first', [], 0);
  }
  return [one.id, other.id];
}

/** `attacker` tries to reach rows of `owner`. */
async function attackTable(run: Run, { metadata, rule }: Table, attacker: string, owner: string): Promise<void> {
  const victims = await readRows(run, metadata, rule, owner, attacker);
  if (victims.length === 0) {
    if (rule.maybeEmpty === true) return;
    run.leaks.push({ entity: metadata.name, attempt: 'find rows to attack', leak: `there is none of tenant ${owner}` });
    return;
  }
  const [own] = await readRows(run, metadata, rule, attacker, owner);
  const all = run.tables.map((table) => table.metadata);
  for (const row of victims) {
    const victim: Victim = { metadata, rule, row, own, attacker, owner };
    for (const attack of attacksOn(all, victim, run.random)) await attempt(run, victim, attack);
  }
}

function readRows(
  run: Run,
  metadata: EntityMetadata,
  rule: OwnershipRule,
  owner: string,
  other: string,
): Promise<Record<string, unknown>[]> {
  const columns = metadata.columns.map(({ databaseName }) => `t.${quote(databaseName)}`).join(', ');
  return run.context.withoutTenant('expectTenantIsolation', async () => {
    const rows = await run.dataSource.query<Record<string, unknown>[]>(
      `select ${columns} from ${tableOf(metadata)} t where ${rule.where} limit 1000`,
      [owner, other],
    );
    return rows
      .map((row) => ({ row, order: run.random() }))
      .toSorted((a, b) => a.order - b.order)
      .slice(0, run.rows)
      .map(({ row }) => row);
  });
}

async function attempt(run: Run, victim: Victim, attack: Attack): Promise<void> {
  run.attempts += 1;
  const report = (leak: string): void =>
    void run.leaks.push({ entity: victim.metadata.name, attempt: attack.name, leak });
  await run.context.run(victim.attacker, async () => {
    const runner = run.dataSource.createQueryRunner();
    try {
      await runner.startTransaction();
      await runner.query('SAVEPOINT attack');
      let seen: number | undefined;
      try {
        seen = await attack.run(runner);
      } catch {
        await runner.query('ROLLBACK TO SAVEPOINT attack');
        return;
      }
      if (seen !== undefined && seen > 0) report(`it saw ${seen} of its rows`);
      if (!attack.writes || seen === 0) return;
      if (await hasChanged(run, runner, victim)) report(`rows of tenant ${victim.owner} are no longer the same`);
    } finally {
      await runner.rollbackTransaction().catch(() => undefined);
      await runner.release();
    }
  });
}

/** Compared with what was there for an earlier attempt, and only if it differs with what is there without this one. */
async function hasChanged(run: Run, runner: QueryRunner, victim: Victim): Promise<boolean> {
  const look = (): Promise<string> => asPlatform(run, runner, () => digest(runner, run.tables, victim));
  const pair = `${victim.attacker} ${victim.owner}`;
  const after = await look();
  if (after === run.digests.get(pair)) return false;
  await runner.query('ROLLBACK TO SAVEPOINT attack');
  const before = await look();
  run.digests.set(pair, before);
  return after !== before;
}

/** Within the attacker's transaction, because only that sees what it did; the savepoint takes the role back. */
async function asPlatform<T>({ context }: Run, runner: QueryRunner, fn: () => Promise<T>): Promise<T> {
  await runner.query('SAVEPOINT look');
  await runner.query(context.platformScope);
  const result = await fn();
  await runner.query('ROLLBACK TO SAVEPOINT look');
  return result;
}

/** What the owner has in all tables under test: a cascade or a trigger may change another one than was attacked. */
async function digest(runner: QueryRunner, tables: readonly Table[], { owner, attacker }: Victim): Promise<string> {
  const parts = tables.map(
    ({ metadata, rule }) =>
      `select '${metadata.tableName.replaceAll("'", "''")}' || coalesce(md5(string_agg(t::text, ',' order by t::text)), '') as part
       from ${tableOf(metadata)} t where ${rule.where}`,
  );
  const [row] = (await runner.query(
    `select string_agg(part, ';' order by part) as digest from (${parts.join(' union all ')}) p`,
    [owner, attacker],
  )) as { digest: string }[];
  return row?.digest ?? '';
}

/** Mulberry32: small, and the same everywhere. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
