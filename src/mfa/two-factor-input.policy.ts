import { assertUuid, InputIssues } from '../errors/input.js';
import type {
  CompleteSignInInput,
  EnableTwoFactorOptions,
  KeepSessionOptions,
  ResetTwoFactorOptions,
  SecondFactorKind,
  SecondFactorProof,
} from './second-factor.types.js';

const KINDS: readonly SecondFactorKind[] = ['totp', 'email', 'sms'];
const MAX_LABEL = 128;
const MAX_REASON = 500;

/** As the database writes it: what is encrypted for a user names the user so. */
export function readUserId(userId: unknown): string {
  assertUuid('userId', userId);
  return userId.toLowerCase();
}

export function checkEnable(options: EnableTwoFactorOptions): void {
  const issues = new InputIssues();
  issues.fields(options, ['currentPassword', 'sessionId', 'label', 'code', 'recoveryCode']);
  const { currentPassword, sessionId, label } = options;
  if (currentPassword !== undefined && typeof currentPassword !== 'string')
    issues.add('currentPassword', 'must be a string');
  if (sessionId !== undefined) issues.uuid('sessionId', sessionId);
  if (label !== undefined) issues.text('label', label, { max: MAX_LABEL });
  issues.refuse('The second factor cannot be enrolled');
}

export function checkCode(code: unknown): void {
  const issues = new InputIssues();
  if (typeof code !== 'string') issues.add('code', 'must be a string');
  issues.refuse('The second factor cannot be confirmed');
}

/** The session that goes on; null for none. */
export function readKeepSession(options: KeepSessionOptions): string | null {
  const issues = new InputIssues();
  issues.fields(options, ['keepSessionId']);
  if (options.keepSessionId !== undefined) issues.uuid('keepSessionId', options.keepSessionId);
  issues.refuse('The second factor cannot be changed');
  return options.keepSessionId ?? null;
}

export function checkProof(proof: SecondFactorProof): void {
  const issues = new InputIssues();
  issues.fields(proof, ['code', 'recoveryCode']);
  checkOneProof(issues, proof);
  issues.refuse('The second factor cannot be shown');
}

export function checkCompletion(input: CompleteSignInInput): void {
  const issues = new InputIssues();
  issues.fields(input, ['challengeToken', 'code', 'recoveryCode', 'method', 'trustDevice']);
  if (typeof input.challengeToken !== 'string') issues.add('challengeToken', 'must be a string');
  checkOneProof(issues, input);
  if (input.method !== undefined && !KINDS.includes(input.method))
    issues.add('method', `must be one of ${KINDS.join(', ')}`);
  if (input.trustDevice !== undefined) issues.boolean('trustDevice', input.trustDevice);
  issues.refuse('The sign-in cannot be completed');
}

/** The reason; null for none. */
export function readReset(options: ResetTwoFactorOptions): string | null {
  const issues = new InputIssues();
  issues.fields(options, ['reason']);
  if (options.reason !== undefined) issues.text('reason', options.reason, { max: MAX_REASON });
  issues.refuse('The second factor cannot be reset');
  return options.reason ?? null;
}

function checkOneProof(issues: InputIssues, { code, recoveryCode }: SecondFactorProof): void {
  if ((code === undefined) === (recoveryCode === undefined))
    issues.add('code', 'or recoveryCode must be given, one of the two');
  if (code !== undefined && typeof code !== 'string') issues.add('code', 'must be a string');
  if (recoveryCode !== undefined && typeof recoveryCode !== 'string') issues.add('recoveryCode', 'must be a string');
}
