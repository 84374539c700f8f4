// node --import ./test/support/typescript.mjs examples/portal/people.generate.ts
//
// Writes people.csv, the same on every machine. All people are made up, and so are their numbers.
// The last column says how a row must be refused; the import does not read it, the report compares itself with it.
import { writeFileSync } from 'node:fs';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import {
  type CountryCode,
  getExampleNumber,
  parsePhoneNumberFromString,
  type PhoneNumber,
} from 'libphonenumber-js/max';
import mobileExamples from 'libphonenumber-js/mobile/examples';
import { toUnicode } from 'tr46';
import { PEOPLE, type People } from './people.names.js';
import { BAD_PHONES, MALFORMED_EMAILS, respellEmail, respellPhone } from './people.spellings.js';

const ROWS = 1_000;
const COLUMNS = [
  'email',
  'phone',
  'phone_country',
  'display_name',
  'date_of_birth',
  'locale',
  'tenant',
  'roles',
  'invite',
  'planted',
] as const;
const TENANTS = ['harbour-clinic', 'alder-school', 'kestrel-freight', 'lumen-library', 'orchard-co-op'] as const;
const OWN_ROLES = [
  'harbour-clinic/pharmacist',
  'alder-school/form-teacher',
  'kestrel-freight/dispatcher',
  'lumen-library/archivist',
  'orchard-co-op/treasurer',
];
const DOMAINS = [
  'example.com',
  'example.org',
  'example.net',
  'mail.example',
  'xn--mller-kva.example',
  'xn--e1afmkfd.example',
];

type Person = Record<(typeof COLUMNS)[number], string>;
type Plant = (person: Person, turn: number) => Partial<Person>;

/** A row that is like another one, written differently. */
type Echo = (original: Person, turn: number) => Partial<Person>;

let seed = 0;
let serial = 0;
let taken = new Set<string>();
let echoed = new Set<Person>();

function startOver(): void {
  seed = 20_260_101;
  serial = 0;
  taken = new Set();
  echoed = new Set();
}

/** Mulberry32: small, and the same everywhere. */
function random(): number {
  seed = (seed + 0x6d2b79f5) | 0;
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
}

const below = (limit: number): number => Math.floor(random() * limit);

function pick<T>(from: readonly T[]): T {
  const chosen = from[below(from.length)];
  if (chosen === undefined) throw new RangeError('nothing to pick from');
  return chosen;
}

/** Faults of a row by itself, each with how often it is planted. */
const PLANTS: readonly (readonly [code: string, times: number, plant: Plant])[] = [
  ['VALIDATION_FAILED email', 20, (_, turn) => ({ email: MALFORMED_EMAILS[turn % MALFORMED_EMAILS.length] ?? '' })],
  [
    'VALIDATION_FAILED phone',
    20,
    (_, turn) => ({ phone: BAD_PHONES[turn % BAD_PHONES.length] ?? '', phone_country: '' }),
  ],
  // A national number means nothing without its country.
  [
    'VALIDATION_FAILED phone',
    12,
    (person) => ({ phone: national(person.phone, person.phone_country), phone_country: '' }),
  ],
  ['VALIDATION_FAILED email', 5, () => ({ email: '', phone: '', phone_country: '' })],
  ['ROLE_NOT_FOUND', 15, (_, turn) => ({ roles: ['membre', 'superuser', 'member;editer', 'owner'][turn % 4] ?? '' })],
  ['ROLE_SCOPE_MISMATCH', 18, ({ tenant }) => ({ roles: pick(OWN_ROLES.filter((role) => !role.startsWith(tenant))) })],
  ['ROLE_SCOPE_MISMATCH', 5, () => ({ roles: 'platform-support' })],
  [
    'TENANT_NOT_FOUND',
    8,
    (_, turn) => ({ tenant: ['harbor-clinic', 'alder', 'kestrel freight', 'lumen'][turn % 4] ?? '', roles: 'member' }),
  ],
  ['DATE_OF_BIRTH_REFUSED', 12, (_, turn) => ({ date_of_birth: `${2990 + turn}-06-15`, invite: 'yes' })],
  ['DATE_OF_BIRTH_REFUSED', 6, (_, turn) => ({ date_of_birth: `${1892 + turn}-02-28` })],
  [
    'DISPLAY_NAME_REFUSED',
    10,
    ({ display_name }) => ({ display_name: `${display_name} `.repeat(20).trim(), invite: 'yes' }),
  ],
  ['DISPLAY_NAME_REFUSED', 4, () => ({ display_name: '' })],
  ['LOCALE_REFUSED', 13, (_, turn) => ({ locale: ['xx', 'english', 'de_DE', 'EN'][turn % 4] ?? '' })],
];

/** Second rows of somebody who is there already. */
const ECHOES: readonly (readonly [code: string, times: number, echo: Echo])[] = [
  ['EMAIL_ALREADY_EXISTS', 40, ({ email }, turn) => ({ email: respellEmail(email, turn) })],
  ['PHONE_ALREADY_EXISTS', 24, ({ phone, phone_country }, turn) => respellPhone(parsed(phone, phone_country), turn)],
];

/** Every fourth echo stands right behind its original, so that both are in flight at once: a race. */
const RACE_EVERY = 4;

export function peopleCsv(): string {
  startOver();
  const faulty = PLANTS.reduce((sum, [, times]) => sum + times, 0) + ECHOES.reduce((sum, [, times]) => sum + times, 0);
  const rows = Array.from({ length: ROWS - faulty }, makePerson);
  for (const [code, times, plant] of PLANTS) {
    for (let turn = 0; turn < times; turn += 1) {
      const person = makePerson();
      rows.splice(below(rows.length), 0, { ...person, ...plant(person, turn), planted: code });
    }
  }
  for (const [code, times, echo] of ECHOES) {
    for (let turn = 0; turn < times; turn += 1) plantEcho(rows, turn, code, echo);
  }
  return [COLUMNS, ...rows.map((row) => COLUMNS.map((column) => row[column]))].map(csvLine).join('');
}

function plantEcho(rows: Person[], turn: number, code: string, echo: Echo): void {
  const wanted = code === 'EMAIL_ALREADY_EXISTS' ? 'email' : 'phone';
  let at = below(Math.floor(rows.length / 2));
  const isFree = (row: Person | undefined): row is Person =>
    row?.planted === '' && row[wanted] !== '' && !echoed.has(row);
  while (!isFree(rows[at])) at = (at + 1) % rows.length;
  const original = rows[at] as Person;
  echoed.add(original);
  const person = { ...makePerson(), ...echo(original, turn), planted: code };
  // Far behind it, the original is certainly there first; right behind it, either may win.
  const position =
    turn % RACE_EVERY === 0 ? at + 1 : Math.floor(rows.length * 0.6) + below(Math.floor(rows.length * 0.4));
  rows.splice(position, 0, person);
}

function makePerson(): Person {
  const index = serial++;
  const people = pick(PEOPLE);
  const [given, givenLatin] = pick(people.given);
  const [family, familyLatin] = pick(people.family);
  const tenant = pick(TENANTS);
  const latin = `${givenLatin}.${familyLatin}`.toLowerCase();
  const email = `${latin}${index % 3 === 0 ? `+${tenant.split('-')[0]}` : ''}.${index}@${pick(DOMAINS)}`;
  return {
    // The domain as people type it: one that is not ASCII in its own letters.
    email: index % 11 === 7 ? '' : email.replace(/[^@]*$/, (domain) => toUnicode(domain).domain),
    ...phoneOf(people, index),
    display_name: people.familyFirst ? `${family}${people.joiner}${given}` : `${given} ${family}`,
    date_of_birth:
      random() < 0.15
        ? ''
        : `${1935 + below(72)}-${String(1 + below(12)).padStart(2, '0')}-${String(1 + below(28)).padStart(2, '0')}`,
    locale: people.locale,
    tenant,
    roles: rolesIn(tenant),
    invite: index % 11 !== 7 && random() < 0.3 ? 'yes' : '',
    planted: '',
  };
}

/** Everybody without an email has a phone, and two of three of the others. */
function phoneOf({ region }: People, index: number): Pick<Person, 'phone' | 'phone_country'> {
  if (index % 11 !== 7 && index % 3 === 1) return { phone: '', phone_country: '' };
  const number = freshNumber(region);
  if (index % 4 === 0) return { phone: number.number, phone_country: '' };
  if (index % 4 === 1) return { phone: number.formatInternational(), phone_country: '' };
  return { phone: number.formatNational(), phone_country: index % 4 === 2 ? region : `+${number.countryCallingCode}` };
}

function freshNumber(region: CountryCode): PhoneNumber {
  const example = getExampleNumber(region, mobileExamples);
  if (example === undefined) throw new Error(`no example number for ${region}`);
  for (;;) {
    const digits = String(below(1_000_000)).padStart(6, '0');
    const number = parsePhoneNumberFromString(`${example.number.slice(0, -6)}${digits}`);
    if (number?.isValid() !== true || taken.has(number.number)) continue;
    taken.add(number.number);
    return number;
  }
}

function rolesIn(tenant: string): string {
  const own = OWN_ROLES.find((role) => role.startsWith(tenant)) ?? '';
  return pick(['member', 'member', 'member', 'editor', 'member;editor', 'manager', own, `member;${own}`]);
}

function parsed(phone: string, country: string): PhoneNumber {
  const context = country.startsWith('+')
    ? { defaultCallingCode: country.slice(1) }
    : country === ''
      ? {}
      : { defaultCountry: country as CountryCode };
  const number = parsePhoneNumberFromString(phone, context);
  if (number === undefined) throw new Error(`not a number: ${phone}`);
  return number;
}

function national(phone: string, country: string): string {
  return phone === '' ? '0151 23456789' : parsed(phone, country).formatNational();
}

function csvLine(values: readonly string[]): string {
  return `${values.map((value) => (/[",\n]|^\s|\s$/.test(value) ? `"${value.replaceAll('"', '""')}"` : value)).join(',')}\n`;
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(new URL('people.csv', import.meta.url), peopleCsv());
}
