import type { Page, PageOptions } from '../transaction/keyset.js';
import type { UserStatusEnum } from './account.types.js';
import type { NestAuthUser } from './user.entity.js';

/** Largest `limit` of a list of users. */
export const MAX_USERS_PER_PAGE = 200;
export const DEFAULT_USERS_PER_PAGE = 20;

/** Relations of a user that can be loaded with it. */
export interface UserRelations {
  readonly identities?: true;
  readonly userAccesses?: true | { readonly tenant?: true; readonly roles?: true | { readonly permissions?: true } };
  readonly platformAccess?: true | { readonly roles?: true | { readonly permissions?: true } };
}

/** Settings of a look-up of one user. */
export interface GetUserOptions {
  readonly relations?: UserRelations;
}

/** Which users, and how many. Lists are in order of creation. */
export interface GetUsersOptions extends PageOptions {
  /** Members of this tenant only. */
  readonly tenantId?: string;
  readonly status?: UserStatusEnum | readonly UserStatusEnum[];
  readonly isActive?: boolean;
  /** Soft-deleted users only, who are in no other list: for the screen that restores them. @default false */
  readonly softDeleted?: boolean;
  /** Holders of this role, in `tenantId` when that is given. */
  readonly role?: { readonly name: string; readonly guard: string };
  /** Users with platform access only. */
  readonly platform?: boolean;
  /** Beginning of the email or of the phone number; at least two characters, taken literally. */
  readonly search?: string;
  /** @default 'asc' */
  readonly sortOrder?: 'asc' | 'desc';
  readonly relations?: UserRelations;
}

export type UserPage = Page<NestAuthUser>;
