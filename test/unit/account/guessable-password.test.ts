import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { frequentPasswords } from '../../../src/account/frequent-passwords.js';
import {
  isMadeOfCommon,
  isPredictable,
  lengthOf,
  lengthWithout,
  termsOfEmail,
  termsOfPhone,
} from '../../../src/account/guessable-password.policy.js';

const MIN_LENGTH = 15;
const common = await frequentPasswords();

describe('the length of a password', () => {
  it.each([
    ['an accent, however it was typed', 'e\u0301', 1],
    ['signs beyond the sixteen bits of JavaScript', '🐎🐎', 2],
    ['NUL and spaces', '\0  ', 3],
    ['half of such a sign', '\ud83d', 1],
  ])('counts %s', (_what, text, length) => {
    expect(lengthOf(text)).toBe(length);
  });
});

describe('what is predictable', () => {
  it.each([
    'aaaaaaaaaaaaaaaa',
    '123456789012345',
    'abcdefghijklmnop',
    'zyxwvutsrqponmlk',
    'qwertyuiopasdfgh',
    'QWERTZUIOPasdfghjkl',
    '1234567890qwertyuiop',
    'aaaabbbbccccdddd',
    'abc1abc1abc1abc1',
    'correct!correct!correct',
    'horse!horse!horse!hors',
    'ａａａａａａａａａａａａａａａａ',
  ])('is %s', (password) => {
    expect(isPredictable(password, MIN_LENGTH)).toBe(true);
  });

  it.each([
    'correct horse battery staple',
    'abcdefgh and no further',
    'a long walk on a short piera long walk on a short pier',
    '1qaz-9vbK-trombone',
    'пароль на каждый день',
  ])('is not %s', (password) => {
    expect(isPredictable(password, MIN_LENGTH)).toBe(false);
  });
});

describe('what is made of common passwords', () => {
  it.each([
    'password',
    'PassWord',
    'ｐａｓｓｗｏｒｄ',
    'p@ssw0rd1234567',
    'Password123456789!',
    'P4$$w0rd-2026-!!!',
    'sunshine.dragon!2026',
    'sunshinedragon1',
    'qwerty123456789',
    '1qaz2wsx3edc4rfv',
    '2026-baseball-2026',
  ])('is %s', (password) => {
    expect(isMadeOfCommon(password, common)).toBe(true);
  });

  it.each([
    'correct horse battery staple',
    'sunshine dragon trombone',
    'dragon 83765930174629',
    'k7m2x9q4w8z3p6r1',
    'Kx7#mQ2!vR9@tL4$',
    '',
  ])('is not %s', (password) => {
    expect(isMadeOfCommon(password, common)).toBe(false);
  });
});

describe('what is left without what is known', () => {
  const known = [...termsOfEmail('ada.lovelace@kestrel.example.com'), ...termsOfPhone('+49 171 2345678'), 'Portal'];

  it.each([
    ['Ada.Lovelace@kestrel.example.com', 0],
    ['lovelace-lovelace-lovelace', 2],
    ['AdaLovelace', 0],
    ['L0vel4ce', 0],
    ['l.o.v.e.l.a.c.e', 7],
    ['0171/2345678', 5],
    ['my portal password', 12],
    ['at-kestrel', 3],
    ['ab', 2],
  ])('of %s', (password, left) => {
    expect(lengthWithout(password, known)).toBe(left);
  });
});

const SIGNS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#%&*';

const isGuessable = (password: string): boolean =>
  isPredictable(password, MIN_LENGTH) || isMadeOfCommon(password, common);

describe('what people do not choose', () => {
  const letters = fc.array(fc.constantFrom(...SIGNS.split('')), {
    minLength: 16,
    maxLength: 40,
  });

  it('passes: random passwords of sixteen characters and more', () => {
    const generate = fc.noBias(letters.map((all) => all.join('')));
    fc.assert(
      fc.property(generate, (password) => expect(isGuessable(password)).toBe(false)),
      { numRuns: 2_000, seed: 6 },
    );
  });

  it('passes: any four words of the list of common ones', () => {
    const words = [...common].filter((word) => /^[a-z]{4,8}$/.test(word));
    const phrase = fc.noBias(fc.uniqueArray(fc.constantFrom(...words), { minLength: 4, maxLength: 4 }));
    fc.assert(
      fc.property(phrase, (four) => expect(isGuessable(four.join(' '))).toBe(false)),
      { numRuns: 500, seed: 6 },
    );
  });

  it('is judged in time, however long it is', () => {
    const begun = performance.now();
    for (const password of ['ab'.repeat(2_048), 'passwordx'.repeat(455), 'ada'.repeat(1_365)]) {
      isPredictable(password, MIN_LENGTH);
      isMadeOfCommon(password, common);
      lengthWithout(password, ['ada', ...termsOfEmail('ada@example.com')]);
    }
    expect(performance.now() - begun).toBeLessThan(500);
  });
});
