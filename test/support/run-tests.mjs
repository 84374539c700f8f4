// npm test
//
// The whole suite. TEST_ENGINE=citus DATABASE_URL=… runs it on a Citus cluster; without TEST_ENGINE it is PostgreSQL.
// Further arguments are passed to Jest.
import { spawnSync } from 'node:child_process';

import { MODES, whyNot, withoutArgs } from './modes.mjs';

/** The engines, and the mode that a run on them is. */
const ENGINES = { postgres: undefined, citus: 'citus' };

const engine = process.env.TEST_ENGINE || 'postgres';
if (!Object.hasOwn(ENGINES, engine))
  fail(`TEST_ENGINE=${engine} is unknown; it can be ${Object.keys(ENGINES).join(', ')}`);
const mode = ENGINES[engine];
const reason = mode && whyNot(mode);
if (reason) fail(`TEST_ENGINE=${engine}: ${reason}`);
for (const { test, why } of mode ? MODES[mode].without : []) console.log(`not on ${engine}: ${test}\n  because ${why}`);

const jest = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js'];
const { status } = spawnSync(
  process.execPath,
  [
    ...jest,
    '--selectProjects',
    'unit',
    'integration',
    '--ci',
    ...(mode ? withoutArgs(mode) : []),
    ...process.argv.slice(2),
  ],
  { stdio: 'inherit', env: mode ? { ...process.env, NEST_AUTH_TEST_MODE: mode } : process.env },
);
process.exitCode = status ?? 1;

function fail(message) {
  console.error(message);
  console.log('0 passed, 1 failed');
  process.exit(1);
}
