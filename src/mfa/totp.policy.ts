import { NestAuthError } from '../errors/nest-auth.error.js';

/** The parts of otplib and qrcode that are used; both are optional, and loaded by whoever needs them. */
type Otplib = Pick<typeof import('otplib'), 'generateSecret' | 'generateURI' | 'verify'>;
type Qrcode = Pick<typeof import('qrcode'), 'toString'>;

/** RFC 6238 as every authenticator has it: SHA-1, six digits, steps of 30 seconds. */
const STEP_SECONDS = 30;
const DIGITS = 6;
/** 160 bits, as RFC 4226 recommends. */
const SEED_BYTES = 20;
const FORM = /^[0-9]{6}$/;

export interface NewSeed {
  /** In base32. */
  readonly secret: string;
  readonly uri: string;
  readonly qrCode: string;
}

export async function newSeed(issuer: string, label: string): Promise<NewSeed> {
  const [{ generateSecret, generateURI }, { toString }] = await Promise.all([loadOtplib(), loadQrcode()]);
  const secret = generateSecret({ length: SEED_BYTES });
  // A colon in it would be taken for the end of the issuer.
  const uri = generateURI({ issuer, label: label.replaceAll(':', ' '), secret });
  return { secret, uri, qrCode: await toString(uri, { type: 'svg' }) };
}

/**
 * The step of 30 seconds that the code is of; null for a wrong one.
 *
 * @param epoch - Seconds since 1970, as the database counts them.
 * @param window - Steps before and after that count, too.
 */
export async function stepOf(secret: string, code: unknown, epoch: number, window: number): Promise<number | null> {
  const digits = typeof code === 'string' ? code.replaceAll(/\s/g, '') : '';
  if (!FORM.test(digits)) return null;
  const { verify } = await loadOtplib();
  const result = await verify({
    secret,
    token: digits,
    epoch: Math.floor(epoch),
    epochTolerance: window * STEP_SECONDS,
    period: STEP_SECONDS,
    digits: DIGITS,
    algorithm: 'sha1',
  });
  return result.valid && 'timeStep' in result ? result.timeStep : null;
}

async function loadOtplib(): Promise<Otplib> {
  return import('otplib').catch((cause: unknown) => {
    throw missing('otplib', cause);
  });
}

async function loadQrcode(): Promise<Qrcode> {
  const loaded = await import('qrcode').catch((cause: unknown) => {
    throw missing('qrcode', cause);
  });
  return loaded.default;
}

function missing(name: string, cause: unknown): NestAuthError {
  return new NestAuthError('INVALID_OPTIONS', `Two-factor needs the package ${name}; install it`, {
    details: { option: name },
    cause,
  });
}
