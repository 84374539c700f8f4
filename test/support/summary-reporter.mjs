/** The last line of every run. A file that could not be loaded counts as a failure, a skipped test is named. */
export default class SummaryReporter {
  onRunComplete(_contexts, results) {
    const skipped = results.numPendingTests + results.numTodoTests;
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    // Jest prints a summary of its own after every other reporter.
    process.once('exit', () => {
      if (skipped > 0) console.log(`${skipped} skipped`);
      console.log(`${results.numPassedTests} passed, ${failed} failed`);
    });
  }
}
