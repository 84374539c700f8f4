import { beforeAll, describe, expect, it } from '@jest/globals';

import type { HashedPassword } from '../../../src/index.js';
import { expectAtomic } from '../../../src/testing/index.js';
import { freshEmail, freshPhone, useNestApp } from '../../support/nest-app.js';
import {
  createAdminUser,
  createPortalUser,
  createPortalUserStepByStep,
  deletePortalUser,
  updatePortalUser,
} from '../../support/recipes.js';
import { brokenUsers } from '../../support/tables.js';

const app = useNestApp();
let password: HashedPassword;
beforeAll(async () => {
  password = await app.passwords.hash('correct horse battery staple');
});

const person = () => ({ email: freshEmail(), phone: freshPhone() });

/** Each flow with fixed input: what fails must leave that input usable at once. */
const flows: Record<string, () => Promise<() => Promise<unknown>>> = {
  'the documented portal flow': async () => {
    const one = { ...person(), password: 'correct horse battery staple' };
    return () => createPortalUserStepByStep(app, one);
  },
  'the portal flow in one call': async () => {
    const one = person();
    return () => createPortalUser(app, one);
  },
  'the documented administrator': async () => {
    const one = person();
    return () => createAdminUser(app, one);
  },
  'createUser alone': async () => {
    const one = { ...person(), password, roleIds: [app.seed.member] };
    return () => app.users.createUser(one, app.seed.tenantId);
  },
  'createUsers alone': async () => {
    const rows = [person(), person(), person()];
    return () => app.users.createUsers(rows, { tenantId: app.seed.tenantId });
  },
  'the update with its mirror': async () => {
    const { authUserId } = await createPortalUser(app, person());
    const next = person();
    return () => updatePortalUser(app, authUserId, next);
  },
  'updateUser alone': async () => {
    const { id } = await app.users.createUser(person());
    const next = person();
    return () => app.users.updateUser(id, next);
  },
  'updateOrCreateIdentity alone': async () => {
    const user = await app.users.createUser({
      ...person(),
      identities: [{ provider: 'google', providerId: freshEmail() }],
    });
    const providerId = freshEmail();
    return () => user.updateOrCreateIdentity('google', { providerId, metadata: { a: 1 } });
  },
  'deleting the user and the host row': async () => {
    const { authUserId } = await createPortalUser(app, person());
    return () => deletePortalUser(app, authUserId);
  },
};

describe('a failure at every statement in turn', () => {
  it.each(Object.keys(flows))('of %s leaves no row and no event, and the same input works at once', async (name) => {
    const flow = await flows[name]?.();
    const { length } = app.events;
    let delivered = 0;
    const report = await expectAtomic(app.dataSource, async () => {
      expect(app.events).toHaveLength(length);
      await flow?.();
      delivered += 1;
    });
    expect(report.replays).toHaveLength(2 * report.statements.length);
    expect(delivered).toBe(1);
    expect(app.events.length).toBeGreaterThan(length);
    expect(await brokenUsers(app.url)).toEqual([]);
  });
});
