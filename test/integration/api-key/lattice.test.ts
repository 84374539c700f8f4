import { beforeAll, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';

import { AccessGate, AccessGrants, type IssuedApiKey, RoleGuardEnum } from '../../../src/index.js';
import { useNestApp } from '../../support/nest-app.js';
import { apiKeys, codeOf, type Ground, KEYS, layGround, member } from './fixture.js';

jest.setTimeout(120_000);

const app = useNestApp({ auth: KEYS });

const LEAVES = ['a.x', 'a.y', 'a.b.z', 'b.x', 'c'] as const;
const NAMES = [...LEAVES, 'a.*', 'a.b.*', 'b.*', '*'] as const;
const names = fc.subarray([...NAMES], { maxLength: 4 });
const some = fc.subarray([...NAMES], { minLength: 1, maxLength: 3 });

/** By the meaning of a wildcard, and by no code of the package. */
const covers = (held: readonly string[], leaf: string): boolean =>
  held.some((name) => name === leaf || (name.endsWith('*') && leaf.startsWith(name.slice(0, -1))));

const below = (name: string): readonly string[] => LEAVES.filter((leaf) => covers([name], leaf));

const grantsOf = (granted: readonly string[], denied: readonly string[]): AccessGrants =>
  new AccessGrants({ userId: 'u', tenantId: 't', roles: ['r'], granted, denied, validUntil: null });

it('SEC-31 a key can do what its user can and its scopes cover, exactly', () => {
  fc.assert(
    fc.property(names, names, some, some, (granted, denied, scopes, more) => {
      const user = grantsOf(granted, denied);
      const key = user.scopedTo(scopes);
      for (const leaf of LEAVES) {
        expect(key.can(leaf)).toBe(covers(granted, leaf) && !covers(denied, leaf) && covers(scopes, leaf));
      }
      for (const name of NAMES) {
        const can = key.can(name);
        // Whoever can do all that a wildcard says can do each of it.
        expect(can && !below(name).every((leaf) => key.can(leaf))).toBe(false);
        expect(can && !user.can(name)).toBe(false);
        expect(can && !user.scopedTo([...scopes, ...more]).can(name)).toBe(false);
        expect(key.scopedTo(more).can(name)).toBe(can && user.scopedTo(more).can(name));
      }
      expect(key.roles).toEqual([]);
    }),
    { numRuns: 2_000 },
  );
});

let ground: Ground;
beforeAll(async () => {
  ground = await layGround(app);
  await app.permissions.createPermissions(
    NAMES.filter((name) => name !== '*').map((name) => ({ name, guard: RoleGuardEnum.PORTAL })),
  );
});

/** What the scopes say must be held: of each every leaf, by a wildcard where it is one itself. */
const mayMake = (holder: AccessGrants, scopes: readonly string[]): boolean => scopes.every((name) => holder.can(name));

it('SEC-31 no chain of keys that make keys ever reaches further than the one before, nor than the user', async () => {
  const gate = app.context.get(AccessGate);
  const chain = fc.record({ granted: some, denied: names, asked: fc.array(some, { minLength: 1, maxLength: 4 }) });
  await fc.assert(
    fc.asyncProperty(chain, async ({ granted, denied, asked }) => {
      const { tenantId } = ground;
      const { id: userId } = await member(app, tenantId, ground.reader);
      await app.users.setUserAccessRoles(userId, tenantId, []);
      for (const name of granted) await app.access.grantPermission(userId, tenantId, name);
      for (const name of denied) await app.access.denyPermission(userId, tenantId, name);
      const held = granted.filter((name) => !denied.includes(name));
      const user = grantsOf(held, denied);
      let holder = user;
      let last: IssuedApiKey | undefined;
      for (const [index, scopes] of asked.entries()) {
        const make = () => apiKeys(app).createApiKey({ owner: { userId, tenantId }, name: `${index}`, scopes });
        const principal = last && (await gate.authenticateApiKey(last.secret));
        const made = principal === undefined ? make() : gate.runAs(principal, make);
        const outcome = await codeOf(made);
        expect([scopes, outcome]).toEqual([scopes, mayMake(holder, scopes) ? null : 'GRANT_NOT_HELD']);
        if (outcome !== null) continue;
        last = await made;
        const next = await gate.getGrants(await gate.authenticateApiKey(last.secret));
        for (const leaf of LEAVES) {
          expect(next.can(leaf)).toBe(user.can(leaf) && covers(scopes, leaf));
          expect(next.can(leaf) && !holder.can(leaf)).toBe(false);
        }
        holder = user.scopedTo(scopes);
      }
    }),
    { numRuns: 60 },
  );
});
