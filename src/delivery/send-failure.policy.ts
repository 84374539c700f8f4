import { isPostponed, isUndeliverable, PostponedError, UndeliverableError } from '../feed/undeliverable.error.js';
import type { Notification } from './notification.types.js';

const REMOVED = '[redacted]';
/** Enough for a log line; what a receiver answers can be long. */
const MAX_MESSAGE = 500;

/** A sender has failed, and is asked again. */
class SendingFailedError extends Error {
  override readonly name = 'SendingFailedError';
}

/**
 * What is kept and logged of a sender's error: nothing of what only the receiver of the message is to know. Receivers
 * quote what they refuse, and what a sender of the host throws may hold its whole request. So there is no cause either.
 */
export function sendFailure(notification: Notification, error: unknown): Error {
  const said = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const message = `${notification.kind} was not sent. ${withoutSecrets(notification, said).slice(0, MAX_MESSAGE)}`;
  const failure = new (kindOf(error))(message);
  const lines = error instanceof Error ? (error.stack ?? '').split('\n').filter((line) => /^ +at /.test(line)) : [];
  failure.stack = [`${failure.name}: ${message}`, ...lines.map((line) => withoutSecrets(notification, line))].join(
    '\n',
  );
  return failure;
}

function kindOf(error: unknown): new (message: string) => Error {
  if (isUndeliverable(error)) return UndeliverableError;
  return isPostponed(error) ? PostponedError : SendingFailedError;
}

function withoutSecrets(notification: Notification, text: string): string {
  return secretsOf(notification).reduce((safe, secret) => safe.replaceAll(secret, REMOVED), text);
}

function secretsOf(notification: Notification): RegExp[] {
  if ('code' in notification) return [looselyLike(notification.code)];
  if (!('token' in notification)) return [];
  const { token, url } = notification;
  // What comes before the dot names the holder; of the rest, not even a part that something has cut off is said.
  const [holder] = token.split('.');
  return [looselyLike(url), looselyLike(token), new RegExp(`${looselyLike(`${holder}.`).source}[\\w-]*`, 'g')];
}

/** Also when it was wrapped, as mails wrap long lines. */
function looselyLike(secret: string): RegExp {
  return new RegExp(secret.split('').map(escaped).join('=?\\s*'), 'g');
}

function escaped(character: string): string {
  return character.replace(/[.*+?^${}()|[\]\\/]/, String.raw`\$&`);
}
