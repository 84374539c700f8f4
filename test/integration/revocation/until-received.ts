import { until } from '../../support/until.js';

/** Waits until the last of what arrives in order has come. */
export function untilReceived(received: readonly string[], last: string): Promise<void> {
  return until(`the notification ${last}`, () => received.at(-1) === last);
}
