import { describe, expect, it } from '@jest/globals';

import { NestAuthModule } from '../../../src/index.js';
import { RevocationSettings } from '../../../src/revocation/revocation.settings.js';

describe('the options of revocation', () => {
  it('keep what was read for a second, and listen to nobody, by default', () => {
    const { cache, listen, maxEntries, maxStaleMs, cacheSeconds } = new RevocationSettings();
    expect({ cache, listen, maxEntries, maxStaleMs, cacheSeconds }).toEqual({
      cache: true,
      listen: false,
      maxEntries: 10_000,
      maxStaleMs: 1_000,
      cacheSeconds: 60,
    });
  });

  it.each([
    ['cache', { cache: 'yes' }],
    ['listen', { listen: 1 }],
    ['listen', { listen: true, cache: false }],
    ['maxEntries', { maxEntries: 0 }],
    ['maxEntries', { maxEntries: 1.5 }],
    ['maxStaleMs', { maxStaleMs: 49 }],
    ['maxStaleMs', { maxStaleMs: 60_001 }],
    ['cacheSeconds', { cacheSeconds: 0 }],
    ['other', { other: true }],
  ])('keep an application from starting when %s is wrong: %p', (name, revocation) => {
    expect(() => NestAuthModule.forRoot({ revocation: revocation as object })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', details: { option: `revocation.${name}` } }),
    );
  });
});
