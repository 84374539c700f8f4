import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Type } from '@nestjs/common';
import * as front from '../../../src/index.js';
import { generateSessionKeys, NestAuthError } from '../../../src/index.js';
import { freshEmail, useNestApp } from '../../support/nest-app.js';
import { dumpTables } from '../../support/tables.js';

type Service = Readonly<Record<string, (...args: unknown[]) => unknown>>;

const app = useNestApp({ auth: { session: { keys: generateSessionKeys() } } });

/** What a client can make of a field by JSON or by leaving it out, and an operator of the ORM. */
const FORGED: readonly [string, unknown][] = [
  ['undefined', undefined],
  ['null', null],
  ['an empty object', {}],
  ['an empty array', []],
  ['an array of an empty object', [{}]],
  ['a forged operator', { '@instanceof': 'FindOperator', type: 'not', value: null }],
  ['an array of texts', ['a', 'b']],
  ['a text that is no id', "' or true --"],
  ['an empty text', ''],
  ['a number', 0],
  ['true', true],
];

const METHODS = Object.entries(front)
  .filter(([name, value]) => name.endsWith('Service') && (value as Partial<Type<object>>).prototype !== undefined)
  .flatMap(([name, value]) =>
    Object.getOwnPropertyNames((value as Type<object>).prototype)
      .filter((method) => method !== 'constructor' && isMethod(value as Type<object>, method))
      .map((method) => [`${name}.${method}`, value as Type<object>, method] as const),
  );

const LIST_METHODS = new Set([
  'countTenants',
  'countUsers',
  'findActivities',
  'getPermissionsPage',
  'getPlatformUsers',
  'getPlatformUsersAndCount',
  'getRoles',
  'getRolesPage',
  'getRuns',
  'getTenants',
  'getTenantsAndCount',
  'getTenantsPage',
  'getUsers',
  'getUsersAndCount',
  'getUsersPage',
  'listInvitations',
]);

function isMethod({ prototype }: Type<object>, name: string): boolean {
  return typeof Object.getOwnPropertyDescriptor(prototype, name)?.value === 'function';
}

async function outcomeOf(call: () => unknown): Promise<unknown> {
  try {
    return { answered: await call() };
  } catch (error) {
    return error;
  }
}

/** But for the seals: an empty object is a good order to seal what there is. */
async function rows(): Promise<Record<string, string[]>> {
  const { nest_auth_activity_seals: _sealed, ...others } = await dumpTables(app.url);
  return others;
}

beforeAll(async () => {
  // Whatever criteria would match everything would match these, too.
  await app.users.createUser({ email: freshEmail(), roleIds: [app.seed.member] }, app.seed.tenantId);
  await app.users.createPlatformUser({ email: freshEmail(), platformRoleIds: [app.seed.admin] });
});

describe('SEC-80 SEC-83 what is no id, name or input', () => {
  it.each(METHODS)('makes %s change nothing and fail by name, never as a stray error', async (_name, type, method) => {
    const service = app.context.get<Service>(type);
    const before = await rows();
    const strays = [];
    for (const [what, value] of FORGED) {
      const outcome = await outcomeOf(() => service[method]?.call(service, value, value, value));
      if (outcome instanceof Error && !(outcome instanceof NestAuthError)) strays.push([what, String(outcome)]);
    }
    expect(strays).toEqual([]);
    expect(await rows()).toEqual(before);
  });
});

/** The ones that read many rows by what the caller asks for. */
const LISTS = METHODS.filter(([, , method]) => LIST_METHODS.has(method));

const UNASKED: readonly Record<string, unknown>[] = [
  { order: { email: 'DESC; select 1' } },
  { orderBy: 'name; drop table nest_auth_users' },
  { sort: 'passwordHash' },
  { where: '1=1' },
  { passwordHash: 'x' },
  { password_hash: { $ne: null } },
  { securityStamp: 1 },
  { groupBy: 'password_hash' },
  { relations: { user: { passwordHash: true } } },
];

describe('SEC-82 SEC-85 a list', () => {
  it.each(LISTS)('%s takes no order, filter or relation that it does not name', async (_name, type, method) => {
    const service = app.context.get<Service>(type);
    for (const option of UNASKED) {
      await expect((async () => service[method]?.call(service, option))()).rejects.toMatchObject({
        code: 'VALIDATION_FAILED',
      });
    }
  });
});
