import { describe, expect, it } from '@jest/globals';

import { type News, StaleBound } from '../../../src/revocation/stale-bound.js';

const BOUND = { maxStaleMs: 1_000, cacheSeconds: 60 };
const boundOf = (news?: News): StaleBound => new StaleBound(BOUND, news);

describe('how old an answer may be', () => {
  it('is the bound, by itself', () => {
    expect(boundOf().holds(0, 999)).toBe(true);
    expect(boundOf().holds(0, 1_000)).toBe(false);
  });

  it('is longer while the connection is proven to work', () => {
    const bound = boundOf({ listeningSince: 0, provenAt: 40_000 });
    expect(bound.holds(10, 40_999)).toBe(true);
    expect(bound.holds(10, 41_000)).toBe(false);
  });

  it('is never longer than the time that was configured', () => {
    const bound = boundOf({ listeningSince: 0, provenAt: 60_000 });
    expect(bound.holds(10, 60_009)).toBe(true);
    expect(bound.holds(10, 60_010)).toBe(false);
  });

  it('is the bound for what was read before anybody listened', () => {
    const bound = boundOf({ listeningSince: 500, provenAt: 2_000 });
    expect(bound.holds(499, 1_498)).toBe(true);
    expect(bound.holds(499, 1_499)).toBe(false);
    expect(bound.holds(500, 2_500)).toBe(true);
  });

  it('is the bound when the connection is lost', () => {
    const bound = boundOf({ listeningSince: undefined, provenAt: 2_000 });
    expect(bound.holds(500, 1_499)).toBe(true);
    expect(bound.holds(500, 1_500)).toBe(false);
  });
});
