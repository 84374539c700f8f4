/** What passwords are counted in: Unicode code points, so that it does not depend on how an accent was typed. */
export function lengthOf(password: string): number {
  return Array.from(password.normalize('NFC')).length;
}

/** Whether a password is less than it looks: one part again and again, or along the alphabet or a keyboard. */
export function isPredictable(password: string, minLength: number): boolean {
  const text = fold(password);
  return isSequence(text) || (periodOf(text) * 2 <= text.length && periodOf(text) < minLength);
}

/**
 * Whether a password is on the list, or no more than two of its entries with a few digits and signs: guessing begins
 * with those. Passphrases of three words are more.
 */
export function isMadeOfCommon(password: string, common: ReadonlySet<string>): boolean {
  return formsOf(password).some((form) => common.has(form) || hasFewParts(form, common));
}

/** How many characters a password has beside those that everybody knows of the person or of the application. */
export function lengthWithout(password: string, known: readonly string[]): number {
  const terms = [...new Set(known.flatMap((term) => [fold(term), squeeze(fold(term))]))]
    .filter((term) => term.length >= MIN_TERM_LENGTH)
    .toSorted((a, b) => b.length - a.length);
  const forms = formsOf(password);
  const removed = [...forms, ...forms.map(squeeze)].map((form) => charactersOf(form, terms));
  return lengthOf(password) - Math.max(...removed);
}

/** What others may know of an email address: itself, what stands before the @ and its parts, and those of the domain. */
export function termsOfEmail(email: string): string[] {
  const [local = '', domain = ''] = email.split('@');
  return [email, local, ...local.split(/[^\p{L}\p{N}]+/u), domain, ...domain.split('.').slice(0, -1)];
}

/** A phone number, and the part of it that is dialled from anywhere. */
export function termsOfPhone(phone: string): string[] {
  const digits = phone.replaceAll(/\D/g, '');
  return [digits, digits.slice(-LOCAL_NUMBER_LENGTH)];
}

/** Shorter ones are in many words. */
const MIN_TERM_LENGTH = 3;
const LOCAL_NUMBER_LENGTH = 7;

const MAX_PARTS = 5;
const MAX_WORDS = 2;
const MIN_WORD_LENGTH = 3;
const MAX_WORD_LENGTH = 40;
/** Different digits and signs: a year with some signs, and not a number of its own. */
const MAX_FILLER = 5;

/** Signs and digits written for letters. */
const LETTER_FOR: Readonly<Record<string, string>> = {
  '0': 'o',
  '1': 'l',
  '3': 'e',
  '4': 'a',
  '5': 's',
  '7': 't',
  '8': 'b',
  '@': 'a',
  $: 's',
  '!': 'i',
};
/** Only before a letter, at the beginning or after one: the digits that are added at the end are digits. */
const WRITTEN_FOR_LETTERS = /(?<=^|\p{L})[0134578@$!]+(?=\p{L})/gu;

const ROWS = ['1234567890', 'qwertyuiop', 'asdfghjkl', 'zxcvbnm', 'qwertzuiop', 'yxcvbnm', 'azertyuiop', 'qsdfghjklm'];
const NEIGHBOURS = new Set(
  ROWS.flatMap((row) =>
    row
      .split('')
      .slice(1)
      .flatMap((key, at) => [`${row[at]}${key}`, `${key}${row[at]}`]),
  ),
);

/** Equal for what only looks different: full-width letters, capitals. */
function fold(text: string): string {
  return text.normalize('NFKC').toLowerCase();
}

function squeeze(text: string): string {
  return text.replaceAll(/[^\p{L}\p{N}]+/gu, '');
}

function formsOf(password: string): string[] {
  const text = fold(password);
  const spelled = text.replaceAll(WRITTEN_FOR_LETTERS, (signs) =>
    signs.replaceAll(/./gu, (sign) => LETTER_FOR[sign] ?? sign),
  );
  return spelled === text ? [text] : [text, spelled];
}

function hasFewParts(form: string, common: ReadonlySet<string>): boolean {
  const parts = form.match(/\p{L}+|\P{L}+/gu) ?? [];
  if (parts.length > MAX_PARTS) return false;
  const words = parts.reduce((sum, part) => sum + wordsIn(part, common), 0);
  return words > 0 && words <= MAX_WORDS;
}

/** How many entries of the list a part is made of: none when it adds next to nothing, too many when it is of its own. */
function wordsIn(part: string, common: ReadonlySet<string>): number {
  const isWord = /^\p{L}/u.test(part);
  const addsLittle = isWord ? part.length < MIN_WORD_LENGTH : new Set(part).size <= MAX_FILLER;
  if (addsLittle || isSequence(part)) return 0;
  if (common.has(part)) return isWord ? 1 : 0;
  return isWord && isTwoWords(part, common) ? 2 : Infinity;
}

function isTwoWords(part: string, common: ReadonlySet<string>): boolean {
  if (part.length > MAX_WORD_LENGTH) return false;
  for (let at = MIN_WORD_LENGTH; at <= part.length - MIN_WORD_LENGTH; at += 1) {
    if (common.has(part.slice(0, at)) && common.has(part.slice(at))) return true;
  }
  return false;
}

/** Whether hardly a character is another than the one before would have let expect. */
function isSequence(text: string): boolean {
  const characters = Array.from(text);
  const turns = characters.filter((character, at) => at === 0 || !follows(characters[at - 1] as string, character));
  return turns.length <= Math.max(1, characters.length / 4);
}

function follows(before: string, after: string): boolean {
  const distance = Math.abs((before.codePointAt(0) ?? 0) - (after.codePointAt(0) ?? 0));
  return distance <= 1 || NEIGHBOURS.has(before + after);
}

/** The length of the shortest part that the whole text is a repetition of, the last time perhaps not to its end. */
function periodOf(text: string): number {
  const characters = Array.from(text);
  // How much of the beginning stands again at the end, for each place (Knuth, Morris and Pratt).
  const again: number[] = [0];
  for (let at = 1, matched = 0; at < characters.length; at += 1) {
    while (matched > 0 && characters[at] !== characters[matched]) matched = again[matched - 1] as number;
    if (characters[at] === characters[matched]) matched += 1;
    again.push(matched);
  }
  return characters.length - (again.at(-1) ?? 0);
}

/** The number of characters that belong to any of the terms. */
function charactersOf(form: string, terms: readonly string[]): number {
  let [left, found] = [form, 0];
  for (const term of terms) {
    const pieces = left.split(term);
    found += (pieces.length - 1) * Array.from(term).length;
    left = pieces.join('\0');
  }
  return found;
}
