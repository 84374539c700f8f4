/** What stands between the segments of a permission's name. */
const SEPARATOR = /[.:]/g;

/**
 * The names that cover a permission, itself first: `invoice.line.read` is covered by `invoice.line.*`, `invoice.*` and
 * `*`. So a wildcard is looked up by equality, and never matched as a pattern.
 */
export function coveringNames(permission: string): string[] {
  const wildcards = [...permission.matchAll(SEPARATOR)].map(({ index }) => `${permission.slice(0, index + 1)}*`);
  return [...new Set([permission, ...wildcards.toReversed(), '*'])];
}
