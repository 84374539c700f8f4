import { normaliseEmail } from '../account/contact.policy.js';
import { isHashedPassword } from '../account/password.service.js';
import type { Metadata } from '../account/account.types.js';
import { assertUuid, checkMetadata, InputIssues, isUuid } from '../errors/input.js';
import { readToken } from '../secret/one-time-secret.policy.js';
import { PAGE_FIELDS } from '../transaction/keyset.js';
import { invitationInvalid } from './invitation-refusals.policy.js';
import {
  type AcceptInvitationInput,
  InvitationStatusEnum,
  type ListInvitationsOptions,
  type SendInvitationInput,
} from './invitation.types.js';

/** As many as one access can be given by a call. */
const MAX_ROLES = 100;

const SEND_FIELDS = [
  'email',
  'tenantId',
  'roleIds',
  'invitedBy',
  'metadata',
] as const satisfies readonly (keyof SendInvitationInput)[];
const ACCEPT_FIELDS = [
  'token',
  'userId',
  'password',
  'metadata',
] as const satisfies readonly (keyof AcceptInvitationInput)[];
const LIST_FIELDS = [
  ...PAGE_FIELDS,
  'tenantId',
  'status',
  'email',
] as const satisfies readonly (keyof ListInvitationsOptions)[];

/** An invitation as it can be written. */
export interface PreparedInvitation {
  readonly email: string;
  readonly emailNorm: string;
  readonly roleIds: readonly string[];
  readonly metadata: Metadata;
}

/** `actorId`: the user who acts; null for nobody. */
export function prepareSend(input: SendInvitationInput, actorId: string | null): PreparedInvitation {
  const issues = new InputIssues();
  issues.fields(input, SEND_FIELDS);
  const { email, tenantId, roleIds = [], invitedBy, metadata = {} } = input;
  const norm = readEmail(issues, email);
  issues.uuid('tenantId', tenantId);
  issues.uuids('roleIds', roleIds, MAX_ROLES);
  if (invitedBy != null) {
    issues.uuid('invitedBy', invitedBy);
    if (isUuid(invitedBy) && actorId !== null && invitedBy.toLowerCase() !== actorId.toLowerCase())
      issues.add('invitedBy', 'must be left out, or be the user who acts: nobody invites in the name of another');
  }
  checkMetadata(issues, 'metadata', metadata);
  issues.refuse('The invitation cannot be sent');
  const distinct = [...new Set(roleIds.map((id) => id.toLowerCase()))];
  return { email: email.trim(), emailNorm: norm, roleIds: distinct, metadata };
}

export function checkAccept(input: AcceptInvitationInput): void {
  const issues = new InputIssues();
  issues.fields(input, ACCEPT_FIELDS);
  const { token, userId, password, metadata } = input;
  if (typeof token !== 'string') issues.add('token', 'must be a string');
  if (userId != null) issues.uuid('userId', userId);
  if (password != null && typeof password !== 'string' && !isHashedPassword(password))
    issues.add('password', 'must be a string, or what PasswordService.hash returned');
  if (metadata !== undefined) checkMetadata(issues, 'metadata', metadata);
  issues.refuse('The invitation cannot be accepted');
}

/** The token of an input that has nothing else. */
export function tokenOfInput(input: { readonly token: string }): string {
  const issues = new InputIssues();
  issues.fields(input, ['token']);
  if (typeof input.token !== 'string') issues.add('token', 'must be a string');
  issues.refuse('The invitation cannot be looked up');
  return input.token;
}

/** Whose token it is, and its hash; `INVITATION_INVALID` for what cannot be one. */
export function readInvitationToken(token: unknown): { readonly id: string; readonly hash: Buffer } {
  const read = readToken(token);
  if (read === null) throw invitationInvalid();
  return { id: read.holderId, hash: read.hash };
}

export function assertKey(id: string, tenantId: string): void {
  assertUuid('id', id);
  assertUuid('tenantId', tenantId);
}

/** The statuses and the address that a list is narrowed to; null for all. */
export function checkList(options: ListInvitationsOptions): { statuses: string[] | null; emailNorm: string | null } {
  const issues = new InputIssues();
  issues.fields(options, LIST_FIELDS);
  const { tenantId, status, email } = options;
  issues.uuid('tenantId', tenantId);
  const statuses = status === undefined ? null : [status].flat();
  const known: readonly unknown[] = Object.values(InvitationStatusEnum);
  if (statuses?.every((one) => known.includes(one)) === false)
    issues.add('status', `must be among ${known.join(', ')}`);
  const emailNorm = email === undefined ? null : readEmail(issues, email);
  issues.refuse('The invitations cannot be listed');
  return { statuses, emailNorm };
}

function readEmail(issues: InputIssues, email: unknown): string {
  const normalised = typeof email === 'string' ? normaliseEmail(email) : { issue: 'must be a string' };
  if ('value' in normalised) return normalised.value;
  issues.add('email', normalised.issue);
  return '';
}
