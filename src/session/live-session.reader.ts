import type { EntityManager } from 'typeorm';
import { revocationTag } from '../revocation/revocation.policy.js';
import type { Revocations, SharedReads } from '../revocation/revocations.js';
import { findSessionEnd, type SessionOfToken } from './live-session.queries.js';

/** Whether sessions go on: as it was read before where that still holds, else as the database says. */
export class LiveSessionReader {
  readonly #reads: SharedReads<true>;

  constructor(revocations: Revocations) {
    this.#reads = revocations.reads();
  }

  /** Whether the session goes on in this tenant and under this stamp. */
  async isLive(session: SessionOfToken, manager?: EntityManager): Promise<boolean> {
    const { userId, sessionId, tenantId, stamp } = session;
    const { user, sessions, access, tenant } = revocationTag;
    const tags = [user(userId), sessions(userId)];
    if (tenantId !== null) tags.push(access(userId, tenantId), tenant(tenantId));
    const name = `${tenantId ?? '-'} ${userId} ${sessionId} ${stamp}`;
    const live = await this.#reads.read(manager, { name, tags }, async (m) => {
      const forMs = await findSessionEnd(m, session);
      return forMs === null ? null : { value: true, forMs };
    });
    return live === true;
  }
}
