// Loaded before each test file. In the modes of modes.mjs every DataSource that a test, an example or the package makes
// is led through the pooler, or gets the replica; plain connections, which tests use to see the truth, are not.
import { DataSource } from 'typeorm';

interface Place {
  readonly url?: string;
}

interface Options extends Place {
  readonly replication?: { readonly master: Place; readonly slaves: readonly Place[] };
}

/** PgBouncer before 1.21, which Debian 12 has, does not know statements that are prepared under a name. */
export const PREPARED = process.env['NEST_AUTH_TEST_POOLER'] === undefined;

const initialize = DataSource.prototype.initialize;

DataSource.prototype.initialize = function initializeInMode(this: DataSource): Promise<DataSource> {
  Object.assign(this.options, inMode(this.options as Options));
  return initialize.call(this);
};

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
