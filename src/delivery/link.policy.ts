import { isIP } from 'node:net';

const PLACE = '{token}';
/** No host, port or password has it in it by chance. */
const SAMPLE = 'tokentokentoken';

/** Why a template cannot make a link that is safe to mail; null when it can. */
export function linkIssue(template: unknown): string | null {
  if (typeof template !== 'string' || template.split(PLACE).length !== 2) return `must be a text with one ${PLACE}`;
  const sample = template.replace(PLACE, SAMPLE);
  if (!URL.canParse(sample)) return 'must be an absolute address';
  const url = new URL(sample);
  if (url.username !== '' || url.password !== '') return 'must hold no user and password';
  if (!`${url.pathname}${url.search}${url.hash}`.includes(SAMPLE))
    return `must have ${PLACE} in path, query or fragment`;
  if (url.protocol === 'https:' || (url.protocol === 'http:' && isThisMachine(url.hostname))) return null;
  return 'must be https; http is allowed to this machine itself';
}

/** The address with the token in its place. */
export function linkTo(template: string, token: string): string {
  // A function: in a text `$&` and its kin would stand for something.
  return template.replace(PLACE, () => encodeURIComponent(token));
}

function isThisMachine(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || (isIP(hostname) === 4 && hostname.startsWith('127.'));
}
