import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';

const PAGE = 'docs/security.md';

/** The numbers of the checklist, in its five parts. */
const IDS = [
  [1, 12],
  [20, 33],
  [40, 53],
  [60, 70],
  [80, 94],
].flatMap(([first = 0, last = 0]) =>
  Array.from({ length: last - first + 1 }, (_, index) => `SEC-${String(first + index).padStart(2, '0')}`),
);

const rows = readFileSync(PAGE, 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| SEC-'))
  .map((line) => {
    const [, id = '', holds = '', proof = ''] = line.split('|').map((cell) => cell.trim());
    return { id, holds, links: [...proof.matchAll(/\]\(([^)#]+)\)/g)].map(([, path = '']) => join('docs', path)) };
  });

describe('docs/security.md', () => {
  it('has a row for every number, in order', () => {
    expect(rows.map(({ id }) => id)).toEqual(IDS);
  });

  it('links a test that names the number, or says why there is none', () => {
    const unproved = rows
      .filter(({ id, holds, links }) => {
        if (links.length === 0) return !/^(?:Does not apply|Not yet)\b/.test(holds);
        return links.some((path) => !titles(path).includes(id));
      })
      .map(({ id }) => id);
    expect(unproved).toEqual([]);
  });
});

/** What the tests of a file, and the groups of them, are called: lines with a title, without comments and code. */
function titles(path: string): string {
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.filter((line) => /(?:^|[ .\])])(?:describe|it|test|each|\])?\(['"`]/.test(line)).join('\n');
}
