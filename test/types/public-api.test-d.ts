import { expectTypeOf } from 'expect-type';
import {
  type CreateUserInput,
  isNestAuthError,
  NestAuthError,
  NestAuthEvents,
  NestAuthUser,
  type NestAuthErrorCode,
  type UpdateUserInput,
  UserService,
} from 'nest-auth-identity';
import type { EntityManager } from 'typeorm';

declare const users: UserService;

// A transaction hands through what its callback returns, and its manager is one of TypeORM's.
expectTypeOf(users.runInTransaction(async () => 1 as const)).resolves.toEqualTypeOf<1>();
expectTypeOf<Parameters<Parameters<UserService['runInTransaction']>[0]>[0]>().toExtend<EntityManager>();

// The manager is last and never required.
expectTypeOf<Parameters<UserService['createUser']>['length']>().toEqualTypeOf<1 | 2 | 3 | 4>();
expectTypeOf(users.createUser({ email: 'a@example.com' })).resolves.toEqualTypeOf<NestAuthUser>();

// @ts-expect-error the row's own columns are not input
const withColumn: CreateUserInput = { email: 'a@example.com', passwordHash: '…' };
// @ts-expect-error a status is set by its own method
const withStatus: CreateUserInput = { email: 'a@example.com', status: 'active' };
expectTypeOf([withColumn, withStatus]).toEqualTypeOf<CreateUserInput[]>();
expectTypeOf<CreateUserInput>().not.toBeAny();
expectTypeOf<'password' extends keyof UpdateUserInput ? true : false>().toEqualTypeOf<false>();

// What may be missing is null, and is not undefined.
expectTypeOf(users.getUserById('')).resolves.toEqualTypeOf<NestAuthUser | null>();

// Codes are literals: a switch over them is checked.
expectTypeOf<NestAuthError['code']>().toEqualTypeOf<NestAuthErrorCode>();
expectTypeOf<string>().not.toExtend<NestAuthErrorCode>();
declare const thrown: unknown;
if (isNestAuthError(thrown, 'USER_NOT_FOUND')) expectTypeOf(thrown.code).toEqualTypeOf<'USER_NOT_FOUND'>();

expectTypeOf(NestAuthEvents.USER_CREATED).toEqualTypeOf<'nest_auth.user.created'>();
