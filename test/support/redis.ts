import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';

import { until } from './until.js';

/** Redis is no part of Node: where it is not installed, what needs it is skipped and says so. */
export const HAS_REDIS = spawnSync('redis-server', ['--version'], { stdio: 'ignore' }).status === 0;

export interface RedisServer {
  connect(): Promise<Redis>;
  stop(): Promise<void>;
}

/** A server of its own, that keeps nothing. */
export async function startRedis(): Promise<RedisServer> {
  const port = await freePort();
  const directory = await mkdtemp(join(tmpdir(), 'nest-auth-redis-'));
  const options = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--appendonly',
    'no',
    '--dir',
    directory,
  ];
  const child = spawn('redis-server', options, { stdio: 'ignore' });
  const exited = once(child, 'exit');
  const clients: Redis[] = [];
  const connect = async (): Promise<Redis> => {
    const client = new Redis({ port, host: '127.0.0.1', maxRetriesPerRequest: 1 });
    // What has no listener ends the process; a test looks at the calls.
    client.on('error', () => undefined);
    clients.push(client);
    await until('Redis answers', () => client.status === 'ready');
    return client;
  };
  return {
    connect,
    stop: async () => {
      for (const client of clients.splice(0)) client.disconnect();
      child.kill('SIGTERM');
      await exited;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
