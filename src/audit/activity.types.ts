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

/** The key by which something is done: it bounds what may be given, as docs/api-keys.md says. */
export interface ActingKey {
  readonly id: string;
  /** The tenant in which the key works; null for the platform. */
  readonly tenantId: string | null;
  /** Names of permissions, and wildcards, beyond which the key opens nothing. */
  readonly scopes: readonly string[];
}

/** What is known about the request or job that the running code works for. */
export interface IdentityFacts {
  /** @default `{ type: 'system' }` */
  readonly actor?: Actor | undefined;
  /** Id of the user who acts in the name of `actor`. */
  readonly impersonatorId?: string | undefined;
  /** The session in which a user does it. */
  readonly sessionId?: string | undefined;
  /** The API key by which it is done; it goes with `actor`, and does not outlive another one. */
  readonly apiKey?: ActingKey | undefined;
  /** The tenant that activities belong to when nothing else tells. */
  readonly tenantId?: string | undefined;
  /** IPv4 or IPv6 address. */
  readonly ip?: string | undefined;
  /** Cut after 512 characters. */
  readonly userAgent?: string | undefined;
  /** Cut after 200 characters. */
  readonly requestId?: string | undefined;
}
