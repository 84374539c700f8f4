// npm run check
//
// Everything CI runs, in order. A step that fails does not stop the ones after it. Each test counts as one, and so
// does each step that is not a test run.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { MODES, whyNot } from './modes.mjs';

const STEPS = [
  'format:check',
  'lint',
  'typecheck',
  'test:types',
  'test:arrows',
  'test',
  'test:faults',
  'test:pgbouncer',
  'test:replica',
  'test:scale',
  'test:package',
  'test:hosts',
  'knip',
];
/** The steps that run Jest. */
const TEST_RUNS = ['test', 'test:faults', 'test:pgbouncer', 'test:replica'];
/** A step that hangs must not hang the run. */
const STEP_TIMEOUT_MS = 30 * 60_000;

const temporary = mkdtempSync(join(tmpdir(), 'nest-auth-check-'));
const results = STEPS.map(runStep);
rmSync(temporary, { recursive: true, force: true });

const passed = results.reduce((sum, result) => sum + result.passed, 0);
const failed = results.reduce((sum, result) => sum + result.failed, 0);
console.log('\nstep                      passed  failed  seconds');
for (const result of results) {
  const columns = [String(result.passed).padStart(6), String(result.failed).padStart(6), result.seconds.padStart(7)];
  console.log(`${result.step.padEnd(24)}  ${columns.join('  ')}`);
}
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

function runStep(step) {
  console.log(`\n── ${step}`);
  const mode = MODES[step.replace('test:', '')];
  const reason = mode && whyNot(step.replace('test:', ''));
  if (reason) {
    console.log(`${step} skipped: ${reason}`);
    return { step: `${step} (skipped)`, passed: 0, failed: 0, seconds: '0.0' };
  }
  const started = Date.now();
  const report = join(temporary, `${step.replace(':', '-')}.json`);
  const args = TEST_RUNS.includes(step) ? ['--', '--json', `--outputFile=${report}`] : [];
  const { status } = spawnSync('npm', ['run', '--silent', step, ...args], {
    stdio: ['ignore', 'inherit', 'inherit'],
    timeout: STEP_TIMEOUT_MS,
  });
  const counts = TEST_RUNS.includes(step)
    ? countTests(report, status, mode?.without.length ?? 0)
    : { passed: +(status === 0), failed: +(status !== 0) };
  return { step, ...counts, seconds: ((Date.now() - started) / 1000).toFixed(1) };
}

/**
 * A skipped test has not passed, and neither has a run that ended badly without naming a test. Only the tests that a
 * mode names may be left out, and all of them must still exist.
 */
function countTests(report, status, without) {
  const run = readReport(report);
  const skipped = Math.abs(run.numPendingTests - without);
  const named = run.numFailedTests + run.numRuntimeErrorTestSuites + skipped + run.numTodoTests;
  return { passed: run.numPassedTests, failed: status === 0 ? named : Math.max(named, 1) };
}

function readReport(report) {
  try {
    return JSON.parse(readFileSync(report, 'utf8'));
  } catch {
    // The server did not start or a worker died: there is no report at all.
    return { numPassedTests: 0, numFailedTests: 1, numRuntimeErrorTestSuites: 0, numPendingTests: 0, numTodoTests: 0 };
  }
}
