import type { EntityManager } from 'typeorm';
import type { DraftedNotification, NotificationSource } from '../delivery/notification.types.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import type { IdentityEvent } from '../feed/feed.types.js';
import { codeOf } from '../secret/one-time-secret.policy.js';
import type { SecretSettings } from '../secret/secret.settings.js';
import { findCodeToSend } from './code-factor.queries.js';

/** Codes by which somebody completes a sign-in; made again from the row, as long as they can be used. */
export class CodeFactorNotifications implements NotificationSource {
  readonly types = [NestAuthEvents.SECOND_FACTOR_CODE_REQUESTED];

  constructor(private readonly secrets: SecretSettings) {}

  async draft(
    manager: EntityManager,
    { userId, tenantId, details }: IdentityEvent,
  ): Promise<DraftedNotification | null> {
    const issueId = details?.['issueId'];
    if (userId === null || typeof issueId !== 'string') return null;
    const row = await findCodeToSend(manager, userId, issueId);
    if (row === undefined) return null;
    const code = codeOf(this.secrets, 'second_factor_code', row.challenge_id, { keyId: row.key_id, salt: row.salt });
    if (code === null) return null;
    const about = { userId, tenantId, to: row.address, code, expiresAt: row.expires_at };
    return { ...about, kind: 'second_factor_code', channel: row.kind };
  }
}
