// npm run test:pgbouncer, npm run test:replica
//
// The whole integration suite in one of the modes of modes.mjs. Further arguments are passed to Jest.
import { spawnSync } from 'node:child_process';

import { MODES, whyNot, withoutArgs } from './modes.mjs';

const [mode, ...args] = process.argv.slice(2);
const reason = whyNot(mode);
if (reason !== undefined) {
  console.log(`test:${mode} skipped: ${reason}`);
  process.exit();
}
for (const { test, why } of MODES[mode].without) console.log(`not in this mode: ${test}\n  because ${why}`);
// Beside a replica most of the time is spent waiting for it: more files at once than there are cores.
const workers = mode === 'replica' ? ['--maxWorkers=3'] : [];
const jest = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js'];
const { status } = spawnSync(
  process.execPath,
  [...jest, '--selectProjects', 'integration', '--ci', ...withoutArgs(mode), ...workers, ...args],
  { stdio: 'inherit', env: { ...process.env, NEST_AUTH_TEST_MODE: mode } },
);
process.exitCode = status ?? 1;
