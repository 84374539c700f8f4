import { expectTypeOf } from 'expect-type';
import type { EntityManager } from 'typeorm';
import {
  type AccessDelta,
  type AccessService,
  type CreateUserHookInput,
  type CreateUserInput,
  type CreateUsersResult,
  type GetUsersOptions,
  type HashedPassword,
  NestAuthEntities,
  NestAuthModule,
  type NestAuthModuleOptions,
  type NestAuthPlatformAccess,
  NestAuthUser,
  type NestAuthUserAccess,
  type PasswordService,
  type UpdateUserInput,
  type UserHooks,
  type UserPage,
  type UserService,
} from '../../src/index.js';

declare const users: UserService;
declare const user: NestAuthUser;
declare const manager: EntityManager;
declare const passwords: PasswordService;
declare const access: AccessService;

// An input is named fields, never the entity or a part of it.
declare const partial: Partial<NestAuthUser>;
// @ts-expect-error a part of the entity is not an input
void users.createUser(partial);
// @ts-expect-error nor is the entity
void users.createUser(user);
// @ts-expect-error nor for a change
void users.updateUser(user.id, partial);
for (const field of ['passwordHash', 'status', 'emailVerifiedAt', 'realmId', 'version', 'deletedAt'] as const) {
  expectTypeOf<
    typeof field extends keyof CreateUserInput | keyof UpdateUserInput ? true : false
  >().toEqualTypeOf<false>();
}
// @ts-expect-error an unknown field
void users.createUser({ email: 'a@example.com', role: 'admin' });
// @ts-expect-error an absent field is absent, not undefined
void users.createUser({ email: undefined });
// @ts-expect-error an input is read only
((input: CreateUserInput) => (input.email = 'b@example.com')) satisfies unknown;

// Only PasswordService makes a hash.
expectTypeOf(passwords.hash('x')).resolves.toEqualTypeOf<HashedPassword>();
// @ts-expect-error a string is not a hash
const plain: HashedPassword = '$argon2id$…';
// @ts-expect-error an object that looks like one is not
const forged: HashedPassword = { phc: '$argon2id$…' };
expectTypeOf([plain, forged]).toEqualTypeOf<HashedPassword[]>();
expectTypeOf(user.setPassword).parameter(0).toEqualTypeOf<string | HashedPassword | null>();
// @ts-expect-error a hook has no password to set
const hookInput: CreateUserHookInput = { email: 'a@example.com', password: 'x' };
expectTypeOf(hookInput).not.toHaveProperty('password');

// Settings that do not exist, or do not fit, are refused where they are written.
// @ts-expect-error nested is join, savepoint or independent
void users.runInTransaction(async () => 1, { nested: 'new' });
// @ts-expect-error isolation levels are PostgreSQL's
void users.runInTransaction(async () => 1, { isolation: 'READ UNCOMMITTED' });
// @ts-expect-error the callback is asynchronous
void users.runInTransaction(() => 1);
// @ts-expect-error no such option
NestAuthModule.forRoot({ tenants: {} });
expectTypeOf<{ tenant: { mode: 'many' } }>().not.toExtend<NestAuthModuleOptions>();
// @ts-expect-error a list has no free order
void users.getUsers({ order: { email: 'ASC' } } satisfies GetUsersOptions);
// @ts-expect-error nor free conditions
void users.getUsers({ where: { passwordHash: 'x' } });
// @ts-expect-error a relation is one of ours
void users.getUserById('', { relations: { sessions: true } });

// What comes back.
expectTypeOf(users.createUsers([])).resolves.toEqualTypeOf<CreateUsersResult<NestAuthUser>>();
expectTypeOf(users.updateUser('', {}, manager)).resolves.toEqualTypeOf<NestAuthUser>();
expectTypeOf(users.deleteUser('')).resolves.toEqualTypeOf<void>();
expectTypeOf(users.getUserByEmail('', null, {}, manager)).resolves.toEqualTypeOf<NestAuthUser | null>();
expectTypeOf(users.getUsersPage()).resolves.toEqualTypeOf<UserPage>();
expectTypeOf(users.getUsersAndCount()).resolves.toEqualTypeOf<[NestAuthUser[], number]>();
expectTypeOf(users.setUserAccessRoles('', '', [])).resolves.toEqualTypeOf<AccessDelta>();
expectTypeOf(users.deleteUserAccess('', '')).resolves.toEqualTypeOf<boolean>();
expectTypeOf(access.getPermissions('', '')).resolves.toEqualTypeOf<string[]>();
expectTypeOf(user.getUserAccess('')).resolves.toEqualTypeOf<NestAuthUserAccess | null>();
expectTypeOf(user.getUserAccess('', true, manager)).resolves.toEqualTypeOf<NestAuthUserAccess>();
expectTypeOf(user.getPlatformAccess(true)).resolves.toEqualTypeOf<NestAuthPlatformAccess>();
expectTypeOf(user.toJSON()).toEqualTypeOf<Record<string, unknown>>();
expectTypeOf<Parameters<NonNullable<UserHooks['afterCreate']>>[2]>().toEqualTypeOf<EntityManager>();

// Every public method takes the manager as its last, optional parameter.
type TakesManagerLast<Method> = Method extends (...args: infer Args) => unknown
  ? EntityManager extends Required<Args>[number]
    ? true
    : false
  : false;
expectTypeOf<TakesManagerLast<UserService['deleteUser']>>().toEqualTypeOf<true>();
expectTypeOf<TakesManagerLast<UserService['createUser']>>().toEqualTypeOf<true>();
expectTypeOf<TakesManagerLast<AccessService['getPermissions']>>().toEqualTypeOf<true>();

// The tables and the API of the entities stay those of TypeORM.
expectTypeOf(NestAuthUser.findOneBy({ id: '' })).resolves.toEqualTypeOf<NestAuthUser | null>();
expectTypeOf(NestAuthEntities).items.toExtend<new () => object>();
