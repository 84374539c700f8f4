import type { EntityManager } from 'typeorm';

import { NestAuthEvents, type RunInTransactionOptions } from '../../src/index.js';
import type { Random } from './random.js';
import { AppMirror, type PersonState } from './mirror.js';
import type { Stage } from './stage.js';

/** A user with the host's row, as far as a fault could tear them apart. */
export interface Person {
  readonly email: string;
  readonly phone: string;
  readonly roleId: string;
  readonly state: PersonState;
}

/** Whom one run of an operation is about: who is there before, and who is afterwards. */
export interface Subject {
  readonly before: Person | undefined;
  readonly after: Person | undefined;
  /** Of `before`, which the operation is to change. */
  readonly userId: string;
}

/** What a fault does inside the callback of the host, beside the work of the operation. */
export interface Hooks {
  readonly first?: (manager: EntityManager) => Promise<unknown>;
  readonly between?: (manager: EntityManager) => Promise<unknown>;
  readonly last?: (manager: EntityManager) => Promise<unknown>;
}

/** What an operation needs of the application. */
export type Host = Pick<Stage, 'users' | 'lifecycle' | 'seed'>;

/** One flow of a host: something of ours and the row of the host, in one transaction. */
export interface Operation {
  readonly name: string;
  /** Where it writes. */
  readonly tables: readonly string[];
  /** What it announces when it is committed, in order. */
  readonly events: readonly string[];
  prepare(stage: Host, random: Random): Promise<Subject>;
  run(stage: Host, subject: Subject, hooks?: Hooks, options?: RunInTransactionOptions): Promise<void>;
}

let serial = 0;

/** Somebody nobody has met, in spellings that are normalised. */
function person(random: Random, roleId: string): Person {
  serial += 1;
  const name = `p${process.pid.toString(36)}x${serial}x${random.integer(0, 1e9).toString(36)}`;
  return {
    email: `${random.pick([name, name.toUpperCase()])}@${random.pick(['example.com', 'Example.ORG'])}`,
    phone: `+49151${String(20_000_000 + ((process.pid * 10_000 + serial) % 79_999_999))}`,
    roleId,
    state: 'active',
  };
}

function createPortal(stage: Host, { email, phone, roleId, state }: Person, hooks: Hooks = {}) {
  return async (manager: EntityManager): Promise<string> => {
    await hooks.first?.(manager);
    const user = await stage.users.createUser({ email, phone, roleIds: [roleId] }, stage.seed.tenantId, {}, manager);
    await hooks.between?.(manager);
    await manager.insert(AppMirror, { authUserId: user.id, email, phone, roleId, state });
    await hooks.last?.(manager);
    return user.id;
  };
}

/** Somebody who is there already, made without any fault. */
async function settled(stage: Host, random: Random): Promise<{ before: Person; userId: string }> {
  const before = person(random, stage.seed.member);
  return { before, userId: await stage.users.runInTransaction(createPortal(stage, before)) };
}

const createPortalUser: Operation = {
  name: 'create a portal user',
  tables: [
    'nest_auth_users',
    'nest_auth_identities',
    'nest_auth_user_accesses',
    'nest_auth_user_access_roles',
    'app_mirrors',
    'nest_auth_activities',
  ],
  events: [NestAuthEvents.USER_CREATED],
  prepare: async (stage, random) => ({ before: undefined, after: person(random, stage.seed.member), userId: '' }),
  run: async (stage, { after }, hooks, options) => {
    await stage.users.runInTransaction(createPortal(stage, known(after), hooks), options);
  },
};

/** Step by step, as an administrator is made: each write a statement of its own. */
const createAdmin: Operation = {
  name: 'create an administrator',
  tables: [
    'nest_auth_users',
    'nest_auth_identities',
    'nest_auth_platform_accesses',
    'nest_auth_platform_access_roles',
    'app_mirrors',
    'nest_auth_activities',
  ],
  // The access, and then its roles.
  events: [NestAuthEvents.USER_CREATED, NestAuthEvents.PLATFORM_ACCESS_CHANGED, NestAuthEvents.PLATFORM_ACCESS_CHANGED],
  prepare: async (stage, random) => ({ before: undefined, after: person(random, stage.seed.admin), userId: '' }),
  run: (stage, { after }, hooks = {}, options = {}) =>
    stage.users.runInTransaction(async (manager) => {
      const { email, phone, roleId, state } = known(after);
      await hooks.first?.(manager);
      const user = await stage.users.createUser({ email, phone }, undefined, {}, manager);
      const access = await user.getPlatformAccess(true, manager);
      await access.assignRoles([roleId], manager);
      await hooks.between?.(manager);
      await manager.insert(AppMirror, { authUserId: user.id, email, phone, roleId, state });
      await hooks.last?.(manager);
    }, options),
};

const updateWithMirror: Operation = {
  name: 'update a user and the host’s row',
  tables: ['nest_auth_users', 'nest_auth_identities', 'app_mirrors', 'nest_auth_activities'],
  events: [NestAuthEvents.USER_UPDATED],
  prepare: async (stage, random) => ({
    ...(await settled(stage, random)),
    after: person(random, stage.seed.member),
  }),
  run: (stage, { userId, after }, hooks = {}, options = {}) =>
    stage.users.runInTransaction(async (manager) => {
      const { email, phone } = known(after);
      await hooks.first?.(manager);
      await stage.users.updateUser(userId, { email, phone }, manager);
      await hooks.between?.(manager);
      await manager.update(AppMirror, { authUserId: userId }, { email, phone });
      await hooks.last?.(manager);
    }, options),
};

const deleteUser: Operation = {
  name: 'delete a user and the host’s row',
  tables: ['nest_auth_users', 'app_mirrors', 'nest_auth_activities'],
  events: [NestAuthEvents.USER_DELETED],
  prepare: async (stage, random) => ({ ...(await settled(stage, random)), after: undefined }),
  run: (stage, { userId }, hooks = {}, options = {}) =>
    stage.users.runInTransaction(async (manager) => {
      await hooks.first?.(manager);
      await manager.delete(AppMirror, { authUserId: userId });
      await hooks.between?.(manager);
      await stage.users.deleteUser(userId, manager);
      await hooks.last?.(manager);
    }, options),
};

const changeRole: Operation = {
  name: 'change a role',
  tables: ['nest_auth_user_access_roles', 'app_mirrors', 'nest_auth_activities'],
  events: [NestAuthEvents.USER_ACCESS_CHANGED],
  prepare: async (stage, random) => {
    const { before, userId } = await settled(stage, random);
    return { before, userId, after: { ...before, roleId: stage.seed.editor } };
  },
  run: (stage, { userId, after }, hooks = {}, options = {}) =>
    stage.users.runInTransaction(async (manager) => {
      const { roleId } = known(after);
      await hooks.first?.(manager);
      await stage.users.setUserAccessRoles(userId, stage.seed.tenantId, [roleId], manager);
      await hooks.between?.(manager);
      await manager.update(AppMirror, { authUserId: userId }, { roleId });
      await hooks.last?.(manager);
    }, options),
};

type Step = 'disableById' | 'softDeleteById' | 'restoreById';

const STATE_AFTER: Record<Step, PersonState> = {
  disableById: 'disabled',
  softDeleteById: 'soft_deleted',
  restoreById: 'disabled',
};

/** A step in the life of somebody who has come as far as `way` leads, without any fault. */
function lifeStep(name: string, event: string, way: readonly Step[], step: Step): Operation {
  const take = async (stage: Host, userId: string, one: Step, manager: EntityManager, hooks: Hooks = {}) => {
    await hooks.first?.(manager);
    await stage.lifecycle[one](userId, manager);
    await hooks.between?.(manager);
    await manager.update(AppMirror, { authUserId: userId }, { state: STATE_AFTER[one] });
    await hooks.last?.(manager);
  };
  return {
    name,
    tables: [
      'nest_auth_users',
      'app_mirrors',
      'nest_auth_activities',
      ...(step === 'disableById' ? [] : ['nest_auth_identities']),
    ],
    events: [event],
    prepare: async (stage, random) => {
      const { before: active, userId } = await settled(stage, random);
      let before: Person = active;
      for (const one of way) {
        await stage.users.runInTransaction((manager) => take(stage, userId, one, manager));
        before = { ...before, state: STATE_AFTER[one] };
      }
      return { before, userId, after: { ...before, state: STATE_AFTER[step] } };
    },
    run: (stage, { userId }, hooks, options = {}) =>
      stage.users.runInTransaction((manager) => take(stage, userId, step, manager, hooks), options),
  };
}

export const OPERATIONS: readonly Operation[] = [
  createPortalUser,
  createAdmin,
  updateWithMirror,
  deleteUser,
  changeRole,
  lifeStep('disable a user', NestAuthEvents.USER_DISABLED, [], 'disableById'),
  lifeStep('soft-delete a user', NestAuthEvents.USER_SOFT_DELETED, ['disableById'], 'softDeleteById'),
  lifeStep('restore a user', NestAuthEvents.USER_RESTORED, ['disableById', 'softDeleteById'], 'restoreById'),
];

function known(who: Person | undefined): Person {
  if (who === undefined) throw new Error('this operation is about somebody');
  return who;
}
