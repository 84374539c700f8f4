import { createHash, randomBytes } from 'node:crypto';

/** Without I, L, O and U: read aloud or typed from paper, nothing is taken for something else (Crockford's base32). */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const FORM = /^[0-9A-HJKMNP-TV-Z]{24}$/;
const GROUP = /.{4}/g;

/** 120 bits: with 112 and more, what is stored need not be a slow hash (OWASP ASVS 6.5.2). */
const CODE_BYTES = 15;
const CODE_CHARACTERS = 24;
const RECOVERY_CODES = 10;

/** New codes, `XXXX-XXXX-XXXX-XXXX-XXXX-XXXX`, and what is stored of them. */
export function newRecoveryCodes(): { readonly codes: string[]; readonly hashes: Buffer[] } {
  const plain = Array.from({ length: RECOVERY_CODES }, () => encode(randomBytes(CODE_BYTES)));
  return { codes: plain.map((code) => (code.match(GROUP) as string[]).join('-')), hashes: plain.map(hash) };
}

/** What is stored of a code, however it was typed; null for what cannot be one. */
export function recoveryHash(typed: unknown): Buffer | null {
  if (typeof typed !== 'string' || typed.length > 2 * CODE_CHARACTERS) return null;
  const plain = typed.toUpperCase().replaceAll(/[\s-]/g, '').replaceAll('O', '0').replaceAll(/[IL]/g, '1');
  return FORM.test(plain) ? hash(plain) : null;
}

/** Five bits a character. */
function encode(bytes: Buffer): string {
  let rest = BigInt(`0x${bytes.toString('hex')}`);
  let text = '';
  for (let count = 0; count < CODE_CHARACTERS; count += 1) {
    text = `${ALPHABET[Number(rest % 32n)]}${text}`;
    rest /= 32n;
  }
  return text;
}

function hash(plain: string): Buffer {
  return createHash('sha256').update(plain).digest();
}
