import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';

const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => ({ path: path.replaceAll('\\', '/'), source: readFileSync(join('src', path), 'utf8') }));

const withoutComments = (source: string) => source.replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
const pathsWhere = (isWrong: (file: { path: string; source: string }) => boolean) =>
  files.filter(isWrong).map(({ path }) => path);

describe('the sources', () => {
  it('are found', () => {
    expect(files.length).toBeGreaterThan(30);
  });

  it('have front doors that only name what they export', () => {
    const doors = files.filter(({ path }) => /^((health|telemetry|testing)\/)?index\.ts$/.test(path));
    expect(doors).toHaveLength(4);
    for (const { source } of doors) {
      const rest = withoutComments(source).replaceAll(/^export (type )?\{[^}*]*\} from '[^']+';$/gm, '');
      expect(rest.trim()).toBe('');
    }
  });

  it('never re-export everything of a file', () => {
    expect(pathsWhere(({ source }) => /export\s*\*/.test(withoutComments(source)))).toEqual([]);
  });

  it('have no file that is named after nothing', () => {
    expect(pathsWhere(({ path }) => /(^|[./-])(utils?|helpers?|common|core)[./-]/.test(path))).toEqual([]);
  });

  it('touch the DataSource only in the transaction room, the wiring and the test support', () => {
    const allowed = /^(transaction|testing)\/|^nest-auth\.module\.ts$/;
    const asValue = /import \{[^}]*(?<!type )\bDataSource\b[^}]*\} from 'typeorm'/;
    expect(pathsWhere(({ path, source }) => !allowed.test(path) && asValue.test(source))).toEqual([]);
  });
});
