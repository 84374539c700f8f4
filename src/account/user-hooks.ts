import type { EntityManager } from 'typeorm';
import type { LifecycleCommand } from '../lifecycle/transitions.policy.js';
import type { CreateUserContext, CreateUserInput, UpdateUserInput } from './account.types.js';
import type { NestAuthUser } from './user.entity.js';

/** An input as hooks see it: the password is hashed before they run. */
export type CreateUserHookInput = Omit<CreateUserInput, 'password'>;

/** A change as hooks see it: the fields of `updateUser`, and what other methods change. Never the password itself. */
export interface UserChange extends UpdateUserInput {
  readonly emailVerified?: boolean;
  readonly phoneVerified?: boolean;
  readonly passwordChanged?: true;
  /** The command of `UserLifecycleService` or of a batch that moves the user. */
  readonly transition?: LifecycleCommand;
  /** Names of the providers whose identities change without the email or phone. */
  readonly identities?: readonly string[];
}

/**
 * What a host runs inside the transaction of every creation, change and deletion, on every path.
 *
 * `manager` is the transaction's. A throw rolls all of it back, also when the transaction is the caller's and the
 * caller swallows the error. Hooks make a call need a transaction; without them a creation is one statement.
 */
export interface UserHooks {
  /** May return a changed input; it is validated like the caller's. */
  readonly beforeCreate?: (
    input: CreateUserHookInput,
    manager: EntityManager,
    context: CreateUserContext,
  ) => Promise<CreateUserHookInput | void> | CreateUserHookInput | void;
  readonly afterCreate?: (
    user: NestAuthUser,
    input: CreateUserHookInput,
    manager: EntityManager,
    context: CreateUserContext,
  ) => Promise<void> | void;
  /** `user` is what it still is. What it returns replaces the input of `updateUser`; other methods have none. */
  readonly beforeUpdate?: (
    user: NestAuthUser,
    change: UserChange,
    manager: EntityManager,
  ) => Promise<UpdateUserInput | void> | UpdateUserInput | void;
  readonly afterUpdate?: (user: NestAuthUser, change: UserChange, manager: EntityManager) => Promise<void> | void;
  readonly beforeDelete?: (user: NestAuthUser, manager: EntityManager) => Promise<void> | void;
  readonly afterDelete?: (user: NestAuthUser, manager: EntityManager) => Promise<void> | void;
}
