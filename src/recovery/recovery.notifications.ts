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

/** Links and codes that were asked for; and, for whom it might be news, that email, phone or password are others now. */
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

/** The address of before is told of another one; of a password the address that the user had then. */
function noticeOf(event: IdentityEvent): DraftedNotification | null {
  const { before, after, details, userId, tenantId, occurredAt } = event;
  const about = { userId, tenantId, occurredAt };
  const wasReplaced = (field: string): string | null => {
    const old = before?.[field];
    return typeof old === 'string' && after !== null && field in after ? old : null;
  };
  const email = wasReplaced('email');
  if (email !== null) return { ...about, channel: 'email', kind: 'email_changed', to: email };
  const phone = wasReplaced('phone');
  if (phone !== null) return { ...about, channel: 'sms', kind: 'phone_changed', to: phone };
  const to = details?.['email'];
  if (after?.['password'] !== 'changed' || typeof to !== 'string') return null;
  return { ...about, channel: 'email', kind: 'password_changed', to };
}
