/** What stands in the log instead of a secret. */
const REDACTED = '[redacted]';

/** Names of what must not be read by everybody who may read the log. Rather one too many. */
const SECRET = /pass|secret|token|hash|otp|pin|key/i;

/** The same JSON without the values of keys that sound like a secret, at any depth. */
export function redact<T>(value: T): T {
  return redacted(value) as T;
}

function redacted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redacted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, SECRET.test(key) ? REDACTED : redacted(inner)]),
  );
}
