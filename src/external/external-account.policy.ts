import { createHash } from 'node:crypto';
import { normaliseEmail } from '../account/contact.policy.js';
import { InputIssues } from '../errors/input.js';
import { invalidSignIn } from './external-refusals.policy.js';
import type { ExternalIdentity, IdentityProvider } from './external.types.js';

/** As long as the id of an identity may be. */
const MAX_ID_LENGTH = 255;
const MAX_ISSUER_LENGTH = 200;
const MAX_SUBJECT_LENGTH = 255;

/** An account that a provider has shown, in the form in which it is looked up. */
export interface ProvenAccount {
  readonly provider: string;
  readonly providerId: string;
  /** The email as the provider wrote it, and its one form; null unless the provider vouches for it. */
  readonly email: { readonly typed: string; readonly norm: string } | null;
}

/**
 * The id under which an account of a provider is stored: issuer and subject, as no subject is unique without its issuer
 * (OpenID Connect Core, 5.7). For `createUser` with `identities`, when accounts are known before anybody signs in.
 * Throws `VALIDATION_FAILED`.
 */
export function externalAccountId(issuer: string, subject: string): string {
  const issues = new InputIssues();
  issues.text('issuer', issuer, { max: MAX_ISSUER_LENGTH });
  // An issuer is a URL without a fragment, so the first of the two says where it ends.
  if (/[\s#]/.test(issuer)) issues.add('issuer', 'must be a URL without spaces and fragment');
  issues.text('subject', subject, { max: MAX_SUBJECT_LENGTH });
  issues.refuse('The account cannot be named');
  const id = `${issuer} ${subject}`;
  return id.length <= MAX_ID_LENGTH ? id : `${issuer}#${createHash('sha256').update(subject).digest('base64url')}`;
}

/** Believes nothing of what a provider answers but what has the form that was agreed. */
export function proveAccount(provider: IdentityProvider, external: ExternalIdentity | null | undefined): ProvenAccount {
  if (typeof external !== 'object' || external === null) throw invalidSignIn('the provider has answered nobody');
  return {
    provider: provider.name,
    providerId: accountIdOf(external),
    email: provider.trustsEmail === true ? vouchedEmail(external) : null,
  };
}

function accountIdOf({ issuer, subject }: ExternalIdentity): string {
  try {
    return externalAccountId(issuer, subject);
  } catch {
    throw invalidSignIn('what the provider says is no account');
  }
}

/** Read as what anybody may have answered: of a provider in JavaScript a text may come for the truth. */
function vouchedEmail({
  email,
  emailVerified,
}: { readonly [Name in keyof ExternalIdentity]: unknown }): ProvenAccount['email'] {
  if (typeof email !== 'string' || emailVerified !== true) return null;
  const normalised = normaliseEmail(email);
  return 'value' in normalised ? { typed: email.trim(), norm: normalised.value } : null;
}
