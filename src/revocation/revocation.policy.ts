import { NestAuthEvents, type NestAuthEvent, type NestAuthEventName } from '../events/nest-auth.events.js';

/**
 * What has changed, in one word: `kind:id:id`. The triggers of the database tell it to other processes, the events to
 * this one; whatever was read under such a tag is read again.
 */
export type RevocationTag = string;

/** Ids in the case of the database, whichever the caller has written. */
const tag = (kind: string, ...ids: readonly string[]): RevocationTag => [kind, ...ids].join(':').toLowerCase();

export const revocationTag = {
  /** Status, stamp or existence of a user. */
  user: (userId: string): RevocationTag => tag('user', userId),
  /** A session of the user. */
  sessions: (userId: string): RevocationTag => tag('sessions', userId),
  /** Status or roles of an access; without a tenant, of the access to the platform. */
  access: (userId: string, tenantId: string | null): RevocationTag =>
    tenantId === null ? tag('access', userId) : tag('access', userId, tenantId),
  tenant: (tenantId: string): RevocationTag => tag('tenant', tenantId),
  /** What a role grants. */
  role: (roleId: string): RevocationTag => tag('role', roleId),
  /** What any of the roles may grant. */
  roles: 'roles',
} as const;

/** The events that carry what is told, by what they take away. */
interface Facts {
  readonly user?: { readonly id: string };
  readonly userId?: string;
  readonly tenantId?: string;
  readonly tenant?: { readonly id: string };
  readonly role?: { readonly id: string };
  readonly roleId?: string;
}

type TagOf = (event: Facts) => RevocationTag;

const user: TagOf = (event) => revocationTag.user(event.user?.id as string);
const owner: TagOf = (event) => revocationTag.user(event.userId as string);
const sessions: TagOf = (event) => revocationTag.sessions(event.userId as string);
const access: TagOf = (event) => revocationTag.access(event.userId as string, event.tenantId ?? null);
const tenant: TagOf = (event) => revocationTag.tenant((event.tenant?.id ?? event.tenantId) as string);
const role: TagOf = (event) => revocationTag.role((event.role?.id ?? event.roleId) as string);
const roles: TagOf = () => revocationTag.roles;

const E = NestAuthEvents;

/**
 * What every event takes away; nothing for what only adds, because nobody keeps that there is nothing. A new event has to
 * be given its place before it compiles.
 */
const TAGS: Readonly<Record<NestAuthEventName, TagOf | null>> = {
  [E.USER_REGISTERED]: null,
  [E.USER_CREATED]: null,
  [E.USER_UPDATED]: user,
  [E.USER_DELETED]: user,
  [E.USER_ACTIVATED]: user,
  [E.USER_REACTIVATED]: user,
  [E.USER_DEACTIVATED]: user,
  [E.USER_DISABLED]: user,
  [E.USER_SOFT_DELETED]: user,
  [E.USER_RESTORED]: user,
  [E.USER_DELETION_SCHEDULED]: user,
  [E.USER_DELETION_CANCELED]: user,
  [E.USER_LEGAL_HOLD_SET]: null,
  [E.USER_LEGAL_HOLD_RELEASED]: null,
  [E.USER_LOGGED_IN]: null,
  [E.USER_LOGIN_FAILED]: null,
  [E.USER_UNLOCKED]: null,
  [E.USER_LOGGED_OUT]: sessions,
  [E.VERIFICATION_REQUESTED]: null,
  [E.EMAIL_CHANGE_REQUESTED]: null,
  [E.PHONE_CHANGE_REQUESTED]: null,
  [E.PASSWORD_RESET_REQUESTED]: null,
  [E.PASSWORD_RESET]: sessions,
  [E.SECOND_FACTOR_CODE_REQUESTED]: null,
  [E.TRUSTED_DEVICE_ADDED]: null,
  [E.TRUSTED_DEVICES_REVOKED]: null,
  [E.SESSION_TENANT_SWITCHED]: sessions,
  [E.SESSIONS_REVOKED]: sessions,
  [E.REFRESH_TOKEN_REUSED]: sessions,
  [E.SECOND_FACTOR_BEGUN]: null,
  [E.SECOND_FACTOR_ENABLED]: owner,
  [E.SECOND_FACTOR_DISABLED]: owner,
  [E.SECOND_FACTOR_RESET]: owner,
  [E.SECOND_FACTOR_CHALLENGED]: null,
  [E.RECOVERY_CODES_REPLACED]: null,
  [E.RECOVERY_CODE_USED]: null,
  [E.USER_ACCESS_CHANGED]: access,
  [E.USER_ACCESS_DELETED]: access,
  [E.USER_ACCESS_PERMISSION_CHANGED]: access,
  [E.PLATFORM_ACCESS_CHANGED]: access,
  [E.PLATFORM_ACCESS_PERMISSION_CHANGED]: access,
  [E.INVITATION_SENT]: null,
  [E.INVITATION_RESENT]: null,
  [E.INVITATION_ACCEPTED]: null,
  [E.INVITATION_DECLINED]: null,
  [E.INVITATION_REVOKED]: null,
  [E.TENANT_CREATED]: null,
  [E.TENANT_UPDATED]: tenant,
  [E.TENANT_DELETED]: tenant,
  [E.TENANT_BYPASSED]: null,
  [E.ROLE_CREATED]: null,
  [E.ROLE_UPDATED]: role,
  [E.ROLE_DELETED]: role,
  [E.ROLE_PERMISSIONS_CHANGED]: role,
  [E.ROLE_PARENTS_CHANGED]: roles,
  [E.PERMISSION_CREATED]: null,
  [E.PERMISSION_UPDATED]: roles,
  [E.PERMISSION_DELETED]: roles,
  // A key is asked for every time, so that nobody keeps anything of it.
  [E.API_KEY_CREATED]: null,
  [E.API_KEY_ROTATED]: null,
  [E.API_KEY_REVOKED]: null,
  [E.SERVICE_ACCOUNT_CREATED]: null,
  [E.SERVICE_ACCOUNT_ENABLED]: null,
  [E.SERVICE_ACCOUNT_DISABLED]: null,
  [E.SERVICE_ACCOUNT_DELETED]: null,
};

export function tagOfEvent(event: NestAuthEvent): RevocationTag | null {
  return TAGS[event.name]?.(event as Facts) ?? null;
}
