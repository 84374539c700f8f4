import './typescript.mjs';

/**
 * The last line of every run. A file that could not be loaded counts as a failure, a skipped test is named. A rule that
 * a recorded statement breaks is a failure too, and fails the run.
 */
export default class SummaryReporter {
  #isWhole;
  #broken = [];

  constructor({ testPathPatterns, testNamePattern, shard, onlyChanged, findRelatedTests }) {
    const isNarrowed = testPathPatterns?.patterns?.length > 0 || shard || onlyChanged || findRelatedTests;
    // A mode leaves out some tests by name.
    this.#isWhole = !isNarrowed && (!testNamePattern || process.env.NEST_AUTH_TEST_MODE !== undefined);
  }

  async onRunComplete(contexts, results) {
    if ([...contexts].some(({ config }) => config.displayName?.name === 'integration')) await this.#judgeStatements();
    const skipped = results.numPendingTests + results.numTodoTests;
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites + this.#broken.length;
    // Jest prints a summary of its own after every other reporter.
    process.once('exit', () => {
      if (skipped > 0) console.log(`${skipped} skipped`);
      console.log(`${results.numPassedTests} passed, ${failed} failed`);
    });
  }

  getLastError() {
    return this.#broken.length === 0 ? undefined : new Error('A statement that was sent breaks a rule');
  }

  async #judgeStatements() {
    const directory = process.env.NEST_AUTH_TEST_STATEMENTS;
    if (directory === undefined) return;
    const { judge, recordedIn } = await import('./recorded-statements.ts');
    const recorded = recordedIn(directory);
    const { judgeForCluster } = await import('./cluster-statements.ts');
    const { NEST_AUTH_TEST_SERVER: server, NEST_AUTH_TEST_TEMPLATE: template } = process.env;
    this.#broken = [...judge(recorded, this.#isWhole), ...(await judgeForCluster(server, template, recorded))];
    console.log(`${recorded.length} different statements were sent; rules broken: ${this.#broken.length}`);
    for (const problem of this.#broken) console.error(`✕ ${problem}`);
  }
}
