// Loaded before each test file. In the modes of modes.mjs every DataSource that a test, an example or the package makes
// is led through the pooler, or gets the replica; plain connections, which tests use to see the truth, are not.
import { DataSource, type QueryRunner, SelectQueryBuilder } from 'typeorm';

interface Place {
  readonly url?: string;
}

interface Options extends Place {
  readonly replication?: { readonly master: Place; readonly slaves: readonly Place[] };
}

/** PgBouncer before 1.21, which Debian 12 has, does not know statements that are prepared under a name. */
export const PREPARED = process.env['NEST_AUTH_TEST_POOLER'] === undefined;

/** Those that have a replica only because of the mode. */
const replicated = new WeakSet<DataSource>();

const initialize = DataSource.prototype.initialize;

DataSource.prototype.initialize = function initializeInMode(this: DataSource): Promise<DataSource> {
  const { replication: given } = this.options as Options;
  const options = inMode(this.options as Options);
  Object.assign(this.options, options);
  // The driver was made before, and has looked at the options only then.
  if (options.replication !== undefined) Object.assign(this.driver, { isReplicated: true });
  if (options.url === undefined && given === undefined) replicated.add(this);
  return initialize.call(this);
};

/** The part of TypeORM's builder that chooses a connection. */
interface Obtaining {
  readonly queryRunner?: QueryRunner;
  readonly dataSource: DataSource;
  readonly expressionMap: {
    readonly mainAlias?: { readonly hasMetadata: boolean; readonly metadata: { readonly tableName: string } };
  };
  obtainQueryRunner(): QueryRunner;
}

const builder = SelectQueryBuilder.prototype as unknown as Obtaining;
const obtain = builder.obtainQueryRunner;

// The tests, and the example, read tables of their own after writing them, as a host with replicas must: at the primary.
// For the package's tables TypeORM goes on to choose a replica, and the package has to prevent it.
function obtainInMode(this: Obtaining): QueryRunner {
  const { mainAlias } = this.expressionMap;
  const isOurs = mainAlias?.hasMetadata === true && mainAlias.metadata.tableName.startsWith('nest_auth_');
  if (this.queryRunner !== undefined || isOurs || !replicated.has(this.dataSource)) return obtain.call(this);
  return this.dataSource.createQueryRunner('master');
}

if (process.env['NEST_AUTH_TEST_REPLICA'] !== undefined) builder.obtainQueryRunner = obtainInMode;

function inMode({ url, replication }: Options): Options {
  const { NEST_AUTH_TEST_REPLICA: replica } = process.env;
  if (replication !== undefined) {
    return { replication: { ...replication, master: led(replication.master), slaves: replication.slaves.map(led) } };
  }
  if (url === undefined) return {};
  if (replica === undefined) return { url: throughPooler(url) };
  // As its superuser: a role that a test has made is not known there yet.
  const stale = new URL(replica);
  stale.pathname = new URL(url).pathname;
  return { replication: { master: { url }, slaves: [{ url: stale.href }] } };
}

function led(place: Place): Place {
  return place.url === undefined ? place : { ...place, url: throughPooler(place.url) };
}

/** The same database by way of the pooler, if there is one and `url` leads straight to the server. */
export function throughPooler(url: string): string {
  const { NEST_AUTH_TEST_POOLER: pooler, NEST_AUTH_TEST_SERVER: server } = process.env;
  const isDirect = server !== undefined && new URL(url).host === new URL(server).host;
  return pooler === undefined || !isDirect ? url : onHost(url, pooler);
}

function onHost(url: string, other: string): string {
  const moved = new URL(url);
  moved.host = new URL(other).host;
  return moved.href;
}
