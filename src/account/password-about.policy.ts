import type { PasswordAbout } from './password-policy.types.js';

/** `name`, `firstName`, `companyName`: hosts keep them in metadata. */
const NAME_LIKE = /name$/i;
const MAX_NAMES = 50;

/** What a user's own data tell about their password. */
export function aboutUser({
  email = null,
  phone = null,
  metadata,
}: {
  readonly email?: string | null | undefined;
  readonly phone?: string | null | undefined;
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
}): PasswordAbout {
  const names = Object.entries(metadata ?? {}).filter(([key]) => NAME_LIKE.test(key));
  const identifiers = names.map(([, value]) => value).filter((value) => typeof value === 'string');
  return { email, phone, identifiers: identifiers.slice(0, MAX_NAMES) };
}
