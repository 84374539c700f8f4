import { NestAuthError, type SignInInput, type ValidationIssue } from 'nest-auth-identity';
import type { NewUser, UserChange } from './portal-user.service.js';

const LOGIN = ['email', 'phone', 'phoneCountryCode'] as const;
const PROFILE = ['displayName', 'dateOfBirth', 'locale'] as const;
const ACCOUNT = ['password', 'roleIds', 'invite'] as const;

/** For whom, nobody asks: a member is made in the tenant of the session, an administrator in none. */
export function readNewUser(body: unknown): NewUser {
  const fields = new Fields(body, [...LOGIN, ...PROFILE, ...ACCOUNT]);
  const input = newUser(fields);
  fields.refuse();
  return input;
}

export function readUserChange(body: unknown): UserChange {
  const fields = new Fields(body, [...LOGIN, ...PROFILE]);
  const input = {
    ...fields.optional('displayName', () => fields.text('displayName')),
    ...fields.optional('locale', () => fields.text('locale')),
    ...loginAndBirth(fields),
  };
  fields.refuse();
  return input;
}

export function readSignIn(body: unknown): SignInInput {
  const fields = new Fields(body, ['email', 'phone', 'password', 'tenantId']);
  const input = {
    ...fields.optional('email', () => fields.text('email')),
    ...fields.optional('phone', () => fields.text('phone')),
    ...fields.optional('tenantId', () => fields.text('tenantId')),
    password: fields.text('password'),
  };
  fields.refuse();
  return input;
}

export function readRefreshToken(body: unknown): string {
  const fields = new Fields(body, ['refreshToken']);
  const refreshToken = fields.text('refreshToken');
  fields.refuse();
  return refreshToken;
}

export function readSwitch(body: unknown): { refreshToken: string; tenantId: string } {
  const fields = new Fields(body, ['refreshToken', 'tenantId']);
  const input = { refreshToken: fields.text('refreshToken'), tenantId: fields.text('tenantId') };
  fields.refuse();
  return input;
}

function newUser(fields: Fields): NewUser {
  return {
    displayName: fields.text('displayName'),
    ...fields.optional('locale', () => fields.text('locale')),
    ...fields.optional('password', () => fields.text('password')),
    ...fields.optional('roleIds', () => fields.texts('roleIds')),
    ...fields.optional('invite', () => fields.flag('invite')),
    ...loginAndBirth(fields),
  };
}

function loginAndBirth(fields: Fields) {
  return {
    ...fields.optional('email', () => fields.textOrNull('email')),
    ...fields.optional('phone', () => fields.textOrNull('phone')),
    ...fields.optional('phoneCountryCode', () => fields.textOrNull('phoneCountryCode')),
    ...fields.optional('dateOfBirth', () => fields.dateOrNull('dateOfBirth')),
  };
}

/**
 * Looks at the form of a JSON body only; what an email or a role is, the package decides, and what a name is, the
 * database. Names every bad field at once, in the error that the package itself uses.
 */
class Fields {
  readonly #values: Record<string, unknown>;
  readonly #issues: ValidationIssue[] = [];

  constructor(body: unknown, known: readonly string[]) {
    const isObject = typeof body === 'object' && body !== null && !Array.isArray(body);
    if (!isObject) this.#issues.push({ path: 'body', message: 'must be a JSON object' });
    this.#values = isObject ? (body as Record<string, unknown>) : {};
    for (const path of Object.keys(this.#values)) {
      if (!known.includes(path)) this.#issues.push({ path, message: 'is not a field of this request' });
    }
  }

  refuse(): void {
    if (this.#issues.length === 0) return;
    throw new NestAuthError('VALIDATION_FAILED', 'The request cannot be read', { details: { issues: this.#issues } });
  }

  /** An absent field stays absent. */
  optional<Name extends string, T>(path: Name, read: () => T): { [Key in Name]?: T } {
    return this.#values[path] === undefined ? {} : ({ [path]: read() } as { [Key in Name]?: T });
  }

  text(path: string): string {
    return this.#read(path, (value): value is string => typeof value === 'string', 'must be text', '');
  }

  textOrNull(path: string): string | null {
    return this.#values[path] === null ? null : this.text(path);
  }

  dateOrNull(path: string): string | null {
    const isDate = (value: unknown): value is string =>
      typeof value === 'string' && /^\d{4}-\d\d-\d\d$/.test(value) && isCalendarDay(value);
    return this.#values[path] === null ? null : this.#read(path, isDate, 'must be a day as YYYY-MM-DD', '');
  }

  texts(path: string): string[] {
    const isList = (value: unknown): value is string[] =>
      Array.isArray(value) && value.every((each) => typeof each === 'string');
    return this.#read(path, isList, 'must be a list of texts', []);
  }

  flag(path: string): boolean {
    return this.#read(path, (value): value is boolean => typeof value === 'boolean', 'must be true or false', false);
  }

  #read<T>(path: string, accepts: (value: unknown) => value is T, message: string, otherwise: T): T {
    const value = this.#values[path];
    if (accepts(value)) return value;
    this.#issues.push({ path, message });
    return otherwise;
  }
}

/** JavaScript takes the 31st of February for the 3rd of March. */
function isCalendarDay(text: string): boolean {
  const day = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text);
}
