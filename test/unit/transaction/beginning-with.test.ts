import { describe, expect, it } from '@jest/globals';

import { beginningWith } from '../../../src/transaction/keyset.js';

/** As PostgreSQL compares with `~>=~` and `~<~`. */
function isWithin(text: string, prefix: string): boolean {
  const [from, to] = beginningWith(prefix).map((end) => Buffer.from(end));
  const bytes = Buffer.from(text);
  return from !== undefined && to !== undefined && bytes.compare(from) >= 0 && bytes.compare(to) < 0;
}

const LAST_OF_FIRST_PLANE = '\uFFFD';

describe('the range of what begins with a text', () => {
  it.each(['a', 'ann', 'ann%', 'ann_', 'z', '~', '+49', 'é', 'ß', '中', '\uD7FF', LAST_OF_FIRST_PLANE, '😀', 'a😀'])(
    'of %j has everything that goes on from it, and nothing else',
    (prefix) => {
      for (const rest of ['', ' ', 'a', '~', 'é', LAST_OF_FIRST_PLANE, '😀']) {
        expect(isWithin(prefix + rest, prefix)).toBe(true);
      }
      const points = Array.from(prefix);
      const others = ['', points.slice(0, -1).join(''), prefix.slice(0, -1), `!${prefix}`, `\u{10FFFD}${prefix}`];
      for (const other of others.filter((text) => !text.startsWith(prefix) && Buffer.from(text).toString() === text)) {
        expect(isWithin(other, prefix)).toBe(false);
      }
    },
  );
});
