import type { EntityManager } from 'typeorm';
import type { Metadata } from './account.types.js';
import type { HashedPassword } from './hashed-password.js';
import type { NestAuthIdentity } from './identity.entity.js';
import type { NestAuthUser } from './user.entity.js';

/** What a user entity's own helpers delegate to. */
export interface AccountPort {
  findOrCreateIdentity(
    user: NestAuthUser,
    provider: string,
    providerId: string,
    manager?: EntityManager,
  ): Promise<NestAuthIdentity>;
  updateOrCreateIdentity(
    user: NestAuthUser,
    provider: string,
    data: UpdateIdentityInput,
    manager?: EntityManager,
  ): Promise<NestAuthIdentity>;
  updateEmail(user: NestAuthUser, email: string | null, manager?: EntityManager): Promise<void>;
  updatePhone(user: NestAuthUser, phone: string | null, manager?: EntityManager): Promise<void>;
  setPassword(user: NestAuthUser, password: string | HashedPassword | null, manager?: EntityManager): Promise<void>;
  validatePassword(user: NestAuthUser, password: string, manager?: EntityManager): Promise<boolean>;
}

/** What `updateOrCreateIdentity` takes. */
export interface UpdateIdentityInput {
  /** Absent: the account stays, only its metadata changes. */
  readonly providerId?: string;
  /** Merged into what is there. */
  readonly metadata?: Metadata;
}
