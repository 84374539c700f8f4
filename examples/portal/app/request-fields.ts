import { NestAuthError, type ValidationIssue } from 'nest-auth-identity';

/**
 * Looks at the form of a JSON body only; what an email or a role is, the package decides, and what a name is, the
 * database. Names every bad field at once, in the error that the package itself uses.
 */
export class Fields {
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
