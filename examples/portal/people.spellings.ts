import type { PhoneNumber } from 'libphonenumber-js/max';

/** As in people.csv. */
interface Phone {
  readonly phone: string;
  readonly phone_country: string;
}

/** No addresses, each for a reason of its own. */
export const MALFORMED_EMAILS = [
  'anna.example.com',
  'anna@',
  '@example.com',
  'anna@@example.com',
  'anna example@example.com',
  'anna@example',
  'anna@-example.com',
  '"anna"@example.com',
  'anna@exa_mple.com',
  'anna@example..com',
];
/** And no numbers. */
export const BAD_PHONES = [
  '+49 123',
  '+1 555 0100',
  'call me',
  '+999 12345678',
  '+44 20',
  '+33 0 00 00 00 00',
  '+81-0',
  '+49 151 234567890123',
];

/** Ways in which people type the same address again. */
export function respellEmail(email: string, turn: number): string {
  const [local = '', domain = ''] = email.split('@');
  return [
    email.toUpperCase(),
    ` ${email} `,
    `${local.replace(/^./, (first) => first.toUpperCase())}@${domain}`,
    `${local}＠${domain}`,
    `${local}@${domain}`.normalize('NFD').toUpperCase(),
    // Full-width letters, as Japanese keyboards make them.
    `${local.replaceAll(/[a-z]/g, (letter) => String.fromCodePoint((letter.codePointAt(0) ?? 0) + 0xfee0))}@${domain}`,
  ][turn % 6] as string;
}

/** And the same number. */
export function respellPhone(number: PhoneNumber, turn: number): Phone {
  return [
    { phone: number.formatInternational(), phone_country: '' },
    { phone: number.formatNational(), phone_country: number.country ?? '' },
    { phone: number.number.replace('+', '＋'), phone_country: '' },
    { phone: number.formatInternational().replaceAll(' ', '-'), phone_country: '' },
  ][turn % 4] as Phone;
}
