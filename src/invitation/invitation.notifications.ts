import type { EntityManager } from 'typeorm';
import type { DraftedNotification, NotificationSource } from '../delivery/notification.types.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import type { IdentityEvent } from '../feed/feed.types.js';
import { tokenOf } from '../secret/one-time-secret.policy.js';
import type { SecretSettings } from '../secret/secret.settings.js';
import { execute, type Statement } from '../transaction/statement.js';

interface IssueRow {
  readonly id: string;
  readonly email: string;
  readonly tenant_id: string;
  readonly tenant_name: string;
  readonly expires_at: Date;
  readonly key_id: string;
  readonly salt: Buffer;
}

/** Of the issue that the event tells: one that was sent again meanwhile is told by the event of that. */
const ISSUE: Statement<IssueRow> = {
  text: `select i.id, i.email, i.tenant_id, t.name as tenant_name, i.expires_at, i.key_id, i.salt
    from nest_auth_invitations i join nest_auth_tenants t on t.id = i.tenant_id and t.is_active
    where i.id = $1 and i.issue = $2 and i.status = 'pending' and i.expires_at > statement_timestamp()`,
};

/** The message with the link of an invitation, to the address that was invited. */
export class InvitationNotifications implements NotificationSource {
  readonly types = [NestAuthEvents.INVITATION_SENT, NestAuthEvents.INVITATION_RESENT];

  constructor(private readonly secrets: SecretSettings) {}

  async draft(manager: EntityManager, { subject, details }: IdentityEvent): Promise<DraftedNotification | null> {
    const [row] = await execute(manager, ISSUE, [subject.id, details?.['issue'] ?? null]);
    if (row === undefined) return null;
    const token = tokenOf(this.secrets, 'invitation', row.id, { keyId: row.key_id, salt: row.salt });
    // Its key is gone: nobody could use the link, either.
    if (token === null) return null;
    return {
      kind: 'invitation',
      channel: 'email',
      to: row.email,
      userId: null,
      tenantId: row.tenant_id,
      tenantName: row.tenant_name,
      token,
      expiresAt: row.expires_at,
    };
  }
}
