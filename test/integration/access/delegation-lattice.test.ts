import { beforeAll, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { v7 as uuidv7 } from 'uuid';

import { IdentityContext, isNestAuthError } from '../../../src/index.js';
import { useFixture } from '../../support/identity-fixture.js';

jest.setTimeout(120_000);

const app = useFixture({ pool: 5 });

const NAMES = ['a.x', 'a.y', 'a.*', 'b.x', 'b.y', 'b.*', 'c.x', '*'] as const;
const ACTORS = 4;
const ROLES = 6;
/** The last ones are of the system. */
const SYSTEM_ROLES = 2;

beforeAll(async () => {
  await app.permissions.createPermissions(NAMES.map((name) => ({ name, guard: 'portal' })));
});

const EXPECTED = ['given', 'GRANT_NOT_HELD', 'ROLE_NOT_FOUND', 'ROLE_CYCLE', 'ROLE_SCOPE_MISMATCH', 'LAST_OWNER'];

const actor = fc.nat({ max: ACTORS - 1 });
const role = fc.nat({ max: ROLES - 1 });
const names = fc.subarray([...NAMES], { maxLength: 3 });

type Step =
  | { readonly kind: 'give' | 'set' | 'lend'; readonly by: number; readonly to: number; readonly role: number }
  | { readonly kind: 'permit'; readonly by: number; readonly to: number; readonly name: string }
  | { readonly kind: 'fill' | 'refill' | 'make'; readonly by: number; readonly role: number; readonly names: string[] }
  | { readonly kind: 'inherit'; readonly by: number; readonly role: number; readonly parent: number }
  | { readonly kind: 'wake' | 'own'; readonly by: number; readonly role: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constantFrom('give', 'set', 'lend'), by: actor, to: actor, role }),
  fc.record({ kind: fc.constant('permit'), by: actor, to: actor, name: fc.constantFrom(...NAMES) }),
  fc.record({ kind: fc.constantFrom('fill', 'refill', 'make'), by: actor, role, names }),
  fc.record({ kind: fc.constant('inherit'), by: actor, role, parent: role }),
  fc.record({ kind: fc.constantFrom('wake', 'own'), by: actor, role }),
);

const lattice = fc.record({
  // What each role grants by itself, and whether it is active; each inherits from none or from a later one.
  roles: fc.array(fc.record({ names, active: fc.boolean(), above: fc.option(fc.nat({ max: 2 })) }), {
    minLength: ROLES,
    maxLength: ROLES,
  }),
  // Whom each actor is to begin with.
  holds: fc.array(fc.subarray([0, 1, 2, 3, 4, 5], { maxLength: 1 }), { minLength: ACTORS, maxLength: ACTORS }),
});

interface World {
  readonly tenantId: string;
  readonly roleIds: readonly string[];
  readonly userIds: readonly string[];
}

async function build({ roles, holds }: typeof lattice extends fc.Arbitrary<infer T> ? T : never): Promise<World> {
  const slug = uuidv7();
  const tenantId = (await app.tenants.createTenant({ name: slug, slug })).id;
  const roleIds: string[] = [];
  for (const [index, { names: permissions }] of roles.entries()) {
    const owner = index >= ROLES - SYSTEM_ROLES ? { isSystem: true } : { tenantId };
    roleIds.push((await app.roles.createRole({ name: uuidv7(), guard: 'portal', permissions, ...owner })).id);
  }
  for (const [index, { above }] of roles.entries()) {
    const parent = above === null ? undefined : roleIds[index + 1 + above];
    if (parent !== undefined) await app.roles.addRoleParents(roleIds[index] as string, [parent]);
  }
  const userIds: string[] = [];
  for (const held of holds) {
    const { id } = await app.users.createUser({ email: `${uuidv7()}@example.test` });
    await app.users.setUserAccessRoles(
      id,
      tenantId,
      held.map((one) => roleIds[one] as string),
    );
    userIds.push(id);
  }
  for (const [index, { active }] of roles.entries()) {
    if (!active) await app.roles.updateRole(roleIds[index] as string, { isActive: false });
  }
  return { tenantId, roleIds, userIds };
}

async function perform({ tenantId, roleIds, userIds }: World, one: Step): Promise<unknown> {
  const roleId = 'role' in one ? (roleIds[one.role] as string) : '';
  const to = 'to' in one ? (userIds[one.to] as string) : '';
  switch (one.kind) {
    case 'give':
      return app.access.addUserAccessRoles(to, tenantId, [roleId]);
    case 'set':
      return app.users.setUserAccessRoles(to, tenantId, [roleId]);
    case 'lend':
      return app.access.grantAccessRole(to, tenantId, roleId, { expiresAt: new Date(Date.now() + 3_600_000) });
    case 'permit':
      return app.access.grantPermission(to, tenantId, one.name);
    case 'fill':
      return app.roles.addRolePermissions(roleId, one.names);
    case 'refill':
      return app.roles.setRolePermissions(roleId, one.names);
    case 'make':
      return app.roles.createRole({ name: uuidv7(), guard: 'portal', tenantId, permissions: one.names });
    case 'inherit':
      return app.roles.addRoleParents(roleId, [roleIds[one.parent] as string]);
    case 'wake':
      return app.roles.updateRole(roleId, { isActive: true });
    case 'own':
      return app.roles.updateRole(roleId, { isOwner: true });
  }
}

async function heldBy({ tenantId, userIds }: World): Promise<string[][]> {
  const held: string[][] = [];
  for (const userId of userIds) {
    const grants = await app.access.getGrants(userId, tenantId);
    held.push(NAMES.filter((name) => grants?.can(name) === true));
  }
  return held;
}

it('SEC-31: whatever actors give each other, nobody comes to hold what the giver did not hold', async () => {
  const seen = { given: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(lattice, fc.array(step, { minLength: 6, maxLength: 14 }), async (start, steps) => {
      const world = await build(start);
      let before = await heldBy(world);
      const atFirst = new Set(before.flat());
      for (const one of steps) {
        const actorId = world.userIds[one.by] as string;
        const code = await IdentityContext.run({ actor: { type: 'user', id: actorId } }, () =>
          perform(world, one),
        ).then(
          () => 'given',
          (error: unknown) => (isNestAuthError(error) ? error.code : 'UNTYPED'),
        );
        // Rings, inactive roles and the like are refused as they are without anybody who acts.
        expect(EXPECTED).toContain(code);
        if (code === 'given') seen.given += 1;
        if (code === 'GRANT_NOT_HELD') seen.refused += 1;
        const now = await heldBy(world);
        expect(now.flat().filter((name) => !atFirst.has(name))).toEqual([]);
        const coming = now.flatMap((held, user) => held.filter((name) => before[user]?.includes(name) === false));
        expect(coming.filter((name) => before[one.by]?.includes(name) === false)).toEqual([]);
        before = now;
      }
      expect(await app.access.getOwners(world.tenantId)).toEqual([]);
    }),
    { numRuns: 40, endOnFailure: true },
  );
  // Neither everything nor nothing was refused, or it would have shown nothing.
  expect(seen.given).toBeGreaterThan(20);
  expect(seen.refused).toBeGreaterThan(20);
});
