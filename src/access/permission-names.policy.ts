/** What stands between the segments of a permission's name. */
const SEPARATOR = /[.:]/g;

/** `*` alone, or as the whole last segment. */
const WILDCARD = /^(?:[^*]+[.:])?\*$/;

/** The rule about `*`, for whoever broke it. */
export const WILDCARD_GRAMMAR =
  'may hold * only alone or as its whole last segment after . or : (invoice.*, invoice:line:*, *)';

/** Whether the name is a wildcard: held, it covers everything below; denied, it denies everything below. */
function isWildcard(name: string): boolean {
  return WILDCARD.test(name);
}

/** Whether a permission may have this name, as far as `*` goes. */
export function keepsWildcardGrammar(name: string): boolean {
  return !name.includes('*') || isWildcard(name);
}

/**
 * The names that cover a permission, itself first: `invoice.line.read` is covered by `invoice.line.*`, `invoice.*` and
 * `*`. So a wildcard is looked up by equality, and never matched as a pattern. What breaks the grammar, and was named
 * before there was one, is covered by itself alone.
 */
export function coveringNames(permission: string): string[] {
  if (!keepsWildcardGrammar(permission)) return [permission];
  const wildcards = [...permission.matchAll(SEPARATOR)].map(({ index }) => `${permission.slice(0, index + 1)}*`);
  return [...new Set([permission, ...wildcards.toReversed(), '*'])];
}

/** How everything below a wildcard begins; null for a name that is none. */
export function prefixBelow(name: string): string | null {
  return isWildcard(name) ? name.slice(0, -1) : null;
}
