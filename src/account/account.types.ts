import type { HashedPassword } from './hashed-password.js';

/** Where an account stands. Only `ACTIVE` may sign in or is granted anything. */
export enum UserStatusEnum {
  PENDING = 'pending',
  ACTIVE = 'active',
  INACTIVE = 'inactive',
  DISABLED = 'disabled',
  SCHEDULED_DELETION = 'scheduled_deletion',
}

/** The identities that every email and phone has by itself; more providers are named by the host. */
export const LOGIN_PROVIDERS = ['email', 'phone'] as const;
export type LoginProvider = (typeof LOGIN_PROVIDERS)[number];

/** JSON of the host, kept as it is: at most 64 KiB, 8 levels and 256 keys a level. */
export type Metadata = Readonly<Record<string, unknown>>;

/** A provider account that belongs to the user from the start. */
export interface IdentityInput {
  /** The provider's name, such as `google`. `email` and `phone` follow from the user's own fields. */
  readonly provider: string;
  /**
   * The account's stable id at the provider, never its email. For one of `identityProviders` what `externalAccountId`
   * makes of issuer and subject.
   */
  readonly providerId: string;
  readonly metadata?: Metadata;
}

/** An entity, or a part of one, does not pass for an input: what it may hold are the fields named there. */
interface NotAnEntity {
  readonly id?: never;
}

/** What `createUser` takes. At least one of `email`, `phone` and `identities` is needed. */
export interface CreateUserInput extends NotAnEntity {
  /** As typed; compared without regard to case or Unicode form. */
  readonly email?: string | null;
  /** International (`+49151…`), or national with `phoneCountryCode` or the option `phone.defaultRegion`. */
  readonly phone?: string | null;
  /** Calling code of a national `phone`: `+49`, `49`, or a region such as `DE`. */
  readonly phoneCountryCode?: string | null;
  /** Plain text, hashed before the first statement; or what `PasswordService.hash` returned. */
  readonly password?: string | HashedPassword | null;
  /** `false` creates the account as `PENDING`. @default true */
  readonly isActive?: boolean;
  readonly metadata?: Metadata;
  readonly identities?: readonly IdentityInput[];
  /** Roles in the tenant; needs a tenant. */
  readonly roleIds?: readonly string[];
  /** Roles of the admin guard; makes a platform user. */
  readonly platformRoleIds?: readonly string[];
}

/** What `updateUser` takes; absent fields stay as they are. */
export interface UpdateUserInput extends NotAnEntity {
  /** `null` removes it. A new address starts unverified. */
  readonly email?: string | null;
  readonly phone?: string | null;
  readonly phoneCountryCode?: string | null;
  readonly isActive?: boolean;
  /** Merged into what is there, key by key; `null` removes a key. */
  readonly metadata?: Metadata;
  /** Refuses with `STALE_VERSION` when the row has another version. */
  readonly expectedVersion?: number;
}

/** Why and by whom a user is created; handed to hooks and events unchanged. */
export interface CreateUserContext {
  /** `signup` also announces `UserRegisteredEvent`. @default 'admin' */
  readonly source?: 'signup' | 'admin' | 'import' | 'invitation' | 'social';
  readonly actorId?: string;
  /** Told by `acceptInvitation`, and by nobody else: the invitation, with what the application has put into it. */
  readonly invitation?: { readonly id: string; readonly metadata: Metadata };
}

/** What happened to one row of `createUsers`. */
export interface CreateUsersRow<User> {
  /** Position in the input. */
  readonly index: number;
  readonly user?: User;
  /** Why the row was refused; the others are not affected. */
  readonly error?: import('../errors/nest-auth.error.js').NestAuthError;
}

/** The outcome of `createUsers`. */
export interface CreateUsersResult<User> {
  readonly created: number;
  readonly refused: number;
  readonly rows: readonly CreateUsersRow<User>[];
}

/** Settings of `createUsers`. */
export interface CreateUsersOptions {
  readonly tenantId?: string;
  /** Rows a statement, and a transaction when none is joined. @default 500 */
  readonly chunkSize?: number;
  readonly context?: CreateUserContext;
  /** Checks every row against the database and writes none. @default false */
  readonly dryRun?: boolean;
  readonly onProgress?: (done: number, total: number) => void;
}
