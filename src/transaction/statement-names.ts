/** Texts that may be prepared under a name, with that name. Bounded: only statements declared in this package enter. */
const NAMES = new Map<string, string>();

/** Gives `text` a name; the same text keeps its first one. */
export function nameStatement(name: string, text: string): void {
  if (!NAMES.has(text)) NAMES.set(text, `nest_auth_${name}`);
}

/** The name under which a text of ours is prepared, if it is one. */
export function preparedNameOf(text: string): string | undefined {
  return NAMES.get(text);
}
