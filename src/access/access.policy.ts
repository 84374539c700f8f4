import { NestAuthError } from '../errors/nest-auth.error.js';

/** The names of a loaded relation; a relation that was not loaded is not an empty one. */
export function namesOf(items: readonly { name: string }[] | null | undefined, relation: string): ReadonlySet<string> {
  if (items === undefined || items === null) {
    throw new NestAuthError('RELATION_NOT_LOADED', `Load ${relation} first, or ask AccessService, which queries it`);
  }
  return new Set(items.map(({ name }) => name));
}

export function hasEveryName(held: ReadonlySet<string>, wanted: readonly string[]): boolean {
  return wanted.every((name) => held.has(name));
}
