import { describe, expect, it } from '@jest/globals';

import { LifecycleDependents, UserLifecycleService } from '../../../src/index.js';
import { freshEmail, useNestApp } from '../../support/nest-app.js';
import { activityTypes, stateOf, userIn } from './fixture.js';

const app = useNestApp();
const lifecycle = () => app.context.get(UserLifecycleService);
const services = () => ({ users: app.users, lifecycle: lifecycle() });

const codes = (results: readonly PromiseSettledResult<unknown>[]): string[] =>
  results
    .map((result) => (result.status === 'fulfilled' ? 'done' : (result.reason as { code: string }).code))
    .toSorted();

describe('transitions at the same moment', () => {
  it('have one winner on each edge, and one activity', async () => {
    const id = await userIn(services(), 'pending');
    const edges = [
      ['activateById', 'USER_ALREADY_ACTIVE'],
      ['deactivateById', 'USER_ALREADY_INACTIVE'],
      ['reactivateById', 'USER_ALREADY_ACTIVE'],
      ['disableById', 'USER_ALREADY_DISABLED'],
      ['softDeleteById', 'USER_SOFT_DELETED'],
      ['scheduleForDeletionById', 'USER_SCHEDULED_FOR_DELETION'],
      ['cancelDeletionById', 'USER_NOT_SCHEDULED_FOR_DELETION'],
      ['restoreById', 'USER_NOT_SOFT_DELETED'],
      ['deleteById', 'USER_NOT_FOUND'],
    ] as const;
    for (const [method, code] of edges) {
      const results = await Promise.allSettled(Array.from({ length: 20 }, () => lifecycle()[method](id)));
      expect([method, ...codes(results)]).toEqual([method, ...Array.from({ length: 19 }, () => code), 'done']);
    }
    expect(await activityTypes(app.url, id)).toHaveLength(edges.length + 1);
  });

  it('of activation and disabling end disabled, whoever is first', async () => {
    for (let round = 0; round < 20; round += 1) {
      const id = await userIn(services(), 'pending');
      const results = await Promise.allSettled([lifecycle().activateById(id), lifecycle().disableById(id)]);
      expect(results[1].status).toBe('fulfilled');
      expect(await stateOf(app.url, id)).toBe('disabled');
      const types = await activityTypes(app.url, id);
      expect(types).toEqual(
        results[0].status === 'fulfilled' ? ['created', 'activated', 'disabled'] : ['created', 'disabled'],
      );
    }
  });

  it('of deletion and update leave nobody, or nobody changed', async () => {
    for (let round = 0; round < 20; round += 1) {
      const id = await userIn(services(), 'disabled');
      const email = freshEmail();
      const [update, deletion] = await Promise.allSettled([
        app.users.updateUser(id, { email }),
        lifecycle().deleteById(id),
      ]);
      expect(deletion.status).toBe('fulfilled');
      expect(['done', 'USER_NOT_FOUND']).toContain(codes([update])[0]);
      expect(await stateOf(app.url, id)).toBe('gone');
      await app.users.createUser({ email });
    }
  });
});

describe('leaving the ACTIVE state', () => {
  it('ends what depends on it in the same transaction, once for each user, by every way', async () => {
    const ended: string[][] = [];
    const inTransaction: boolean[] = [];
    const stop = app.context.get(LifecycleDependents).register({
      name: 'sessions',
      async end(manager, ids) {
        inTransaction.push(manager.queryRunner?.isTransactionActive === true);
        ended.push([...ids]);
        await manager.query('select 1');
      },
    });
    try {
      const [one, two, three, four, five] = await Promise.all(
        Array.from({ length: 5 }, () => userIn(services(), 'active')),
      );
      await lifecycle().deactivateById(one as string);
      await lifecycle().disableById(two as string);
      await app.users.updateUserStatus(three as string, false);
      await app.users.updateUser(four as string, { isActive: false, email: freshEmail() });
      const entity = await app.users.getUserById(five as string);
      await app.manager.save(Object.assign(entity as object, { isActive: false }));
      // From here on nobody leaves the state.
      await lifecycle().disableById(one as string);
      await lifecycle().disableById(await userIn(services(), 'pending'));
      expect(ended).toEqual([[one], [two], [three], [four], [five]]);
      expect(inTransaction).toEqual([true, true, true, true, true]);
    } finally {
      stop();
    }
  });

  it('is undone when something cannot be ended', async () => {
    const failure = new Error('cannot end');
    const stop = app.context.get(LifecycleDependents).register({ name: 'keys', end: () => Promise.reject(failure) });
    const id = await userIn({ users: app.users, lifecycle: lifecycle() }, 'active');
    try {
      await expect(lifecycle().deactivateById(id)).rejects.toBe(failure);
      await expect(app.users.updateUserStatus(id, false)).rejects.toBe(failure);
      expect(await stateOf(app.url, id)).toBe('active');
      expect(await activityTypes(app.url, id)).toEqual(['created']);
    } finally {
      stop();
    }
  });
});

describe('isActive', () => {
  it('does not bring a disabled user back', async () => {
    const id = await userIn(services(), 'disabled');
    const disabled = { code: 'USER_DISABLED' };
    await expect(app.users.updateUserStatus(id, true)).rejects.toMatchObject(disabled);
    await expect(app.users.updateUser(id, { isActive: true, email: freshEmail() })).rejects.toMatchObject(disabled);
    expect(await app.users.updateUserStatus(id, false)).toMatchObject({ status: 'disabled' });
  });

  it('sets the moments that follow', async () => {
    const id = await userIn(services(), 'pending');
    expect(await app.users.updateUserStatus(id, false)).toMatchObject({ status: 'pending', activatedAt: null });
    expect(await app.users.updateUserStatus(id, true)).toMatchObject({
      activatedAt: expect.any(Date),
      deactivatedAt: null,
    });
    const off = await app.users.updateUser(id, { isActive: false, email: freshEmail() });
    expect(off).toMatchObject({ status: 'inactive', deactivatedAt: expect.any(Date) });
    expect(await app.users.updateUser(id, { isActive: true, email: freshEmail() })).toMatchObject({
      deactivatedAt: null,
    });
  });
});
