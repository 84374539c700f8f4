import { NEST_AUTH_ERRORS, NestAuthError } from '../errors/nest-auth.error.js';

export type RefusalCode =
  | 'UNAUTHENTICATED'
  | 'ACCESS_TOKEN_INVALID'
  | 'API_KEY_INVALID'
  | 'PERMISSION_DENIED'
  | 'TENANT_REQUIRED';

const MESSAGES: Readonly<Record<RefusalCode, string>> = {
  UNAUTHENTICATED: 'Nobody is signed in: the request has no Bearer token',
  ACCESS_TOKEN_INVALID: 'The token is not good, or is no longer; refresh the session',
  API_KEY_INVALID: 'The API key is not good, or is no longer',
  // One answer for a role, a permission and a platform that is missing: it tells nobody what there would be to get.
  PERMISSION_DENIED: 'The caller may not do this',
  TENANT_REQUIRED: 'The session is in no tenant; take it to one with switchTenant',
};

/**
 * A refusal at the door. It has the form of those of `http-errors`, by which Nest answers 401 and 403 also where
 * `NestAuthExceptionFilter` is not used.
 */
export class AccessRefusedError extends NestAuthError<RefusalCode> {
  readonly status: number;
  readonly statusCode: number;
  readonly expose = true;

  constructor(code: RefusalCode, cause?: unknown) {
    super(code, MESSAGES[code], cause === undefined ? {} : { cause });
    this.status = NEST_AUTH_ERRORS[code].status;
    this.statusCode = this.status;
  }
}
