import type { EntityManager } from 'typeorm';
import type { DraftedNotification, NoticeKind, NotificationSource } from '../delivery/notification.types.js';
import { type NestAuthEventName, NestAuthEvents } from '../events/nest-auth.events.js';
import type { IdentityEvent } from '../feed/feed.types.js';

const KINDS: Readonly<Partial<Record<string, NoticeKind>>> = {
  [NestAuthEvents.SECOND_FACTOR_ENABLED]: 'second_factor_enabled',
  [NestAuthEvents.SECOND_FACTOR_DISABLED]: 'second_factor_disabled',
  [NestAuthEvents.SECOND_FACTOR_RESET]: 'second_factor_disabled',
  [NestAuthEvents.RECOVERY_CODES_REPLACED]: 'recovery_codes_replaced',
  [NestAuthEvents.RECOVERY_CODE_USED]: 'recovery_code_used',
  [NestAuthEvents.TRUSTED_DEVICE_ADDED]: 'trusted_device_added',
};

/** That what a user has to show is another thing now: news to somebody whose password another one has. */
export class SecondFactorNotifications implements NotificationSource {
  readonly types = Object.keys(KINDS) as NestAuthEventName[];

  async draft(_manager: EntityManager, event: IdentityEvent): Promise<DraftedNotification | null> {
    const { userId, tenantId, details, occurredAt } = event;
    const kind = KINDS[event.type];
    if (kind === undefined) return null;
    const about = { kind, userId, tenantId, occurredAt };
    const [email, phone] = [details?.['email'], details?.['phone']];
    if (typeof email === 'string') return { ...about, channel: 'email', to: email };
    return typeof phone === 'string' ? { ...about, channel: 'sms', to: phone } : null;
  }
}
