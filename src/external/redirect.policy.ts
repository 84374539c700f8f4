/** An origin for paths, so that they can be read as URLs are. No target can name it: `.invalid` is nobody's. */
const OWN = 'http://this-application.invalid';
const MAX_LENGTH = 2_048;

interface Target {
  readonly url: URL;
  readonly isPath: boolean;
}

/** Null for what browsers and this code might read differently, or that is no URL. */
export function readTarget(text: unknown): Target | null {
  if (typeof text !== 'string' || text.length > MAX_LENGTH) return null;
  // Browsers take a backslash for a slash, and skip what is invisible.
  if (/[\s\\\p{Cc}\p{Cf}]/u.test(text)) return null;
  const isPath = text.startsWith('/') && !text.startsWith('//');
  if (!isPath && !/^https?:\/\//.test(text)) return null;
  if (!URL.canParse(text, OWN)) return null;
  const url = new URL(text, OWN);
  if (url.username !== '' || url.password !== '') return null;
  if (isPath !== (url.origin === OWN)) return null;
  return { url, isPath };
}

/** Whether somebody may be sent to `text`, by the list of the application. */
export function isAllowedTarget(text: string, allowed: readonly string[]): boolean {
  const target = readTarget(text);
  if (target === null) return false;
  return allowed.some((entry) => {
    const known = readTarget(entry);
    if (known === null || known.isPath !== target.isPath || known.url.origin !== target.url.origin) return false;
    const { pathname } = known.url;
    return pathname.endsWith('/') ? target.url.pathname.startsWith(pathname) : target.url.pathname === pathname;
  });
}
