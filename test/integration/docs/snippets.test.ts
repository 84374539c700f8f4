import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { format, promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { isNestAuthError, TenantModeEnum } from '../../../src/index.js';
import { matchesOutput, pages, type Snippet, snippetsOf } from './snippets.js';
import { NAMES, openStage, type Stage } from './stage.js';

const HERE = resolve('test/integration/docs');
/** Inside the repository, where packages are found; with a dot, so that no other tool looks into it. */
const PREFIX = '.snippets-';
const HOUR_MS = 3_600_000;

const TSCONFIG = {
  extends: '../../../../tsconfig.json',
  // As strict as a Nest project usually is, not as strict as this one.
  compilerOptions: {
    rootDir: '../../../..',
    paths: {
      'nest-auth-identity': ['../../../../src/index.ts'],
      'nest-auth-identity/health': ['../../../../src/health/index.ts'],
      'nest-auth-identity/nodemailer': ['../../../../src/nodemailer/index.ts'],
      'nest-auth-identity/oidc': ['../../../../src/oidc/index.ts'],
      'nest-auth-identity/schedule': ['../../../../src/schedule/index.ts'],
      'nest-auth-identity/telemetry': ['../../../../src/telemetry/index.ts'],
      'nest-auth-identity/testing': ['../../../../src/testing/index.ts'],
    },
    noUnusedLocals: false,
    noUnusedParameters: false,
    exactOptionalPropertyTypes: false,
    noPropertyAccessFromIndexSignature: false,
  },
  include: ['./*.ts'],
  exclude: [],
};

const snippets = pages().flatMap((page) => snippetsOf(page, ['ts', 'sql']));
const modules = snippets.filter(({ language }) => language === 'ts');
const run = snippets.filter(({ words }) => words.includes('run'));
const nameOf = ({ page, line }: Snippet): string => `${page}:${line}`;

/** One at a time: with two DataSources alive an active-record call could not know which is meant. */
let open: { readonly mode: TenantModeEnum; readonly walled: boolean; readonly stage: Stage } | undefined;
let directory = '';

beforeAll(() => {
  for (const left of readdirSync(HERE).filter((name) => name.startsWith(PREFIX))) {
    const path = join(HERE, left);
    if (Date.now() - statSync(path).mtimeMs > HOUR_MS) rmSync(path, { recursive: true, force: true });
  }
  directory = mkdtempSync(join(HERE, PREFIX));
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify(TSCONFIG));
  writeFileSync(join(directory, 'names.d.ts'), NAMES);
  for (const snippet of modules) writeFileSync(fileOf(snippet), `${snippet.code}\nexport {};\n`);
});

afterAll(async () => {
  await open?.stage.close();
  rmSync(directory, { recursive: true, force: true });
});

describe('the snippets of the documentation', () => {
  it('are found', () => {
    expect(modules.length).toBeGreaterThan(40);
    expect(run.length).toBeGreaterThan(20);
  });

  it('pass the type check', async () => {
    const tsc = resolve('node_modules/typescript/bin/tsc');
    const check = promisify(execFile)(process.execPath, [tsc, '-p', directory], { cwd: directory });
    const { stdout } = await check.catch((error: { stdout: string }) => error);
    expect(stdout).toBe('');
  }, 120_000);

  it.each(run.map((snippet) => [nameOf(snippet), snippet] as const))(
    '%s does what the page says',
    async (_name, snippet) => {
      const stage = await stageFor(snippet.words);
      if (!snippet.words.includes('keep')) await stage.set();
      if (snippet.language === 'sql') return stage.sql(snippet.code);
      const { printed, error } = await perform(snippet);
      expect(codeOf(error)).toBe(expectedCode(snippet));
      expect(matchesOutput(printed, snippet.output ?? printed) ? snippet.output : printed).toBe(snippet.output);
    },
    60_000,
  );
});

function fileOf({ page, line }: Snippet): string {
  return join(directory, `${page.replaceAll('/', '.')}.${line}.ts`);
}

/** The code that `throws` promises, else undefined. */
function expectedCode({ words }: Snippet): string | undefined {
  return words.includes('throws') ? words[words.indexOf('throws') + 1] : undefined;
}

/** The code of an error, or the error itself, which then shows what is wrong. */
function codeOf(error: unknown): unknown {
  return isNestAuthError(error) ? error.code : error;
}

async function stageFor(words: readonly string[]): Promise<Stage> {
  const mode = Object.values(TenantModeEnum).find((each) => words.includes(each)) ?? TenantModeEnum.SHARED;
  const walled = words.includes('rls');
  if (open?.mode === mode && open.walled === walled) return open.stage;
  await open?.stage.close();
  open = undefined;
  open = { mode, walled, stage: await openStage(mode, walled) };
  return open.stage;
}

/** How long what follows a COMMIT may take before the printed text is judged as it is. */
const PATIENCE_MS = 5_000;

async function perform(snippet: Snippet): Promise<{ printed: string; error: unknown }> {
  const lines: string[] = [];
  const printed = (): string => lines.join('\n').replaceAll(directory, '');
  const log = jest.spyOn(console, 'log').mockImplementation((...args: unknown[]) => void lines.push(format(...args)));
  try {
    const error: unknown = await import(fileOf(snippet)).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    const deadline = Date.now() + PATIENCE_MS;
    while (!matchesOutput(printed(), snippet.output ?? printed()) && Date.now() < deadline) {
      await new Promise((done) => setTimeout(done, 5));
    }
    return { printed: printed(), error };
  } finally {
    log.mockRestore();
  }
}
