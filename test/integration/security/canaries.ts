/** What must be nowhere but with the one person that it is for. */
export type SecretKind =
  | 'password'
  | 'access token'
  | 'refresh token'
  | 'challenge token'
  | 'device token'
  | 'invitation token'
  | 'email verification token'
  | 'email change token'
  | 'password reset token'
  | 'sent code'
  | 'TOTP seed'
  | 'TOTP code'
  | 'recovery code'
  | 'API key'
  | 'key of the application'
  | 'mistyped';

/** A secret that was found where it must not be. */
export interface Leak {
  readonly kind: SecretKind;
  /** How it was written: `raw`, `hex`, … */
  readonly form: string;
  readonly where: string;
  /** What is written before it. */
  readonly before: string;
}

interface Form {
  readonly name: string;
  readonly text: string;
}

interface Written {
  readonly kind: SecretKind;
  readonly form: Form;
}

const CONTEXT = 80;
/** No form is shorter. */
const KEY_LENGTH = 6;
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const DIGITS = /^\d{6,10}$/;
const PART_OF_MORE = /[\w.:-]/;
/** Less of a token is no help to anybody, and could stand anywhere. */
const SHORTEST_PART = 16;

/**
 * Every secret that the flows have made, in every form in which it could be written down by mistake. They are many, and
 * so is what is searched: forms are found by how they begin, in one pass.
 */
export class Canaries {
  readonly #values = new Map<SecretKind, Set<string>>();
  readonly #byBeginning = new Map<string, Written[]>();

  /** Answers the value, so that a secret can be noted where it comes up. */
  add<Value extends string>(kind: SecretKind, value: Value): Value {
    if (value.length < KEY_LENGTH) throw new Error(`a ${kind} of ${value.length} characters would be found everywhere`);
    const values = this.#values.get(kind) ?? new Set();
    if (values.has(value)) return value;
    this.#values.set(kind, values.add(value));
    for (const form of formsOf(kind, value)) {
      const beginning = form.text.slice(0, KEY_LENGTH);
      const others = this.#byBeginning.get(beginning) ?? [];
      others.push({ kind, form });
      this.#byBeginning.set(beginning, others);
    }
    return value;
  }

  /** How many there are of each kind. */
  get counts(): ReadonlyMap<SecretKind, number> {
    return new Map([...this.#values].map(([kind, values]) => [kind, values.size]));
  }

  /** One secret of a kind in each of its forms, for planting it. */
  formsOf(kind: SecretKind): readonly Form[] {
    const [value = ''] = this.#values.get(kind) ?? [];
    return formsOf(kind, value);
  }

  /** The first leaks in a text, of each form one. */
  leaksIn(where: string, text: string): Leak[] {
    const leaks = new Map<string, Leak>();
    for (let at = 0; at + KEY_LENGTH <= text.length; at += 1) {
      for (const { kind, form } of this.#byBeginning.get(text.slice(at, at + KEY_LENGTH)) ?? []) {
        if (!text.startsWith(form.text, at) || !standsAlone(form.text, text, at)) continue;
        const before = text.slice(Math.max(0, at - CONTEXT), at);
        leaks.set(`${kind} ${form.name}`, { kind, form: form.name, where, before });
      }
    }
    return [...leaks.values()];
  }
}

/** A short number stands in timestamps and ids by chance: it counts where nothing is written on to it. */
function standsAlone(form: string, text: string, at: number): boolean {
  if (!DIGITS.test(form)) return true;
  return !PART_OF_MORE.test(text[at - 1] ?? ' ') && !PART_OF_MORE.test(text[at + form.length] ?? ' ');
}

function formsOf(kind: SecretKind, value: string): Form[] {
  const forms = [value, ...partsOf(kind, value)].flatMap((part, index) =>
    writtenAs(Buffer.from(part), index === 0 ? '' : 'part ').concat({ name: index === 0 ? 'raw' : 'part', text: part }),
  );
  const bytes = bytesOf(kind, value);
  const all = [
    ...forms,
    ...(bytes === null ? [] : writtenAs(bytes, 'bytes ')),
    { name: 'url-encoded', text: encodeURIComponent(value) },
    { name: 'JSON', text: JSON.stringify(value).slice(1, -1) },
    ...(kind === 'recovery code' || kind === 'TOTP seed' ? spellings(value) : []),
  ];
  return [...new Map(all.map((form) => [form.text, form])).values()].filter(({ text }) => text.length >= KEY_LENGTH);
}

/** Behind the dot of our tokens stands the secret, before it whose it is; of a JWT the signature. */
function partsOf(kind: SecretKind, value: string): string[] {
  if (kind === 'password' || kind === 'key of the application') return [];
  return value
    .split('.')
    .slice(1)
    .filter((part) => part.length >= SHORTEST_PART);
}

/** What the letters stand for. */
function bytesOf(kind: SecretKind, value: string): Buffer | null {
  if (kind === 'TOTP seed') return fromBase32(value);
  if (kind === 'API key') return Buffer.from(value.slice(value.indexOf('_') + 1), 'base64url').subarray(33, 65);
  const last = value.split('.').at(-1) ?? '';
  return /^[\w-]{43,}$/.test(last) ? Buffer.from(last, 'base64url') : null;
}

function writtenAs(bytes: Buffer, prefix: string): Form[] {
  return [
    { name: `${prefix}hex`, text: bytes.toString('hex') },
    { name: `${prefix}base64`, text: bytes.toString('base64').replace(/=+$/, '') },
    { name: `${prefix}base64url`, text: bytes.toString('base64url') },
    { name: `${prefix}numbers`, text: bytes.join(',') },
  ];
}

/** As people type them. */
function spellings(value: string): Form[] {
  const bare = value.replaceAll(/[^A-Za-z0-9]/g, '');
  const typed = [bare, bare.toLowerCase(), bare.toUpperCase(), value.toLowerCase(), value.toUpperCase()];
  return typed.map((text) => ({ name: 'spelling', text }));
}

function fromBase32(text: string): Buffer {
  const letters = text.replaceAll('=', '').toUpperCase().split('');
  const bits = letters.map((letter) => BASE32.indexOf(letter).toString(2).padStart(5, '0')).join('');
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
}
