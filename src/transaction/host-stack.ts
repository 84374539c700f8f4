/** Deep enough that the host's frames are still there below those of the ORM. */
const DEPTH = 60;

const OWN_DIRECTORY = ownDirectory();

/**
 * The frames of the current stack that belong to the host's own code, nearest first.
 * Costs a stack capture, so it is called only once something has gone wrong.
 */
export function captureHostStack(): string[] {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = DEPTH;
  const holder: { stack?: string } = {};
  Error.captureStackTrace(holder, captureHostStack);
  Error.stackTraceLimit = limit;
  return hostFramesOf(holder.stack ?? '');
}

/** The line of the host's own code that an error came from, as far as its stack tells. */
export function hostLineOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || typeof error.stack !== 'string') return undefined;
  // The message comes first and may span lines: whoever looks for a line of code must not find a line of that.
  const start = error.stack.indexOf(error.message);
  return hostFramesOf(start < 0 ? error.stack : error.stack.slice(start + error.message.length))[0];
}

function hostFramesOf(stack: string): string[] {
  return stack
    .split('\n')
    .slice(1)
    .filter((line) => line.startsWith('    at '))
    .map((line) => line.trim().replace(/^at (async )?/, ''))
    .filter((line) => !isLibraryFrame(line));
}

function isLibraryFrame(line: string): boolean {
  return (
    line.includes('node_modules') ||
    line.includes('node:') ||
    line === '<anonymous>' ||
    line.includes('(<anonymous>)') ||
    (OWN_DIRECTORY !== '' && line.includes(OWN_DIRECTORY))
  );
}

/**
 * The directory this package's compiled or source files lie in.
 * Read off a stack because `import.meta` cannot be used where hosts compile the package to CommonJS in their tests.
 */
function ownDirectory(): string {
  const frame = /(?:file:\/\/)?(\/[^\s:)]+|[A-Za-z]:[\\/][^:)]+)/.exec(new Error().stack?.split('\n')[1] ?? '')?.[1];
  return frame === undefined ? '' : frame.replace(/[^\\/]+[\\/][^\\/]+$/, '');
}
