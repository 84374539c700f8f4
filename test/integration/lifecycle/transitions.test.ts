import { describe, expect, it } from '@jest/globals';

import { type LifecycleState, NestAuthEvents, UserLifecycleService } from '../../../src/index.js';
import { type LifecycleCommand, TRANSITIONS } from '../../../src/lifecycle/transitions.policy.js';
import { useNestApp } from '../../support/nest-app.js';
import { dumpTables } from '../../support/tables.js';
import { recordStatements } from '../../support/wire.js';
import { activityTypes, age, stateOf, STATES, userIn } from './fixture.js';

const app = useNestApp();
const lifecycle = () => app.context.get(UserLifecycleService);
const services = () => ({ users: app.users, lifecycle: lifecycle() });

type Call = (service: UserLifecycleService, id: string) => Promise<unknown>;

/** Commands that a single call sends; what a grace period would refuse is asked for without one. */
const CALLS: Readonly<Partial<Record<LifecycleCommand, Call>>> = {
  activate: (service, id) => service.activateById(id),
  reactivate: (service, id) => service.reactivateById(id),
  deactivate: (service, id) => service.deactivateById(id),
  deactivatePending: (service, id) => service.deactivatePendingUser({ id, gracePeriodInDays: 0 }),
  deactivateActive: (service, id) => service.deactivateActiveUser({ id, gracePeriodInMonths: 0 }),
  disable: (service, id) => service.disableById(id),
  softDelete: (service, id) => service.softDeleteById(id),
  restore: (service, id) => service.restoreById(id),
  schedule: (service, id) => service.scheduleForDeletionById(id),
  cancel: (service, id) => service.cancelDeletionById(id),
  delete: (service, id) => service.deleteById(id),
  setLegalHold: (service, id) => service.setLegalHold(id, 'a lawsuit'),
  recordLogin: (service, id) => service.recordLogin(id),
};

/** Written by hand, from the document: what is generated from the table could repeat its mistakes. */
const A = 'active',
  I = 'inactive',
  D = 'disabled',
  S = 'soft_deleted',
  X = 'scheduled_deletion';
const soft = 'USER_SOFT_DELETED',
  sched = 'USER_SCHEDULED_FOR_DELETION';
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  //            pending              active                 inactive                 disabled               soft-deleted             scheduled
  activate: [A, 'USER_ALREADY_ACTIVE', 'USER_NOT_PENDING', 'USER_DISABLED', soft, sched],
  reactivate: ['USER_NOT_INACTIVE', 'USER_ALREADY_ACTIVE', A, 'USER_DISABLED', soft, sched],
  deactivate: ['USER_NOT_ACTIVE', I, 'USER_ALREADY_INACTIVE', 'USER_DISABLED', soft, sched],
  deactivatePending: [I, 'USER_NOT_PENDING', 'USER_ALREADY_INACTIVE', 'USER_DISABLED', soft, sched],
  deactivateActive: ['USER_NOT_ACTIVE', I, 'USER_ALREADY_INACTIVE', 'USER_DISABLED', soft, sched],
  disable: [D, D, D, 'USER_ALREADY_DISABLED', soft, sched],
  softDelete: ['USER_NOT_DISABLED', 'USER_NOT_DISABLED', 'USER_NOT_DISABLED', S, soft, sched],
  restore: Array.from({ length: 4 }, () => 'USER_NOT_SOFT_DELETED').concat(D, sched),
  schedule: Array.from({ length: 4 }, () => 'USER_NOT_SOFT_DELETED').concat(X, sched),
  cancel: Array.from({ length: 5 }, () => 'USER_NOT_SCHEDULED_FOR_DELETION').concat(S),
  delete: [
    ...Array.from({ length: 3 }, () => 'USER_NOT_DISABLED'),
    'gone',
    'USER_NOT_SCHEDULED_FOR_DELETION',
    'SCHEDULED_DELETION_NOT_REACHED',
  ],
  setLegalHold: ['pending', A, I, D, S, X],
  recordLogin: ['USER_NOT_ACTIVE', A, 'USER_NOT_ACTIVE', 'USER_DISABLED', soft, sched],
};

const MATRIX = Object.entries(EXPECTED).flatMap(([command, outcomes]) =>
  STATES.map((state, index) => [command as LifecycleCommand, state, outcomes[index] as string] as const),
);

describe('the life of a user', () => {
  it('has a row for every command and every state of the table', () => {
    expect(Object.keys(CALLS).toSorted()).toEqual(Object.keys(EXPECTED).toSorted());
    const others = ['disableDeactivated', 'releaseLegalHold'];
    expect(Object.keys(TRANSITIONS).toSorted()).toEqual([...Object.keys(EXPECTED), ...others].toSorted());
  });

  it.each(MATRIX.filter(([, , outcome]) => outcome === outcome.toUpperCase()))(
    '%s from %s is refused with %s, and nothing changes',
    async (command, state, code) => {
      const id = await userIn(services(), state);
      const before = await dumpTables(app.url);
      const { length } = app.events;
      const call = () => (CALLS[command] as Call)(lifecycle(), id);
      await expect(call()).rejects.toMatchObject({ code, details: { ids: [id] } });
      // The caller's transaction stays usable.
      await app.users.runInTransaction(async () => {
        await expect(call()).rejects.toMatchObject({ code });
        await app.users.getUserById(id);
      });
      expect(await dumpTables(app.url)).toEqual(before);
      expect(app.events).toHaveLength(length);
    },
  );

  it.each(MATRIX.filter(([, , outcome]) => outcome !== outcome.toUpperCase()))(
    '%s from %s leads to %s, with one event and one activity',
    async (command, state, outcome) => {
      const id = await userIn(services(), state);
      const types = await activityTypes(app.url, id);
      const { length } = app.events;
      await (CALLS[command] as Call)(lifecycle(), id);
      expect(await stateOf(app.url, id)).toBe(outcome);
      const { event } = TRANSITIONS[command];
      expect(app.events.slice(length).map(({ name }) => name)).toEqual([event]);
      expect(await activityTypes(app.url, id)).toEqual([...types, event.replace('nest_auth.user.', '')]);
    },
  );

  it('ends when the date of the scheduled deletion has come', async () => {
    const id = await userIn(services(), 'scheduled_deletion');
    await age(app.url, [id], '29 days');
    await expect(lifecycle().deleteById(id)).rejects.toMatchObject({ code: 'SCHEDULED_DELETION_NOT_REACHED' });
    await age(app.url, [id], '1 day');
    expect(await lifecycle().deleteById(id)).toMatchObject({ id, status: 'scheduled_deletion' });
    expect(await stateOf(app.url, id)).toBe('gone');
  });

  it('is about nobody when the id is nobody’s', async () => {
    const nobody = '01a1fb24-0fde-73a3-a684-6db91d4ba5d7';
    for (const call of Object.values(CALLS)) {
      await expect(call(lifecycle(), nobody)).rejects.toMatchObject({ code: 'USER_NOT_FOUND' });
      await expect(call(lifecycle(), 'x')).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    }
  });
});

describe('a transition', () => {
  it.each(Object.entries(CALLS).filter(([command]) => command !== 'softDelete'))(
    '%s is one statement',
    async (command, call) => {
      const from = STATES.find((_, index) => EXPECTED[command]?.[index] !== EXPECTED[command]?.[index]?.toUpperCase());
      const id = await userIn(services(), from as LifecycleState);
      const { statements } = await recordStatements(() => call(lifecycle(), id));
      expect(statements).toHaveLength(1);
    },
  );

  it('sets the moments of the states and the version, and answers the user as it is now', async () => {
    const id = await userIn(services(), 'pending');
    const seen = [];
    seen.push(await lifecycle().activateById(id));
    seen.push(await lifecycle().deactivateById(id));
    seen.push(await lifecycle().reactivateById(id));
    seen.push(await lifecycle().disableById(id));
    expect(seen.map(({ status, isActive, version }) => [status, isActive, version])).toEqual([
      ['active', true, 2],
      ['inactive', false, 3],
      ['active', true, 4],
      ['disabled', false, 5],
    ]);
    expect(
      seen.map((user) => [user.activatedAt, user.deactivatedAt, user.disabledAt].map((at) => at !== null)),
    ).toEqual([
      [true, false, false],
      [true, true, false],
      [true, false, false],
      [true, false, true],
    ]);
    expect(await app.users.getUserById(id)).toEqual(seen[3]);
  });

  it('tells in the activity what it was and what it became', async () => {
    const id = await userIn(services(), 'active');
    const { deactivatedAt } = await lifecycle().deactivateById(id);
    const [row] = await app.dataSource.query<unknown[]>(
      'select before, after, actor_type, subject_type, subject_id from nest_auth_activities where user_id = $1 and type = $2',
      [id, NestAuthEvents.USER_DEACTIVATED],
    );
    expect(row).toEqual({
      before: { status: 'active', isActive: true, deactivatedAt: null },
      after: { status: 'inactive', isActive: false, deactivatedAt: deactivatedAt?.toISOString() },
      actor_type: 'system',
      subject_type: 'user',
      subject_id: id,
    });
  });
});

describe('grace periods', () => {
  it('keep a pending user for the days they have', async () => {
    const id = await userIn(services(), 'pending');
    await age(app.url, [id], '29 days 23 hours');
    await expect(lifecycle().deactivatePendingUser({ id })).rejects.toMatchObject({ code: 'GRACE_PERIOD_NOT_OVER' });
    await expect(lifecycle().deactivatePendingUser({ id, gracePeriodInDays: 31 })).rejects.toMatchObject({
      code: 'GRACE_PERIOD_NOT_OVER',
    });
    await age(app.url, [id], '1 hour');
    await lifecycle().deactivatePendingUser({ id, gracePeriodInDays: 30 });
    expect(await stateOf(app.url, id)).toBe('inactive');
  });

  it('begin anew with each sign-in', async () => {
    const id = await userIn(services(), 'active');
    await age(app.url, [id], '1 year');
    const { lastLoginAt, version } = await lifecycle().recordLogin(id);
    expect(lastLoginAt).toBeInstanceOf(Date);
    expect(version).toBe(1);
    await expect(lifecycle().deactivateActiveUser({ id })).rejects.toMatchObject({ code: 'USER_STILL_ACTIVE' });
    await age(app.url, [id], '6 months');
    await lifecycle().deactivateActiveUser({ id, gracePeriodInMonths: 6 });
  });

  it('are the longest of the user’s tenants, where the call names none', async () => {
    const [first, second] = await Promise.all(
      ['a', 'b'].map((name) => app.tenants.createTenant({ name, slug: `periods-${name}` })),
    );
    const { id } = await app.users.createUser({ email: 'p@example.com', isActive: false }, first?.id);
    await lifecycle().setTenantGracePeriods(first?.id as string, { pendingDays: 2 });
    await age(app.url, [id], '3 days');
    await app.users.ensureUserAccess(id, second?.id as string);
    // The second tenant has none of its own, so that it has that of the application.
    await expect(lifecycle().deactivatePendingUser({ id })).rejects.toMatchObject({ code: 'GRACE_PERIOD_NOT_OVER' });
    await lifecycle().setTenantGracePeriods(second?.id as string, { pendingDays: 3 });
    expect(await lifecycle().getTenantGracePeriods(second?.id as string)).toEqual({ pendingDays: 3 });
    await lifecycle().deactivatePendingUser({ id });
    await lifecycle().setTenantGracePeriods(second?.id as string, null);
    expect(await lifecycle().getTenantGracePeriods(second?.id as string)).toBeNull();
  });

  it.each([
    [{ id: 'x' }],
    [{ id: '01a1fb24-0fde-73a3-a684-6db91d4ba5d7', gracePeriodInDays: -1 }],
    [{ id: '01a1fb24-0fde-73a3-a684-6db91d4ba5d7', gracePeriodInDays: 1.5 }],
    [{ id: '01a1fb24-0fde-73a3-a684-6db91d4ba5d7', gracePeriodInMonths: 1 }],
  ])('are refused when they are none: %j', async (input) => {
    await expect(lifecycle().deactivatePendingUser(input as never)).rejects.toMatchObject({
      code: 'VALIDATION_FAILED',
    });
  });
});

describe('a legal hold', () => {
  it('keeps the user from every deletion until it is released', async () => {
    const disabled = await userIn(services(), 'disabled');
    const softDeleted = await userIn(services(), 'soft_deleted');
    const scheduled = await userIn(services(), 'scheduled_deletion');
    for (const id of [disabled, softDeleted, scheduled]) await lifecycle().setLegalHold(id, 'case 7');
    await age(app.url, [scheduled], '31 days');
    const held = { code: 'USER_ON_LEGAL_HOLD' };
    await expect(lifecycle().softDeleteById(disabled)).rejects.toMatchObject(held);
    await expect(lifecycle().deleteById(disabled)).rejects.toMatchObject(held);
    await expect(app.users.deleteUser(disabled)).rejects.toMatchObject(held);
    await expect(lifecycle().scheduleForDeletionById(softDeleted)).rejects.toMatchObject(held);
    await expect(lifecycle().deleteById(scheduled)).rejects.toMatchObject(held);
    await expect(lifecycle().setLegalHold(disabled, 'again')).rejects.toMatchObject(held);
    expect(await app.users.getUserById(disabled)).toMatchObject({ isOnLegalHold: true, legalHoldReason: 'case 7' });
    for (const id of [disabled, softDeleted, scheduled]) await lifecycle().releaseLegalHold(id);
    await expect(lifecycle().releaseLegalHold(disabled)).rejects.toMatchObject({ code: 'USER_NOT_ON_LEGAL_HOLD' });
    await app.users.deleteUser(disabled);
    await lifecycle().scheduleForDeletionById(softDeleted, { gracePeriodInDays: 0 });
    await lifecycle().deleteById(softDeleted);
    await lifecycle().deleteById(scheduled);
  });
});
