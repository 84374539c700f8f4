import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Pooler {
  /** The server's url, by way of the pooler. */
  readonly url: string;
  /** Ends it in the middle of whatever it does, and starts it again on the same port. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export interface PoolerOptions {
  /** Server connections a database: by default fewer than most tests have clients, so that they really are shared. */
  readonly poolSize?: number;
  /** How long a client waits for one of them, in seconds; the default is that of PgBouncer. */
  readonly queryWaitTimeout?: number;
}

const POOL_SIZE = 10;
const QUERY_WAIT_TIMEOUT_S = 120;
/** PgBouncer refuses to run as root. */
const UNPRIVILEGED = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
const START_TRIES = 200;

/** PgBouncer in transaction mode before every database of a server, also those that are made later. */
export async function startPgBouncer(serverUrl: string, options: PoolerOptions = {}): Promise<Pooler> {
  const server = new URL(serverUrl);
  const port = await freePort();
  const directory = await mkdtemp(join(tmpdir(), 'nest-auth-pgbouncer-'));
  await chmod(directory, 0o755);
  const file = join(directory, 'pgbouncer.ini');
  const [admin, users] = [server.username || 'postgres', join(directory, 'users.txt')];
  // Other roles than this one are looked up in the server, where tests make them.
  await writeFile(users, `"${admin}" "${decodeURIComponent(server.password)}"\n`);
  await writeFile(
    file,
    `[databases]
* = host=${server.hostname} port=${server.port || '5432'} auth_user=${admin}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
auth_query = SELECT usename, passwd FROM pg_shadow WHERE usename = $1
pool_mode = transaction
default_pool_size = ${options.poolSize ?? POOL_SIZE}
query_wait_timeout = ${options.queryWaitTimeout ?? QUERY_WAIT_TIMEOUT_S}
max_client_conn = 2000
server_idle_timeout = 5
autodb_idle_timeout = 5
log_connections = 0
log_disconnections = 0
log_pooler_errors = 0
log_stats = 0
`,
  );
  let child: ChildProcess;
  let exited: Promise<unknown>;
  const start = async (): Promise<void> => {
    child = spawn('pgbouncer', ['-q', file], { ...UNPRIVILEGED, cwd: directory, stdio: 'ignore' });
    exited = once(child, 'exit');
    for (let attempt = 0; !(await isListening(port)); attempt += 1) {
      if (attempt === START_TRIES || child.exitCode !== null) {
        await stop();
        throw new Error(`PgBouncer did not start: it ended with ${String(child.exitCode)}`);
      }
      await sleep(25);
    }
  };
  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    child.kill(signal);
    await exited;
  };
  const stop = async (): Promise<void> => {
    await end('SIGTERM');
    await rm(directory, { recursive: true, force: true });
  };
  await start();
  const url = new URL(serverUrl);
  url.host = `127.0.0.1:${port}`;
  url.password = '';
  return {
    url: url.href,
    restart: async () => {
      await end('SIGKILL');
      await start();
    },
    stop,
  };
}

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
  }).finally(() => socket.destroy()) as Promise<boolean>;
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}
