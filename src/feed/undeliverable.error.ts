/**
 * Thrown by a handler of a durable subscriber, or by a `NotificationSender`: no further attempt can succeed. The event
 * becomes a dead letter at once, and the next one follows.
 */
export class UndeliverableError extends Error {
  override readonly name = 'UndeliverableError';
}

/**
 * Thrown by a handler of a durable subscriber, or by a `NotificationSender`: this event cannot be delivered for now, and
 * others can. It is set aside and tried again, after the usual pauses, and those behind it do not wait: the order is
 * given up for it.
 */
export class PostponedError extends Error {
  override readonly name = 'PostponedError';
}

/** Also true of one that another copy of this package has made, as the next. */
export function isUndeliverable(error: unknown): error is UndeliverableError {
  return error instanceof Error && error.name === 'UndeliverableError';
}

export function isPostponed(error: unknown): error is PostponedError {
  return error instanceof Error && error.name === 'PostponedError';
}
