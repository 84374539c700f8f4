import { describe, expect, it } from '@jest/globals';

import { isRegion, normaliseEmail, normalisePhone, type PhoneContext } from '../../../src/account/contact.policy.js';

describe('SEC-32 normaliseEmail', () => {
  it.each([
    ['mixed case', 'Ada.Lovelace@Example.COM', 'ada.lovelace@example.com'],
    ['space around it', '  ada@example.com\t', 'ada@example.com'],
    ['a full-width at sign', 'ada＠example.com', 'ada@example.com'],
    ['full-width letters', 'ａｄａ@ｅｘａｍｐｌｅ.com', 'ada@example.com'],
    ['an international domain', 'ada@BÜCHER.example', 'ada@xn--bcher-kva.example'],
    ['an ideographic full stop', 'ada@example。com', 'ada@example.com'],
    ['a sharp s, as UTS 46 has it', 'ada@straße.example', 'ada@xn--strae-oqa.example'],
    ['a tag, which only the host may read', 'ada+tag@example.com', 'ada+tag@example.com'],
    ['dots, which only the host may read', 'a.d.a@gmail.com', 'a.d.a@gmail.com'],
    ['the longest local part', `${'a'.repeat(64)}@example.com`, `${'a'.repeat(64)}@example.com`],
    [
      'the longest address',
      `${'a'.repeat(64)}@${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(57)}.com`,
      `${'a'.repeat(64)}@${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(57)}.com`,
    ],
  ])('takes %s to its one form', (_what, typed, value) => {
    expect(normaliseEmail(typed)).toEqual({ value });
  });

  it('takes composed and decomposed letters of a domain to the same form', () => {
    const [composed, decomposed] = ['é', 'e\u0301'].map((letter) => normaliseEmail(`ada@caf${letter}.example`));
    expect(composed).toEqual(decomposed);
    expect(composed).toHaveProperty('value');
  });

  it('is the same when it is applied again', () => {
    for (const typed of ['Ada＠BÜCHER.example', 'ada@straße.example', ' A+b@C.DE ']) {
      const once = normaliseEmail(typed) as { value: string };
      expect(normaliseEmail(once.value)).toEqual(once);
    }
  });

  it.each([
    '',
    ' ',
    'ada',
    '@example.com',
    'ada@',
    'ada@example',
    'ada@localhost',
    'ada@example.com.',
    'ada@.example.com',
    'ada@example..com',
    '.ada@example.com',
    'ada.@example.com',
    'a..da@example.com',
    'ada@exa mple.com',
    'ada lovelace@example.com',
    'ada@@example.com',
    'ada@example.com@evil.com',
    'ada＠example.com＠evil.com',
    '"ada"@example.com',
    '"ada@evil.com"@example.com',
    'ada@[127.0.0.1]',
    'ada@127.0.0.1',
    'ada@-example.com',
    'ada@example-.com',
    'ada@exa_mple.com',
    'Ada <ada@example.com>',
    'ada@example.com,eve@example.com',
    'ada@example.com\neve@example.com',
    'ada\r\nBcc: eve@example.com@example.com',
    'ada\u0000@example.com',
    'ada@exam\u0000ple.com',
    'a\u200Bda@example.com',
    'ada\u2060@example.com',
    'ada\uFEFFx@example.com',
    '\u202Eada@example.com',
    'ädä@example.com',
    'а\u0301da@example.com',
    `${'a'.repeat(65)}@example.com`,
    `${'a'.repeat(64)}@${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(58)}.com`,
    `ada@${'b'.repeat(64)}.com`,
    `ada@${'ü'.repeat(60)}.example`,
    `${'a'.repeat(100_000)}@example.com`,
    '\uD800ada@example.com',
  ])('refuses %j', (typed) => {
    expect(normaliseEmail(typed)).toEqual({ issue: expect.any(String) });
  });

  it('never takes an invisible character of the domain for a part of it', () => {
    for (const invisible of ['\u200B', '\u00AD', '\uFEFF']) {
      const forms = [{ value: 'ada@example.com' }, { issue: 'must have a valid domain' }];
      expect(forms).toContainEqual(normaliseEmail(`ada@exam${invisible}ple.com`));
    }
  });

  it('answers at once for input that is made to be slow', () => {
    const started = performance.now();
    for (const typed of [`${'a.'.repeat(50_000)}@example.com`, `ada@${'a-'.repeat(50_000)}.com`, '@'.repeat(100_000)]) {
      expect(normaliseEmail(typed)).toHaveProperty('issue');
    }
    expect(performance.now() - started).toBeLessThan(250);
  });
});

describe('normalisePhone', () => {
  const german: PhoneContext = { defaultRegion: 'DE' };

  it.each<[string, string, PhoneContext, string]>([
    ['an international number', '+49 151 12345678', {}, '+4915112345678'],
    ['its punctuation', '+49 (151) 123-456.78', {}, '+4915112345678'],
    ['a full-width plus and digits', '＋４９１５１１２３４５６７８', {}, '+4915112345678'],
    ['a national number with the default region', '0151 12345678', german, '+4915112345678'],
    ['a national number without its leading zero', '151 12345678', german, '+4915112345678'],
    ['a national number with +49', '0151 12345678', { countryCode: '+49' }, '+4915112345678'],
    ['a national number with 49', '0151 12345678', { countryCode: '49' }, '+4915112345678'],
    ['a national number with a region', '0151 12345678', { countryCode: 'DE' }, '+4915112345678'],
    ['a national number with a region in small letters', '0151 12345678', { countryCode: ' de ' }, '+4915112345678'],
    [
      'a code that overrides the default region',
      '202 456 1414',
      { countryCode: '+1', defaultRegion: 'DE' },
      '+12024561414',
    ],
    [
      'an international number over any code',
      '+4915112345678',
      { countryCode: '+1', defaultRegion: 'US' },
      '+4915112345678',
    ],
    ['a leading zero behind the country code', '+49 0151 12345678', {}, '+4915112345678'],
    ['the number as written in some countries', '+44 (0)20 7946 0958', {}, '+442079460958'],
  ])('takes %s to E.164', (_what, typed, context, value) => {
    expect(normalisePhone(typed, context)).toEqual({ value });
  });

  it.each<[string, string, PhoneContext]>([
    ['a national number without any country', '0151 12345678', {}],
    ['nothing', '', german],
    ['text', 'call me', german],
    ['a number in text', 'call +4915112345678 now', {}],
    ['an extension', '+49 30 123456 ext. 7', {}],
    ['an extension in a URI', 'tel:+4930123456;ext=7', {}],
    ['a country code alone', '+49', {}],
    ['too few digits', '+49 151 1', {}],
    ['too many digits', `+49${'1'.repeat(20)}`, {}],
    ['a calling code of no country', '+999 123456789', {}],
    ['an unknown country', '0151 12345678', { countryCode: 'XX' }],
    ['an unknown calling code', '0151 12345678', { countryCode: '+999' }],
    ['two numbers', '+4915112345678 / +4915112345679', {}],
    ['a NUL', '+49151\u000012345678', {}],
    ['an endless one', '1'.repeat(100_000), german],
  ])('refuses %s', (_what, typed, context) => {
    expect(normalisePhone(typed, context)).toEqual({ issue: expect.any(String) });
  });

  it('takes a tel: URI for its number or for none, never for another', () => {
    const forms = [{ value: '+4915112345678' }, { issue: 'must be a valid phone number' }];
    expect(forms).toContainEqual(normalisePhone('tel:+49-151-12345678', german));
  });

  it('is the same when it is applied again', () => {
    const once = normalisePhone('0151 12345678', german) as { value: string };
    expect(normalisePhone(once.value, {})).toEqual(once);
  });
});

describe('isRegion', () => {
  it('knows regions in capitals only', () => {
    expect(['DE', 'US', 'GB'].map(isRegion)).toEqual([true, true, true]);
    expect(['de', '', '49', 'XX', '__proto__', 'constructor'].map(isRegion)).toEqual(times(6, false));
  });
});

function times<T>(count: number, value: T): T[] {
  return Array.from({ length: count }, () => value);
}
