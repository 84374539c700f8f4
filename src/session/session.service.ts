import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { assertUuid } from '../errors/input.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { listSessions } from './live-session.queries.js';
import { PurgeOperations } from './purge.operations.js';
import type { NestAuthSession } from './session.entity.js';
import { SessionOperations } from './session.operations.js';
import type { PurgeEndedOptions, PurgeEndedResult } from './session.types.js';

/**
 * The sessions of a user: for the user, and for whoever administers. It asks nobody for a right; the caller does.
 *
 * Every method runs on the `manager` passed, else in the running transaction, else by itself, and is one statement.
 * With row-level security a tenant finds the sessions that are in it, and those of the users of its own realm. What has
 * ended cannot be refreshed any more at once; see `AuthService.verifyAccessToken` for the access tokens that are out.
 */
@Injectable()
export class SessionService {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly operations: SessionOperations,
    private readonly purge: PurgeOperations,
  ) {}

  /** The sessions that go on, the one that was used last first; at most 200. */
  async getSessions(userId: string, manager?: EntityManager): Promise<NestAuthSession[]> {
    assertUuid('userId', userId);
    return this.transactions.operate(manager, (m) => listSessions(m, userId));
  }

  /**
   * Ends one session of the user. Announces `SessionsRevokedEvent`.
   *
   * Errors: `SESSION_NOT_FOUND` for one that has ended, or that is another user's; `VALIDATION_FAILED`.
   */
  async revokeSession(userId: string, sessionId: string, manager?: EntityManager): Promise<void> {
    assertUuid('userId', userId);
    assertUuid('sessionId', sessionId);
    await this.transactions.operate(manager, async (m) => {
      if ((await this.operations.revoke(m, 'one', userId, sessionId)) > 0) return;
      throw new NestAuthError('SESSION_NOT_FOUND', 'revokeSession: the user has no such session', {
        details: { ids: [sessionId] },
      });
    });
  }

  /**
   * Ends every session of the user but one; answers how many. Announces `SessionsRevokedEvent` if there were any.
   * Repeating it changes nothing. Errors: `VALIDATION_FAILED`.
   */
  async revokeOtherSessions(userId: string, sessionId: string, manager?: EntityManager): Promise<number> {
    assertUuid('userId', userId);
    assertUuid('sessionId', sessionId);
    return this.transactions.operate(manager, (m) => this.operations.revoke(m, 'others', userId, sessionId));
  }

  /** Ends every session of the user; as {@link revokeOtherSessions}. */
  async revokeAllSessions(userId: string, manager?: EntityManager): Promise<number> {
    assertUuid('userId', userId);
    return this.transactions.operate(manager, (m) => this.operations.revoke(m, 'all', userId));
  }

  /**
   * Deletes what nobody needs any more: sessions that ended more than `session.keepEndedDays` ago, with their tokens; of
   * others the refresh tokens that were used a week ago, of which a copy is then refused like a token that nobody made;
   * and the counters of failed sign-ins and of rate limits that count no more. For a job; `purge-ended-sessions` of
   * `nest-auth-identity/schedule` is one. No activity tells of it.
   *
   * Transaction: three statements a window of `chunkSize` sessions, each by itself: killed, it is simply run again.
   * Tenancy: with row-level security it is the platform's, inside `TenantContext.withoutTenant`.
   * Errors: `VALIDATION_FAILED`.
   */
  purgeEnded(options: PurgeEndedOptions = {}, manager?: EntityManager): Promise<PurgeEndedResult> {
    return this.purge.run(options, manager);
  }
}
