import { NestAuthError, type ValidationIssue } from './nest-auth.error.js';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Gathers what is wrong with an input, so that one refusal names every field. Messages never repeat a value. */
export class InputIssues {
  readonly #issues: ValidationIssue[] = [];

  add(path: string, message: string): void {
    this.#issues.push({ path, message });
  }

  /** Throws `VALIDATION_FAILED` when anything was added. */
  refuse(what: string): void {
    if (this.#issues.length === 0) return;
    const list = this.#issues.map(({ path, message }) => `${path} ${message}`).join('; ');
    throw new NestAuthError('VALIDATION_FAILED', `${what}: ${list}`, { details: { issues: this.#issues } });
  }

  /** Refuses anything but a plain object with fields among `known`: a field we would ignore is a mistake. */
  fields(input: unknown, known: readonly string[]): void {
    if (typeof input !== 'object' || input === null || Array.isArray(input)) {
      this.refuseNow('input', 'must be an object');
      return;
    }
    for (const key of Object.keys(input)) {
      if (!known.includes(key)) this.add(key, `is not a field of this input; known are ${known.join(', ')}`);
    }
  }

  uuid(path: string, value: unknown): void {
    if (!isUuid(value)) this.add(path, 'must be a UUID');
  }

  uuids(path: string, values: unknown, max: number): void {
    if (!Array.isArray(values)) return this.add(path, 'must be an array of UUIDs');
    if (values.length > max) return this.add(path, `must hold at most ${max} ids`);
    values.forEach((value, index) => this.uuid(`${path}[${index}]`, value));
  }

  text(path: string, value: unknown, { min = 1, max }: { min?: number; max: number }): void {
    if (typeof value !== 'string') return this.add(path, 'must be a string');
    if (value.trim().length < min) return this.add(path, 'must not be empty');
    if (value.length > max) return this.add(path, `must be at most ${max} characters long`);
    if (/\p{Cc}|\p{Surrogate}/u.test(value)) this.add(path, 'must not hold control characters');
  }

  boolean(path: string, value: unknown): void {
    if (typeof value !== 'boolean') this.add(path, 'must be true or false');
  }

  private refuseNow(path: string, message: string): void {
    this.add(path, message);
    this.refuse('The input cannot be used');
  }
}

export function isUuid(value: unknown): value is string {
  return typeof value === 'string' && UUID.test(value);
}

/** Refuses anything but a UUID, before it could widen a query or reach PostgreSQL as a cast error. */
export function assertUuid(path: string, value: unknown): asserts value is string {
  const issues = new InputIssues();
  issues.uuid(path, value);
  issues.refuse('The call got an id it cannot use');
}

/** At most 64 KiB of JSON, 8 levels, 256 keys a level: enough for settings, too little to melt a server. */
export const METADATA_LIMITS = { bytes: 65_536, depth: 8, keys: 256 } as const;

/** Keys that would reach an object's prototype in whatever merges the metadata later (CVE-2020-8158 and its kind). */
const FORBIDDEN_KEYS = new Set(['__proto__', 'constructor', 'prototype']);

/** Adds an issue for metadata that is not plain JSON, is too large, or carries a prototype key at any depth. */
export function checkMetadata(issues: InputIssues, path: string, value: unknown): void {
  const before = checkJson(value, 0);
  if (before !== undefined) return issues.add(path, before);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return issues.add(path, 'must be a plain object');
  }
  if (Buffer.byteLength(JSON.stringify(value)) > METADATA_LIMITS.bytes) {
    issues.add(path, `must be at most ${METADATA_LIMITS.bytes} bytes of JSON`);
  }
}

function checkJson(value: unknown, depth: number): string | undefined {
  if (value === null || typeof value === 'boolean') return undefined;
  if (typeof value === 'string') return isStorable(value) ? undefined : UNSTORABLE;
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : 'must hold finite numbers only';
  if (typeof value !== 'object') return 'must hold JSON values only';
  if (depth >= METADATA_LIMITS.depth) return `must be at most ${METADATA_LIMITS.depth} levels deep`;
  if (!Array.isArray(value) && !isPlain(value)) return 'must hold plain objects only';
  const keys = Object.keys(value);
  if (keys.length > METADATA_LIMITS.keys) return `must have at most ${METADATA_LIMITS.keys} keys a level`;
  for (const key of keys) {
    if (FORBIDDEN_KEYS.has(key)) return 'must not hold a key that reaches the prototype';
    if (!isStorable(key)) return UNSTORABLE;
    const issue = checkJson((value as Record<string, unknown>)[key], depth + 1);
    if (issue !== undefined) return issue;
  }
  return undefined;
}

const UNSTORABLE = 'must not hold NUL characters or halves of characters';

/** PostgreSQL stores neither U+0000 nor a lone surrogate. */
function isStorable(text: string): boolean {
  return !/\u0000|\p{Surrogate}/u.test(text);
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
