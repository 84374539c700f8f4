import type { INestApplicationContext } from '@nestjs/common';

import {
  AuthService,
  generateSessionKeys,
  type HashedPassword,
  InvitationService,
  type NestAuthModuleOptions,
  PasswordRecoveryService,
  PasswordService,
  SessionService,
  UserLifecycleService,
  UserService,
} from '../../src/index.js';
import type { Seed } from '../support/nest-app.js';

export const PASSWORD = 'correct horse battery staple';
export const NEW_PASSWORD = 'seven purple otters dance';

/** Lets people sign in. Nothing here is about how strong a hash is, or how often one may call. */
export const SIGN_IN: NestAuthModuleOptions = {
  session: { keys: generateSessionKeys() },
  secrets: { keys: [{ id: 'k1', secret: 'thirty-two characters of chance!' }] },
  password: { memoryKiB: 7_168, iterations: 5, parallelism: 1 },
  rateLimits: { enabled: false },
};

/** What an operation needs of the application. */
export interface Host {
  readonly users: UserService;
  readonly lifecycle: UserLifecycleService;
  readonly auth: AuthService;
  readonly sessions: SessionService;
  readonly recovery: PasswordRecoveryService;
  readonly invitations: InvitationService;
  /** {@link PASSWORD}, hashed once for everybody who has it. */
  readonly password: HashedPassword;
  readonly seed: Seed;
}

export async function hostOf(context: INestApplicationContext, seed: Seed): Promise<Host> {
  return {
    users: context.get(UserService),
    lifecycle: context.get(UserLifecycleService),
    auth: context.get(AuthService),
    sessions: context.get(SessionService),
    recovery: context.get(PasswordRecoveryService),
    invitations: context.get(InvitationService),
    password: await context.get(PasswordService).hash(PASSWORD),
    seed,
  };
}
