import type { EntityManager } from 'typeorm';

import { type HashedPassword, NestAuthEvents, type RunInTransactionOptions } from '../../src/index.js';
import { type Host, NEW_PASSWORD, PASSWORD } from './host.js';
import { AppMirror, type PersonState } from './mirror.js';
import type { Random } from './random.js';

/** A user with the host's row, as far as a fault could tear them apart. */
export interface Person {
  readonly email: string;
  /** Null for somebody who came by an invitation, which knows an email and nothing else. */
  readonly phone: string | null;
  readonly roleId: string;
  readonly state: PersonState;
  /** Sessions that are open, as the host has counted them; null until it has begun to. */
  readonly sessions: number | null;
  readonly refreshes: number;
  readonly resets: number;
}

/** Whom one run of an operation is about: who is there before, and who is afterwards. */
export interface Subject {
  readonly before: Person | undefined;
  readonly after: Person | undefined;
  /** Of `before`, which the operation is to change. */
  readonly userId: string;
  /** What the operation works by: a refresh token, or the token of a link. It is good for one time. */
  readonly token?: string;
  /** Lets the user in afterwards, where the operation is about that. */
  readonly password?: string;
}

/** What a fault does inside the callback of the host, beside the work of the operation. */
export interface Hooks {
  readonly first?: (manager: EntityManager) => Promise<unknown>;
  readonly between?: (manager: EntityManager) => Promise<unknown>;
  readonly last?: (manager: EntityManager) => Promise<unknown>;
}

/** One flow of a host: something of ours and the row of the host, in one transaction. */
export interface Operation {
  readonly name: string;
  /** Where it writes. */
  readonly tables: readonly string[];
  /** What it announces when it is committed, in order. */
  readonly events: readonly string[];
  /** Why one connection is not enough for it. Without another one it is refused, and nothing is kept. */
  readonly needsSecondConnection?: string;
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
    sessions: 0,
    refreshes: 0,
    resets: 0,
  };
}

function createPortal(stage: Host, who: Person, hooks: Hooks = {}, password: HashedPassword | null = null) {
  return async (manager: EntityManager): Promise<string> => {
    const { email, phone, roleId } = who;
    await hooks.first?.(manager);
    const input = { email, phone, password, roleIds: [roleId] };
    const user = await stage.users.createUser(input, stage.seed.tenantId, {}, manager);
    await hooks.between?.(manager);
    await manager.insert(AppMirror, { authUserId: user.id, ...who });
    await hooks.last?.(manager);
    return user.id;
  };
}

/** Somebody who is there already, made without any fault. */
async function settled(stage: Host, random: Random): Promise<{ before: Person; userId: string }> {
  const before = person(random, stage.seed.member);
  return { before, userId: await stage.users.runInTransaction(createPortal(stage, before)) };
}

/** Where a user with an access and a role is written, and the host's row. */
const OF_A_MEMBER = [
  'nest_auth_users',
  'nest_auth_identities',
  'nest_auth_user_accesses',
  'nest_auth_user_access_roles',
  'app_mirrors',
  'nest_auth_activities',
];

const createPortalUser: Operation = {
  name: 'create a portal user',
  tables: OF_A_MEMBER,
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
      const who = known(after);
      const { email, phone } = who;
      await hooks.first?.(manager);
      const user = await stage.users.createUser({ email, phone }, undefined, {}, manager);
      const access = await user.getPlatformAccess(true, manager);
      await access.assignRoles([who.roleId], manager);
      await hooks.between?.(manager);
      await manager.insert(AppMirror, { authUserId: user.id, ...who });
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

/** Something of ours, and then what the host notes of it. */
function noted<Result>(
  ours: (stage: Host, subject: Subject, manager: EntityManager) => Promise<Result>,
  note: (manager: EntityManager, subject: Subject, result: Result) => Promise<unknown>,
): Operation['run'] {
  return (stage, subject, hooks = {}, options = {}) =>
    stage.users.runInTransaction(async (manager) => {
      await hooks.first?.(manager);
      const result = await ours(stage, subject, manager);
      await hooks.between?.(manager);
      await note(manager, subject, result);
      await hooks.last?.(manager);
    }, options);
}

/** Somebody with a password who is signed in on so many devices; `token` is the refresh token of the last one. */
async function signedIn(
  stage: Host,
  random: Random,
  devices: number,
): Promise<{ before: Person; userId: string; token: string }> {
  const who = person(random, stage.seed.member);
  // Nobody can be signed in and counted at once with one connection: so until all are signed in, the host does not count.
  const uncounted = { ...who, sessions: null };
  const userId = await stage.users.runInTransaction(createPortal(stage, uncounted, {}, stage.password));
  let token = '';
  for (let device = 0; device < devices; device += 1) {
    token = (await stage.auth.signIn({ email: who.email, password: PASSWORD })).refreshToken;
  }
  await stage.users.runInTransaction((manager) =>
    manager.update(AppMirror, { authUserId: userId }, { sessions: devices }),
  );
  return { before: { ...who, sessions: devices }, userId, token };
}

/**
 * In a transaction of the host, although one had better sign in outside of it: a connection is held while the password
 * is verified.
 */
const signIn: Operation = {
  name: 'sign in',
  tables: ['nest_auth_users', 'nest_auth_sessions', 'nest_auth_refresh_tokens', 'app_mirrors', 'nest_auth_activities'],
  events: [NestAuthEvents.USER_LOGGED_IN],
  needsSecondConnection: 'that a password was tried stays counted when the transaction is rolled back',
  prepare: async (stage, random) => {
    const { before, userId } = await signedIn(stage, random, 1);
    return { before, userId, after: { ...before, sessions: 2 } };
  },
  run: noted(
    (stage, { before }, manager) =>
      stage.auth.signIn({ email: known(before).email, password: PASSWORD }, undefined, manager),
    (manager, { userId }) => manager.increment(AppMirror, { authUserId: userId }, 'sessions', 1),
  ),
};

const refreshSession: Operation = {
  name: 'refresh a session',
  tables: ['nest_auth_sessions', 'nest_auth_refresh_tokens', 'app_mirrors'],
  // That a session goes on is no news.
  events: [],
  prepare: async (stage, random) => {
    const prepared = await signedIn(stage, random, 1);
    return { ...prepared, after: { ...prepared.before, refreshes: 1 } };
  },
  run: noted(
    (stage, { token = '' }, manager) => stage.auth.refresh(token, manager),
    (manager, { userId }) => manager.increment(AppMirror, { authUserId: userId }, 'refreshes', 1),
  ),
};

const signOutEverywhere: Operation = {
  name: 'sign out everywhere',
  tables: ['nest_auth_sessions', 'app_mirrors', 'nest_auth_activities'],
  events: [NestAuthEvents.SESSIONS_REVOKED],
  prepare: async (stage, random) => {
    const { before, userId } = await signedIn(stage, random, 2);
    return { before, userId, after: { ...before, sessions: 0 } };
  },
  run: noted(
    (stage, { userId }, manager) => stage.sessions.revokeAllSessions(userId, manager),
    (manager, { userId }, ended) => manager.decrement(AppMirror, { authUserId: userId }, 'sessions', ended),
  ),
};

/** As {@link signIn}, with a connection held while the password is hashed. */
const resetPassword: Operation = {
  name: 'reset a password',
  tables: ['nest_auth_users', 'nest_auth_one_time_tokens', 'nest_auth_sessions', 'app_mirrors', 'nest_auth_activities'],
  // The password, and then the email, which the link has proven.
  events: [
    NestAuthEvents.PASSWORD_RESET,
    NestAuthEvents.USER_UPDATED,
    NestAuthEvents.USER_UPDATED,
    NestAuthEvents.SESSIONS_REVOKED,
  ],
  prepare: async (stage, random) => {
    const { before, userId } = await signedIn(stage, random, 1);
    const requested = await stage.recovery.requestPasswordReset({ email: before.email });
    const token = requested.reveal()?.token ?? '';
    return { before, userId, token, password: NEW_PASSWORD, after: { ...before, sessions: 0, resets: 1 } };
  },
  run: noted(
    (stage, { token = '' }, manager) => stage.recovery.resetPassword({ token, password: NEW_PASSWORD }, manager),
    async (manager, { userId }) => {
      await manager.update(AppMirror, { authUserId: userId }, { sessions: 0 });
      await manager.increment(AppMirror, { authUserId: userId }, 'resets', 1);
    },
  ),
};

const acceptInvitation: Operation = {
  name: 'accept an invitation',
  tables: ['nest_auth_invitations', ...OF_A_MEMBER],
  // Made, verified, and then no longer invited.
  events: [NestAuthEvents.USER_CREATED, NestAuthEvents.USER_UPDATED, NestAuthEvents.INVITATION_ACCEPTED],
  prepare: async (stage, random) => {
    const after = { ...person(random, stage.seed.member), phone: null };
    const { tenantId } = stage.seed;
    const sent = await stage.invitations.sendInvitation({ email: after.email, tenantId, roleIds: [after.roleId] });
    const { token } = sent.reveal();
    return { before: undefined, userId: '', token, password: PASSWORD, after };
  },
  run: noted(
    (stage, { token = '' }, manager) =>
      stage.invitations.acceptInvitation({ token, password: stage.password }, manager),
    (manager, { after }, { user }) => manager.insert(AppMirror, { authUserId: user.id, ...known(after) }),
  ),
};

export const OPERATIONS: readonly Operation[] = [
  createPortalUser,
  createAdmin,
  updateWithMirror,
  deleteUser,
  changeRole,
  lifeStep('disable a user', NestAuthEvents.USER_DISABLED, [], 'disableById'),
  lifeStep('soft-delete a user', NestAuthEvents.USER_SOFT_DELETED, ['disableById'], 'softDeleteById'),
  lifeStep('restore a user', NestAuthEvents.USER_RESTORED, ['disableById', 'softDeleteById'], 'restoreById'),
  signIn,
  refreshSession,
  signOutEverywhere,
  resetPassword,
  acceptInvitation,
];

function known(who: Person | undefined): Person {
  if (who === undefined) throw new Error('this operation is about somebody');
  return who;
}
