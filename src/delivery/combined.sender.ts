import { NestAuthError } from '../errors/nest-auth.error.js';
import { UndeliverableError } from '../feed/undeliverable.error.js';
import type { NotificationChannel, NotificationSender } from './notification.types.js';

/** A sender for each way a message can go; a message of a way that has none becomes a dead letter. */
export function combineSenders(
  senders: Readonly<Partial<Record<NotificationChannel, NotificationSender>>>,
): NotificationSender {
  for (const [channel, sender] of Object.entries(senders)) {
    if (!['email', 'sms'].includes(channel) || typeof sender?.send !== 'function') {
      throw new NestAuthError(
        'INVALID_OPTIONS',
        `combineSenders: ${channel} must be email or sms, with a method send`,
        {
          details: { option: `combineSenders.${channel}` },
        },
      );
    }
  }
  return {
    async send(notification, options) {
      const sender = senders[notification.channel];
      if (sender === undefined) throw new UndeliverableError(`no sender for the channel ${notification.channel}`);
      return sender.send(notification, options);
    },
    async close() {
      await Promise.all([...new Set(Object.values(senders))].map(async (sender) => sender.close?.()));
    },
  };
}
