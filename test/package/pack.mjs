import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Runs a command to its end with its output shown; throws when it fails. */
export function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'], ...options });
  if (status !== 0) throw new Error(`failed: ${command} ${args.join(' ')}`, { cause: error });
}

/** Calls `use` with a temporary directory and the tarball in it that `npm publish` would upload. */
export async function withTarball(use) {
  const directory = mkdtempSync(join(tmpdir(), 'nest-auth-package-'));
  try {
    // Built here and not by `prepack`, whose output npm would mix into its own.
    run('npm', ['run', '--silent', 'build']);
    const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', directory];
    const packed = JSON.parse(execFileSync('npm', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }));
    return await use({ directory, tarball: join(directory, packed[0].filename), files: packed[0].files });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
