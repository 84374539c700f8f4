/** Who did something: a person, another program, a job of this application, or nobody who is known. */
export const ActorTypeEnum = {
  USER: 'user',
  SERVICE: 'service',
  JOB: 'job',
  SYSTEM: 'system',
  ANONYMOUS: 'anonymous',
} as const;

export type ActorTypeEnum = (typeof ActorTypeEnum)[keyof typeof ActorTypeEnum];

export interface Actor {
  readonly type: ActorTypeEnum;
  /** The user's id, or the name of the service or job. */
  readonly id?: string | undefined;
}

/** What is known about the request or job that the running code works for. */
export interface IdentityFacts {
  /** @default `{ type: 'system' }` */
  readonly actor?: Actor | undefined;
  /** Id of the user who acts in the name of `actor`. */
  readonly impersonatorId?: string | undefined;
  /** The session in which a user does it. */
  readonly sessionId?: string | undefined;
  /** The tenant that activities belong to when nothing else tells. */
  readonly tenantId?: string | undefined;
  /** IPv4 or IPv6 address. */
  readonly ip?: string | undefined;
  /** Cut after 512 characters. */
  readonly userAgent?: string | undefined;
  /** Cut after 200 characters. */
  readonly requestId?: string | undefined;
}
