import type { EntityManager } from 'typeorm';
import type { DraftedNotification, NotificationSource } from '../delivery/notification.types.js';
import { NestAuthEvents, type NestAuthEventName } from '../events/nest-auth.events.js';
import type { IdentityEvent } from '../feed/feed.types.js';
import type { OneTimeTokenOperations } from './one-time-token.operations.js';
import { findTokenToSend, type TokenToSend } from './one-time-token.queries.js';
import type { RevealedProof } from './recovery.types.js';

const REQUESTS: readonly NestAuthEventName[] = [
  NestAuthEvents.VERIFICATION_REQUESTED,
  NestAuthEvents.EMAIL_CHANGE_REQUESTED,
  NestAuthEvents.PHONE_CHANGE_REQUESTED,
  NestAuthEvents.PASSWORD_RESET_REQUESTED,
];

/** Links and codes that were asked for; and, for whom it might be news, that email or password are others now. */
export class RecoveryNotifications implements NotificationSource {
  readonly types = [...REQUESTS, NestAuthEvents.USER_UPDATED];

  constructor(private readonly tokens: OneTimeTokenOperations) {}

  async draft(manager: EntityManager, event: IdentityEvent): Promise<DraftedNotification | null> {
    return event.type === NestAuthEvents.USER_UPDATED ? noticeOf(event) : this.#proofOf(manager, event);
  }

  /** Made again from the row of this issue, as long as that is the one that can be used. */
  async #proofOf(manager: EntityManager, event: IdentityEvent): Promise<DraftedNotification | null> {
    const { userId, details } = event;
    const issueId = details?.['issueId'];
    if (userId === null || typeof issueId !== 'string') return null;
    const token = await findTokenToSend(manager, userId, issueId);
    if (token === null) return null;
    const seed = { keyId: token.key_id, salt: token.salt };
    const proof = this.tokens.reveal(token.purpose, token.form, userId, seed);
    return proof === null ? null : drafted(event, token, proof);
  }
}

function drafted(
  { userId, tenantId }: IdentityEvent,
  { purpose, address, expires_at: expiresAt }: TokenToSend,
  proof: RevealedProof,
): DraftedNotification | null {
  const isPhone = purpose === 'phone_verification' || purpose === 'phone_change';
  const about = { channel: isPhone ? 'sms' : 'email', to: address, userId, tenantId, expiresAt } as const;
  if ('token' in proof) return isPhone ? null : { ...about, kind: purpose, token: proof.token };
  if (purpose === 'password_reset' || purpose === 'email_change') return null;
  return { ...about, kind: `${purpose}_code`, code: proof.code };
}

/** The phone number of before is told of another one: by itself, because one event may be about the email, too. */
export class PhoneChangeNotifications implements NotificationSource {
  readonly types = [NestAuthEvents.USER_UPDATED];

  async draft(_manager: EntityManager, event: IdentityEvent): Promise<DraftedNotification | null> {
    const { userId, tenantId, occurredAt } = event;
    const to = replacedOf(event, 'phone');
    return to === null ? null : { userId, tenantId, occurredAt, channel: 'sms', kind: 'phone_changed', to };
  }
}

/** What the event says that a user had before in a place where there is something else now, or nothing. */
function replacedOf({ before, after }: IdentityEvent, field: 'email' | 'phone'): string | null {
  const old = before?.[field];
  return typeof old === 'string' && after !== null && field in after ? old : null;
}

/** The email of before is told of another one; of a password the address that the user had then. */
function noticeOf(event: IdentityEvent): DraftedNotification | null {
  const { after, details, userId, tenantId, occurredAt } = event;
  const about = { userId, tenantId, occurredAt };
  const email = replacedOf(event, 'email');
  if (email !== null) return { ...about, channel: 'email', kind: 'email_changed', to: email };
  const to = details?.['email'];
  if (after?.['password'] !== 'changed' || typeof to !== 'string') return null;
  return { ...about, channel: 'email', kind: 'password_changed', to };
}
