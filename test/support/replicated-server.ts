import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';

import { type PostgresServer, startPostgres } from '../../src/testing/server.js';

export interface ReplicatedServer {
  readonly url: string;
  readonly replicaUrl: string;
  /** The primary becomes a replica of its replica, which becomes the primary. What was committed is on both. */
  switchOver(): Promise<void>;
  stop(): Promise<void>;
}

const run = promisify(execFile);

/**
 * A primary and a streaming replica that shows everything `lagSeconds` late.
 *
 * @param prepare - Fills the primary before it is copied: what it makes is on the replica from the beginning.
 */
export async function startReplicatedServer(
  lagSeconds: number,
  prepare: (url: string) => Promise<void>,
): Promise<ReplicatedServer> {
  const directory = await mkdtemp(join(tmpdir(), 'nest-auth-replicated-'));
  // The servers of a run as root belong to somebody else, who has to get in.
  await chmod(directory, 0o755);
  const [primaryData, replicaData] = [join(directory, 'primary'), join(directory, 'replica')];
  const servers: PostgresServer[] = [];
  const start = async (data: string, settings: Record<string, string> = {}): Promise<PostgresServer> => {
    const server = await startPostgres({ dataDirectory: data, settings });
    servers.push(server);
    return server;
  };
  const stop = async (): Promise<void> => {
    // The replica first, or it logs that nobody answers.
    for (const server of servers.splice(0).toReversed()) await server.stop();
    await rm(directory, { recursive: true, force: true, maxRetries: 10 });
  };
  try {
    await prepare((await start(primaryData)).url);
    // There is no pg_basebackup beside the server, and a server that is down needs none.
    await servers.pop()?.stop();
    await run('cp', ['-a', primaryData, replicaData]);
    await writeFile(join(replicaData, 'standby.signal'), '');
    const primary = await start(primaryData);
    const { hostname, port, username } = new URL(primary.url);
    const replica = await start(replicaData, {
      primary_conninfo: `host=${hostname} port=${port} user=${username}`,
      recovery_min_apply_delay: `${lagSeconds}s`,
      // It waits for who reads instead of ending what they do: everything comes to it later than it may wait for anybody.
      max_standby_streaming_delay: '-1',
      max_standby_archive_delay: '-1',
    });
    const switchOver = async (): Promise<void> => {
      const { port: newPort } = new URL(replica.url);
      // Where it will follow; the settings of the command line would outlive its being a primary.
      await tell(primary, `alter system set primary_conninfo = 'host=${hostname} port=${newPort} user=${username}'`);
      await writeFile(join(primaryData, 'standby.signal'), '');
      // A primary that is stopped orderly has first sent all it has to its replica.
      await primary.restart('fast');
      await tell(replica, 'select pg_promote()');
    };
    return { url: primary.url, replicaUrl: replica.url, switchOver, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function tell({ url }: PostgresServer, sql: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
