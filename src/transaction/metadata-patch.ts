/**
 * Splits a merge patch (RFC 7396, first level) into what `(metadata - $removed::text[]) || $merged::jsonb` needs:
 * `null` removes a key, anything else replaces it.
 */
export function splitPatch(patch: Readonly<Record<string, unknown>> = {}): { removed: string[]; merged: string } {
  const entries = Object.entries(patch);
  return {
    removed: entries.filter(([, value]) => value === null).map(([key]) => key),
    merged: JSON.stringify(Object.fromEntries(entries.filter(([, value]) => value !== null))),
  };
}
