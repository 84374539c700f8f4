import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/** What a seal says. Transaction ids are 64 bits wide, and stay text. */
export interface SealContent {
  readonly position: number;
  readonly month: string;
  readonly fromXid: string;
  readonly fromId: string;
  readonly toXid: string;
  readonly toId: string;
  readonly activities: number;
  readonly digest: string;
  readonly previousHash: string | null;
  readonly isKeyed: boolean;
  readonly sealedAt: Date;
}

/** Of the form below; part of what is hashed, so that a later form cannot be taken for this one. */
const VERSION = 1;

/** The hash over everything a seal says. With a key, nobody can make it who only has the database. */
export function sealHash(seal: SealContent, key: string | undefined): string {
  const text = JSON.stringify([
    VERSION,
    seal.position,
    seal.previousHash,
    seal.month,
    seal.fromXid,
    seal.fromId,
    seal.toXid,
    seal.toId,
    seal.activities,
    seal.digest,
    seal.sealedAt.getTime(),
    seal.isKeyed,
  ]);
  const hash = key === undefined ? createHash('sha256') : createHmac('sha256', key);
  return hash.update(text).digest('hex');
}

/** Whether one of the keys, or none for a seal without, gives this hash. */
export function isSealedBy(seal: SealContent, hash: string, keys: readonly string[]): boolean {
  const candidates = seal.isKeyed ? keys : [undefined];
  return candidates.some((key) => isEqual(sealHash(seal, key), hash));
}

function isEqual(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
