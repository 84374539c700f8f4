import type { EntityManager } from 'typeorm';
import { NestAuthEvents } from '../../../src/index.js';
import type { DraftedNotification, NotificationSource } from '../../../src/delivery/notification.types.js';
import type { IdentityEvent } from '../../../src/index.js';
import { withClient } from '../../support/database.js';

/** What a room stores, and the probe with it: a new token takes the place of the old one. */
const TABLE = 'create table if not exists probe_tokens (user_id uuid primary key, event uuid, token text not null)';

export function makeProbeTable(url: string): Promise<unknown> {
  return withClient(url, (client) => client.query(TABLE));
}

const EXPIRES_AT = new Date('2030-01-01T12:00:00Z');

/** A source like that of a room, for tests of delivery alone: whoever is created is sent the token that stands there. */
export const probeSource: NotificationSource = {
  types: [NestAuthEvents.USER_CREATED],
  async draft(manager: EntityManager, { userId, after }: IdentityEvent): Promise<DraftedNotification | null> {
    const rows: { token: string }[] = await manager.query('select token from probe_tokens where user_id = $1', [
      userId,
    ]);
    const [row] = rows;
    if (row === undefined) return null;
    const to = String(after?.['email']);
    return {
      kind: 'password_reset',
      channel: 'email',
      to,
      userId,
      tenantId: null,
      token: row.token,
      expiresAt: EXPIRES_AT,
    };
  },
};

/** A token of the usual form. */
export function probeToken(serial: number): string {
  return `AZwcUq0acAOLx1pZc2Xg0w.${String(serial).padStart(43, 'x')}`;
}
