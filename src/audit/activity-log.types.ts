import { NestAuthEvents } from '../events/nest-auth.events.js';
import type { NestAuthActivity } from './activity.entity.js';
import type { ActorTypeEnum } from './activity.types.js';
import type { Page, PageOptions } from '../transaction/keyset.js';

/**
 * What happens in the life of a user, by the names that the log uses.
 *
 * Most of it the package writes by itself. What it cannot know, such as a sign-in that is the host's, is written with
 * `ActivityService.logActivity`.
 */
export const UserActivityTypeEnum = {
  REGISTER: NestAuthEvents.USER_REGISTERED,
  ACTIVATE: NestAuthEvents.USER_ACTIVATED,
  LOGIN: NestAuthEvents.USER_LOGGED_IN,
  LOGIN_FAILED: 'nest_auth.user.login_failed',
  LOGOUT: 'nest_auth.user.logged_out',
  /** One name for the three: `before` and `after` tell what was changed. */
  UPDATE_EMAIL: NestAuthEvents.USER_UPDATED,
  UPDATE_PASSWORD: NestAuthEvents.USER_UPDATED,
  UPDATE_PROFILE: NestAuthEvents.USER_UPDATED,
  DEACTIVATE: NestAuthEvents.USER_DEACTIVATED,
  DISABLE: NestAuthEvents.USER_DISABLED,
  SOFT_DELETE: NestAuthEvents.USER_SOFT_DELETED,
  SCHEDULE_DELETION: NestAuthEvents.USER_DELETION_SCHEDULED,
} as const;

export type UserActivityTypeEnum = (typeof UserActivityTypeEnum)[keyof typeof UserActivityTypeEnum];

/** Written by retention into the log itself: everything before `details.before` is gone on purpose. */
export const ACTIVITIES_DROPPED = 'nest_auth.activities.dropped';

/** An activity of the host's own. Who did it, and by which request, is taken from `IdentityContext`. */
export interface LogActivityInput {
  /** One of {@link UserActivityTypeEnum}, or a name of your own such as `crm.note_added`; never under `nest_auth.`. */
  readonly type: string;
  /** Whom it is about. */
  readonly userId?: string | undefined;
  /** @default that of the context, or of row-level security; else none */
  readonly tenantId?: string | undefined;
  /** What it is about: lower-case, such as `invoice`. @default 'user' with a `userId`; required without */
  readonly subjectType?: string | undefined;
  /** @default `userId`, unless `subjectType` is given */
  readonly subjectId?: string | undefined;
  /** What went, came, and else helps to understand it. Values of keys that sound like a secret are not kept. */
  readonly before?: Readonly<Record<string, unknown>> | undefined;
  readonly after?: Readonly<Record<string, unknown>> | undefined;
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

/** Which activities; all conditions must hold. */
export interface ActivityFilter {
  readonly userId?: string | undefined;
  readonly tenantId?: string | undefined;
  /** One or several. */
  readonly type?: string | readonly string[] | undefined;
  readonly actorId?: string | undefined;
  readonly actorType?: ActorTypeEnum | undefined;
  /** Not before. */
  readonly from?: Date | undefined;
  /** Before. */
  readonly to?: Date | undefined;
}

/** Largest `limit` of a page of activities. */
export const MAX_ACTIVITIES_PER_PAGE = 500;
export const DEFAULT_ACTIVITIES_PER_PAGE = 50;

export type ActivityPageOptions = Pick<PageOptions, 'limit' | 'after' | 'replica'>;

export type ActivityPage = Page<NestAuthActivity>;

export const ACTIVITY_EXPORT_FORMATS = ['jsonl', 'csv'] as const;

export interface ExportActivitiesOptions {
  /** One JSON object a line, or comma-separated values with a header (RFC 4180). */
  readonly format: (typeof ACTIVITY_EXPORT_FORMATS)[number];
}
