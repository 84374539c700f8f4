import { checkMetadata, InputIssues } from '../errors/input.js';
import type {
  CreateUserContext,
  CreateUserInput,
  IdentityInput,
  LoginProvider,
  UpdateUserInput,
} from './account.types.js';
import { LOGIN_PROVIDERS } from './account.types.js';
import { normaliseEmail, normalisePhone } from './contact.policy.js';
import { isHashedPassword } from './password.service.js';

/** A user as the database will hold it. */
export interface PreparedUser {
  readonly email: string | null;
  readonly emailNorm: string | null;
  readonly phone: string | null;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly isActive: boolean;
  readonly identities: readonly Required<IdentityInput>[];
  readonly roleIds: readonly string[];
  readonly platformRoleIds: readonly string[];
}

/** The changes an update asks for; absent means "as it is". */
export interface PreparedUpdate {
  readonly email?: { readonly typed: string; readonly norm: string } | null;
  readonly phone?: string | null;
  readonly isActive?: boolean;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly expectedVersion?: number;
}

/** As many as anybody was seen to need, and few enough for one statement. */
const MAX_ROLES_PER_CALL = 100;
const MAX_IDENTITIES_PER_CALL = 20;
const MAX_PROVIDER_LENGTH = 64;
const MAX_PROVIDER_ID_LENGTH = 255;

const CREATE_FIELDS = [
  'email',
  'phone',
  'phoneCountryCode',
  'password',
  'isActive',
  'metadata',
  'identities',
  'roleIds',
  'platformRoleIds',
] as const satisfies readonly (keyof CreateUserInput)[];

const UPDATE_FIELDS = [
  'email',
  'phone',
  'phoneCountryCode',
  'isActive',
  'metadata',
  'expectedVersion',
] as const satisfies readonly (keyof UpdateUserInput)[];

const SOURCES = [
  'signup',
  'admin',
  'import',
  'invitation',
  'social',
] as const satisfies readonly CreateUserContext['source'][];

/** Refuses what cannot be a user, naming every field at once; else normalises it. */
export function prepareCreate(input: CreateUserInput, defaultRegion: string | undefined): PreparedUser {
  const issues = new InputIssues();
  issues.fields(input, CREATE_FIELDS);
  const emailNorm = readEmail(issues, input.email);
  const phone = readPhone(issues, input, defaultRegion);
  checkPassword(issues, input.password);
  if (input.isActive !== undefined) issues.boolean('isActive', input.isActive);
  if (input.metadata !== undefined) checkMetadata(issues, 'metadata', input.metadata);
  const identities = readIdentities(issues, input.identities);
  if (input.roleIds !== undefined) issues.uuids('roleIds', input.roleIds, MAX_ROLES_PER_CALL);
  if (input.platformRoleIds !== undefined) issues.uuids('platformRoleIds', input.platformRoleIds, MAX_ROLES_PER_CALL);
  if (input.email == null && input.phone == null && !input.identities?.length) {
    issues.add('email', 'or phone or identities is needed: a user must be recognisable by something');
  }
  issues.refuse('The user cannot be created');
  return {
    email: emailNorm === null ? null : (input.email as string).trim(),
    emailNorm,
    phone,
    metadata: input.metadata ?? {},
    isActive: input.isActive ?? true,
    identities,
    roleIds: distinct(input.roleIds),
    platformRoleIds: distinct(input.platformRoleIds),
  };
}

/** Refuses what cannot be a change of a user; else normalises it. */
export function prepareUpdate(input: UpdateUserInput, defaultRegion: string | undefined): PreparedUpdate {
  const issues = new InputIssues();
  issues.fields(input, UPDATE_FIELDS);
  const norm = readEmail(issues, input.email);
  const phone = readPhone(issues, input, defaultRegion);
  if (input.isActive !== undefined) issues.boolean('isActive', input.isActive);
  if (input.metadata !== undefined) checkMetadata(issues, 'metadata', input.metadata);
  if (input.expectedVersion !== undefined && !Number.isInteger(input.expectedVersion)) {
    issues.add('expectedVersion', 'must be a whole number');
  }
  issues.refuse('The user cannot be updated');
  return {
    ...(input.email === undefined
      ? {}
      : { email: norm === null ? null : { typed: (input.email as string).trim(), norm } }),
    ...(input.phone === undefined ? {} : { phone }),
    ...(input.isActive === undefined ? {} : { isActive: input.isActive }),
    ...(input.metadata === undefined ? {} : { metadata: input.metadata }),
    ...(input.expectedVersion === undefined ? {} : { expectedVersion: input.expectedVersion }),
  };
}

/** Refuses a context before anything is written: hooks and events are handed it afterwards. */
export function checkContext(context: CreateUserContext): void {
  const issues = new InputIssues();
  issues.fields(context, ['source', 'actorId']);
  const { source, actorId } = context;
  if (source !== undefined && !SOURCES.includes(source))
    issues.add('context.source', `must be one of ${SOURCES.join(', ')}`);
  if (actorId !== undefined) issues.text('context.actorId', actorId, { max: 255 });
  issues.refuse('The user cannot be created');
}

export function checkLoginType(type: LoginProvider): void {
  if (LOGIN_PROVIDERS.includes(type)) return;
  const issues = new InputIssues();
  issues.add('type', `must be one of ${LOGIN_PROVIDERS.join(', ')}`);
  issues.refuse('The user cannot be changed');
}

/** A provider account in the form in which it is unique; `email` and `phone` are normalised as the user's own. */
export function prepareIdentity(
  provider: string,
  providerId: string,
  defaultRegion: string | undefined,
): { provider: string; providerId: string } {
  const issues = new InputIssues();
  const value = readProviderId(issues, provider, providerId, defaultRegion);
  issues.refuse('The identity cannot be used');
  return { provider, providerId: value };
}

function readProviderId(
  issues: InputIssues,
  provider: string,
  providerId: string,
  defaultRegion: string | undefined,
): string {
  // Elsewhere null and undefined mean "none"; an identity has an id.
  if (typeof providerId !== 'string') {
    issues.add('providerId', 'must be a string');
    return '';
  }
  if (provider === 'email') return readEmail(issues, providerId, 'providerId') ?? '';
  if (provider === 'phone') return readPhone(issues, { phone: providerId }, defaultRegion, 'providerId') ?? '';
  issues.text('provider', provider, { max: MAX_PROVIDER_LENGTH });
  issues.text('providerId', providerId, { max: MAX_PROVIDER_ID_LENGTH });
  return providerId;
}

function readEmail(issues: InputIssues, email: unknown, path = 'email'): string | null {
  if (email === undefined || email === null) return null;
  if (typeof email !== 'string') {
    issues.add(path, 'must be a string');
    return null;
  }
  const normalised = normaliseEmail(email);
  if ('value' in normalised) return normalised.value;
  issues.add(path, normalised.issue);
  return null;
}

function readPhone(
  issues: InputIssues,
  input: { phone?: unknown; phoneCountryCode?: unknown },
  defaultRegion: string | undefined,
  path = 'phone',
): string | null {
  const { phone, phoneCountryCode: countryCode = null } = input;
  if (countryCode !== null && typeof countryCode !== 'string') issues.add('phoneCountryCode', 'must be a string');
  if (phone === undefined || phone === null) return null;
  if (typeof phone !== 'string') {
    issues.add(path, 'must be a string');
    return null;
  }
  const normalised = normalisePhone(phone, {
    countryCode: typeof countryCode === 'string' ? countryCode : null,
    defaultRegion,
  });
  if ('value' in normalised) return normalised.value;
  issues.add(path, normalised.issue);
  return null;
}

function checkPassword(issues: InputIssues, password: unknown): void {
  if (password === undefined || password === null || typeof password === 'string' || isHashedPassword(password)) return;
  issues.add('password', 'must be a string, or what PasswordService.hash returned');
}

function readIdentities(issues: InputIssues, identities: unknown): Required<IdentityInput>[] {
  if (identities === undefined) return [];
  if (!Array.isArray(identities) || identities.length > MAX_IDENTITIES_PER_CALL) {
    issues.add('identities', `must be an array of at most ${MAX_IDENTITIES_PER_CALL}`);
    return [];
  }
  const seen = new Set<string>();
  return identities.map((identity: IdentityInput, index) => {
    const path = `identities[${index}]`;
    issues.fields(identity, ['provider', 'providerId', 'metadata']);
    issues.text(`${path}.provider`, identity.provider, { max: MAX_PROVIDER_LENGTH });
    issues.text(`${path}.providerId`, identity.providerId, { max: MAX_PROVIDER_ID_LENGTH });
    if (LOGIN_PROVIDERS.some((provider) => provider === identity.provider)) {
      issues.add(`${path}.provider`, 'follows from the fields email and phone');
    }
    if (identity.metadata !== undefined) checkMetadata(issues, `${path}.metadata`, identity.metadata);
    const key = JSON.stringify([identity.provider, identity.providerId]);
    if (seen.has(key)) issues.add(path, 'is there twice');
    seen.add(key);
    return { provider: identity.provider, providerId: identity.providerId, metadata: identity.metadata ?? {} };
  });
}

function distinct(ids: readonly string[] | undefined): string[] {
  return [...new Set((ids ?? []).map((id) => id.toLowerCase()))];
}
