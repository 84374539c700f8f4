import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';

const { peerDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  readonly peerDependencies: Readonly<Record<string, string>>;
};

describe('SEC-94 the versions of TypeORM that are accepted', () => {
  it('are those whose generated migrations cannot be made to run what stands in a comment', () => {
    // 0.3.31 and 1.1.0 are the first of their lines (CVE-2026-73651).
    expect(peerDependencies['typeorm']?.split(' || ')).toEqual(['^0.3.31', '^1.1']);
  });
});
