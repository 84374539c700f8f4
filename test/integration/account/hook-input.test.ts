import { afterEach, describe, expect, it } from '@jest/globals';

import type { CreateUserHookInput, UpdateUserInput, UserHooks } from '../../../src/index.js';
import { freshEmail, useNestApp } from '../../support/nest-app.js';
import { dumpTables } from '../../support/tables.js';

const answers: { create?: unknown; update?: unknown; inPlace?: object } = {};
const hooks: UserHooks = {
  beforeCreate: (input) => {
    Object.assign(input, answers.inPlace);
    return answers.create === undefined ? undefined : { ...input, ...(answers.create as CreateUserHookInput) };
  },
  beforeUpdate: (_user, change) =>
    answers.update === undefined ? undefined : { ...change, ...(answers.update as UpdateUserInput) },
};
const app = useNestApp({ auth: { user: hooks } });

afterEach(() => {
  delete answers.create;
  delete answers.update;
  delete answers.inPlace;
});

describe('what a hook returns', () => {
  it("replaces the input, and is normalised and validated like the caller's", async () => {
    const email = freshEmail();
    answers.create = { email: ` ${email.toUpperCase()}`, metadata: { from: 'hook' } };
    const user = await app.users.createUser({ email: freshEmail() });
    expect(user).toMatchObject({ email: email.toUpperCase(), metadata: { from: 'hook' } });
    expect(await app.users.getUserByEmail(email)).toMatchObject({ id: user.id });
    const moved = freshEmail();
    answers.update = { email: moved };
    expect(await app.users.updateUser(user.id, { metadata: { b: 1 } })).toMatchObject({ email: moved });
  });

  it.each([{ email: 'no email' }, { id: 'x' }, { password: 'in plain text' }, { status: 'active' }, { email: null }])(
    'is refused for a creation when it is %j, and leaves nothing behind',
    async (answer) => {
      const before = await dumpTables(app.url);
      answers.create = answer;
      await expect(app.users.createUser({ email: freshEmail() })).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
      expect(await dumpTables(app.url)).toEqual(before);
    },
  );

  it('is refused for an update when it names a forbidden field', async () => {
    const { id } = await app.users.createUser({ email: freshEmail() });
    answers.update = { passwordHash: 'x' };
    await expect(app.users.updateUser(id, { metadata: {} })).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
  });

  it('is no way to a plain password, also by changing the input in place', async () => {
    answers.inPlace = { password: 'in plain text' };
    await expect(app.users.createUser({ email: freshEmail() })).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
  });

  it('may not ask for roles without a tenant', async () => {
    answers.create = { roleIds: [app.seed.member] };
    await expect(app.users.createUser({ email: freshEmail() })).rejects.toMatchObject({ code: 'TENANT_REQUIRED' });
  });

  it('gives platform access with the roles it asks for', async () => {
    answers.create = { platformRoleIds: [app.seed.admin] };
    const { id } = await app.users.createUser({ email: freshEmail() });
    const user = await app.users.getUserById(id, { relations: { platformAccess: { roles: true } } });
    expect(user?.platformAccess?.roles).toHaveLength(1);
  });
});
