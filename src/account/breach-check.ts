import { createHash } from 'node:crypto';
import type { BreachCheckOptions } from './password-policy.types.js';

/** As many characters of the hash are told: hundreds of other passwords begin with them, too. */
const PREFIX_LENGTH = 5;

/** Whether a password is known to have leaked. Rejects when that cannot be told in time. */
export async function isBreached(
  password: string,
  { source, timeoutMs }: Pick<Required<BreachCheckOptions>, 'source' | 'timeoutMs'>,
): Promise<boolean> {
  // What such lists are indexed by; nothing is protected by it.
  const sha1 = createHash('sha1').update(password).digest('hex').toUpperCase();
  const signal = AbortSignal.timeout(timeoutMs);
  const answer = typeof source === 'function' ? source(sha1, signal) : askRange(source, sha1, signal);
  return Promise.race([answer, rejectsAt(signal)]);
}

async function askRange(url: string, sha1: string, signal: AbortSignal): Promise<boolean> {
  const [prefix, suffix] = [sha1.slice(0, PREFIX_LENGTH), sha1.slice(PREFIX_LENGTH)];
  // With padding, the size of the answer does not tell which range it was.
  const headers = { 'add-padding': 'true', 'user-agent': 'nest-auth-identity' };
  const response = await fetch(`${url.replace(/\/?$/, '/')}${prefix}`, { headers, signal, redirect: 'error' });
  if (!response.ok) throw new Error(`The range API answered with status ${response.status}`);
  const lines = (await response.text()).split('\n').map((line) => line.trim().split(':'));
  return lines.some(([known, count]) => known?.toUpperCase() === suffix && Number(count) > 0);
}

/** For a function that does not look at its signal. */
function rejectsAt(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}
