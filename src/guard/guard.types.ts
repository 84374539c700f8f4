import type { ApiKeyPrincipal } from '../api-key/api-key.types.js';
import type { OneOrMore, PermissionName, RoleName } from './names.types.js';

/** Who is signed in, as the verified session says it. */
export interface AuthPrincipal {
  readonly type: 'user';
  readonly userId: string;
  readonly sessionId: string;
  /** The tenant that the session is in; null for none. */
  readonly tenantId: string | null;
  /** When the access token runs out. */
  readonly expiresAt: Date;
}

/** Another program that has shown its token. */
export interface ServicePrincipal {
  readonly type: 'service';
  readonly name: string;
  /** What it may do, as the option `guard.services` says it. */
  readonly permissions: readonly string[];
}

/** Who calls: somebody who is signed in, a key of a user or of a service account, or another program. */
export type Principal = AuthPrincipal | ApiKeyPrincipal | ServicePrincipal;

/** What a caller must have. All that is named must be fulfilled; at least one thing must be named. */
export interface AccessRequirement {
  /** One of these roles of the system; a tenant's own role of the same name is another. */
  readonly roles?: OneOrMore<RoleName> | undefined;
  /** All of these permissions. */
  readonly permissions?: OneOrMore<PermissionName> | undefined;
  /** One of these permissions. */
  readonly anyPermission?: OneOrMore<PermissionName> | undefined;
  /**
   * Active access to the platform; roles and permissions are then those on the platform. A tenant never gives any of it.
   * @default false: roles and permissions are those in the tenant of the session
   */
  readonly platform?: boolean | undefined;
}

/** A program that may call, with the hashes of its tokens and never the tokens. */
export interface ServiceOptions {
  /** Lower-case letters, digits and `-`: names it in its tokens and in the activity log. */
  readonly name: string;
  /** One, or two while the token is being changed: `hash` of `generateServiceToken`. */
  readonly secretHashes: readonly string[];
  /** Names of the permissions it has; wildcards as with roles, which is why these are not narrowed. @default [] */
  readonly permissions?: readonly string[];
}

/** What `AuthGuard` and the other guards need. */
export interface GuardOptions {
  /** Programs that may call what is `@ServiceOnly`. @default [] none, so that all of that is refused */
  readonly services?: readonly ServiceOptions[];
  /**
   * Whether the guards for users also let in whoever has an API key, as `Authorization: Bearer …` or `X-API-Key: …`:
   * where the handler asks for permissions, and the key has them, or where it is marked `@AllowApiKeys`. @default false
   */
  readonly apiKeys?: boolean;
  /**
   * What happens when a decorator names a role or permission that the database does not have: `throw` keeps the
   * application from starting. With `warn`, for scripts that make them, it starts and refuses whoever would need one.
   * @default 'throw'
   */
  readonly unknownNames?: 'throw' | 'warn';
}
