import {
  type CountryCode,
  getCountries,
  getCountryCallingCode,
  isSupportedCountry,
  parsePhoneNumberFromString,
} from 'libphonenumber-js/max';
import { toASCII } from 'tr46';
import validator from 'validator';

/** A value in the one form in which it is compared, or why there is none. */
export type Normalised = { readonly value: string } | { readonly issue: string };

/** The longest address that SMTP can carry (RFC 5321, 4.5.3.1.3, less the angle brackets). */
const MAX_EMAIL_LENGTH = 254;

/** Labels of letters, digits and single hyphens inside: `toASCII` returns such a domain as it is. */
const PLAIN_DOMAIN = /^(?=.{1,253}$)(?:[a-z0-9]+(?:-[a-z0-9]+)*(?:\.|$))+(?<!\.)$/;
const LONGEST_LABEL = 63;

/**
 * The form in which emails are unique: trimmed, NFKC, lower case, the domain as ASCII (UTS 46).
 *
 * Validated after normalisation, because that is what makes `＠` an at sign (CVE-2022-35924 and its kind). Mail goes
 * to the address as typed; dots and tags are kept, as only the receiving host may give them a meaning.
 */
export function normaliseEmail(typed: string): Normalised {
  // Half of a character is nobody's address, and the checks below throw at it.
  if (/\p{Surrogate}/u.test(typed)) return { issue: 'must be an email address' };
  // Normalising shortens a little; more is not worth the time that the tables of Unicode would take.
  if (typed.length > 4 * MAX_EMAIL_LENGTH) return { issue: `must be at most ${MAX_EMAIL_LENGTH} characters long` };
  const folded = typed.trim().normalize('NFKC').toLowerCase();
  const [local, domain, ...rest] = folded.split('@');
  if (local === undefined || domain === undefined || rest.length > 0) return { issue: 'must be an email address' };
  const ascii = isPlain(domain) ? domain : toAsciiDomain(domain);
  if (ascii === null) return { issue: 'must have a valid domain' };
  const value = `${local}@${ascii}`;
  if (value.length > MAX_EMAIL_LENGTH) return { issue: `must be at most ${MAX_EMAIL_LENGTH} characters long` };
  // A quoted local part is legal and nobody's address; it is where parsers disagree.
  if (local.includes('"') || !validator.isEmail(value, { allow_utf8_local_part: false })) {
    return { issue: 'must be an email address' };
  }
  return { value };
}

/** Spares the usual domain the tables of Unicode, which cost more than all other checks of a user together. */
function isPlain(domain: string): boolean {
  return PLAIN_DOMAIN.test(domain) && domain.split('.').every((label) => label.length <= LONGEST_LABEL);
}

function toAsciiDomain(domain: string): string | null {
  return toASCII(domain, {
    useSTD3ASCIIRules: true,
    verifyDNSLength: true,
    checkHyphens: true,
    checkBidi: true,
    checkJoiners: true,
    transitionalProcessing: false,
  });
}

const CALLING_CODES: ReadonlySet<string> = new Set(getCountries().map((country) => getCountryCallingCode(country)));

/** Where a national number may take its country from. */
export interface PhoneContext {
  /** `+49`, `49` or `DE`. */
  readonly countryCode?: string | null | undefined;
  readonly defaultRegion?: string | undefined;
}

/** E.164 of an international number, or of a national one whose country is known. */
export function normalisePhone(typed: string, { countryCode, defaultRegion }: PhoneContext): Normalised {
  // The plus of East Asian keyboards; libphonenumber reads their digits, but not that.
  const text = typed.replace(/^\s*＋/, '+');
  const international = /^\s*\+/.test(text);
  const country = countryOption(countryCode ?? defaultRegion);
  if (!international && country === undefined) {
    return {
      issue:
        'must begin with + and the country code, or come with phoneCountryCode, or the option phone.defaultRegion must be set',
    };
  }
  const parsed = parsePhoneNumberFromString(text, { ...country, extract: false });
  if (parsed === undefined || !parsed.isValid()) return { issue: 'must be a valid phone number' };
  if (parsed.ext !== undefined && parsed.ext !== '') return { issue: 'must not have an extension' };
  return { value: parsed.number };
}

/** Whether libphonenumber knows the region, such as `DE`. */
export function isRegion(text: string): boolean {
  return isSupportedCountry(text);
}

function countryOption(
  code: string | null | undefined,
): { defaultCallingCode: string } | { defaultCountry: CountryCode } | undefined {
  if (code === null || code === undefined) return undefined;
  const callingCode = /^\s*\+?\s*(\d{1,3})\s*$/.exec(code)?.[1];
  if (callingCode !== undefined) return isCallingCode(callingCode) ? { defaultCallingCode: callingCode } : undefined;
  const region = code.trim().toUpperCase();
  return isSupportedCountry(region) ? { defaultCountry: region } : undefined;
}

/** libphonenumber throws at a calling code that no country has. */
function isCallingCode(digits: string): boolean {
  return CALLING_CODES.has(digits);
}
