import type { EntityManager } from 'typeorm';
import type { LifecycleDependents } from '../account/lifecycle-dependents.js';
import type { AccessDependents } from '../access/access-dependents.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import type { EventPublisher } from '../events/event-publisher.js';
import {
  RefreshTokenReusedEvent,
  SessionsRevokedEvent,
  SessionTenantSwitchedEvent,
  UserLoggedOutEvent,
} from '../events/nest-auth.events.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { endSessions, endSessionsOfUsers } from './end-session.queries.js';
import type { IssuingRow } from './live-session.queries.js';
import { hashOf, newSeed, type ReadRefreshToken, readRefreshToken, successorOf } from './refresh-token.policy.js';
import { findSpentToken, rotate, type RotationRow, type SpentTokenRow } from './refresh.queries.js';
import { satisfies } from './second-factor.policy.js';
import type { SecondFactorPolicy } from '../tenant/tenant.types.js';
import type { SessionSettings } from './session.settings.js';
import type { SessionKeyOf } from './session.types.js';

/** A session that goes on, with the token that follows. */
export interface Continued {
  readonly userId: string;
  readonly issuing: IssuingRow;
  readonly refreshToken: string;
}

/** The rules of sessions that have begun. */
export class SessionOperations {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly events: EventPublisher,
    private readonly settings: SessionSettings,
    private readonly platformPolicy: SecondFactorPolicy,
  ) {}

  /** Where nobody can sign in there is nothing to end, and a change of a user stays one statement. */
  register(users: LifecycleDependents, accesses: AccessDependents): void {
    if (!this.settings.isInUse) return;
    users.register({ name: 'sessions', end: (manager, userIds) => this.#endOfUsers(manager, userIds) });
    accesses.register({
      name: 'sessions',
      end: async (manager, userId, tenantId) => {
        const ids = await endSessions(manager, 'ofTenant', userId, 'access_ended', tenantId);
        if (ids.length > 0) this.events.publish(manager, new SessionsRevokedEvent(userId, ids, 'access_ended'));
      },
    });
  }

  /** Uses the token. One statement; a second one tells what became of a token that could not be used. */
  async continue(
    manager: EntityManager | undefined,
    token: unknown,
    tenantId: string | null,
    isRepeated = false,
  ): Promise<Continued> {
    const [{ refreshSecret }] = this.settings.keys;
    const read = readRefreshToken(token);
    if (read === null) throw invalidRefreshToken();
    const { userId, hash } = read;
    const seed = newSeed();
    const refreshToken = successorOf(token as string, userId, seed, refreshSecret as Buffer);
    const { platformPolicy, settings } = this;
    const { idleSeconds } = settings;
    const next = { userId, hash, seed, successorHash: hashOf(refreshToken), idleSeconds, platformPolicy };
    const row = await this.transactions.operate(manager, async (m) => {
      const rotated = await rotate(m, next, tenantId);
      if (tenantId !== null && rotated.session_id !== null)
        this.events.publish(m, new SessionTenantSwitchedEvent(userId, rotated.session_id, tenantId));
      return rotated;
    });
    if (isIssuing(row)) return { userId, issuing: row, refreshToken };
    return this.#again(manager, token as string, read, row, tenantId, isRepeated);
  }

  /** The token was used before, or its session is over. */
  async #again(
    manager: EntityManager | undefined,
    token: string,
    { userId, hash }: ReadRefreshToken,
    { asked_at: askedAt, demanded }: RotationRow,
    tenantId: string | null,
    isRepeated: boolean,
  ): Promise<Continued> {
    const { platformPolicy, settings } = this;
    const spent = await this.transactions.operate(manager, (m) =>
      findSpentToken(m, { userId, hash, platformPolicy }, askedAt, settings.reuseWindowSeconds),
    );
    if (spent === undefined || !spent.live) throw invalidRefreshToken();
    if (spent.successor_seed === null) {
      // A session that was kept through a change of the password is under another stamp than when the statement began.
      if (tenantId === null && !isRepeated) return this.continue(manager, token, null, true);
      if (tenantId === null) throw invalidRefreshToken();
      if (demanded === null) throw noAccess();
      throw satisfies(demanded, spent.second_factor) ? invalidRefreshToken() : factorNotShown();
    }
    if (spent.in_window) {
      if (!spent.admitted) throw invalidRefreshToken();
      const refreshToken = this.#successor(token, userId, spent);
      // Somebody else was faster with the token, and did not go there.
      const isElsewhere = tenantId !== null && spent.tenant_id !== tenantId.toLowerCase();
      if (isElsewhere) return this.continue(manager, refreshToken, tenantId);
      return { userId, issuing: spent, refreshToken };
    }
    // Outside of what throws: the refusal must not take the end of the session with it.
    await this.transactions.operate(manager, async (m) => {
      const ended = await endSessions(m, 'reused', userId, 'refresh_token_reused', spent.session_id);
      for (const id of ended) this.events.publish(m, new RefreshTokenReusedEvent(userId, id));
    });
    throw invalidRefreshToken();
  }

  /** The token that was answered then, by whichever key that was. */
  #successor(token: string, userId: string, { successor_seed: seed, successor_hash: wanted }: SpentTokenRow): string {
    for (const { refreshSecret } of this.settings.keys) {
      if (refreshSecret === undefined || seed === null) continue;
      const successor = successorOf(token, userId, seed, refreshSecret);
      if (wanted !== null && hashOf(successor).equals(wanted)) return successor;
    }
    throw invalidRefreshToken();
  }

  /** False when there was nothing to end. */
  async signOut(manager: EntityManager, { userId, sessionId }: SessionKeyOf): Promise<boolean> {
    const ended = await endSessions(manager, 'signedOut', userId, 'signed_out', sessionId);
    for (const id of ended) this.events.publish(manager, new UserLoggedOutEvent(userId, id));
    return ended.length > 0;
  }

  async revoke(
    manager: EntityManager,
    which: 'all' | 'one' | 'others',
    userId: string,
    sessionId?: string,
  ): Promise<number> {
    const ended = await endSessions(manager, which, userId, 'revoked', sessionId);
    if (ended.length > 0) this.events.publish(manager, new SessionsRevokedEvent(userId, ended, 'revoked'));
    return ended.length;
  }

  async #endOfUsers(manager: EntityManager, userIds: readonly string[]): Promise<void> {
    for (const { userId, sessionIds } of await endSessionsOfUsers(manager, userIds, 'user_not_active')) {
      this.events.publish(manager, new SessionsRevokedEvent(userId, sessionIds, 'user_not_active'));
    }
  }
}

function isIssuing(row: RotationRow): row is RotationRow & IssuingRow {
  return row.session_id !== null;
}

function invalidRefreshToken(): NestAuthError {
  return new NestAuthError('REFRESH_TOKEN_INVALID', 'The refresh token is not good, or is no longer; sign in again');
}

function noAccess(): NestAuthError {
  return new NestAuthError('ACCESS_NOT_FOUND', 'The user is no active member of the tenant to switch to');
}

function factorNotShown(): NestAuthError {
  return new NestAuthError(
    'SECOND_FACTOR_REQUIRED',
    'The tenant demands a second factor, which this session has not shown; sign in to the tenant by name',
  );
}
