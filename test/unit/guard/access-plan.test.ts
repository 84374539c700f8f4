import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { AccessGrants } from '../../../src/access/access-grants.js';
import { type AccessMark, demandsAnything, fulfils, planOf } from '../../../src/guard/access-plan.policy.js';

const NAMES = ['a', 'b', 'c', 'd'];
const some = fc.subarray(NAMES);
const lists = fc.array(fc.subarray(NAMES, { minLength: 1 }), { maxLength: 3 });

const grants = fc
  .record({ systemRoles: some, ownRoles: some, granted: some, denied: some, platform: fc.boolean() })
  .map(({ systemRoles, ownRoles, granted, denied, platform }) => ({
    systemRoles,
    granted: granted.filter((name) => !denied.includes(name)),
    made: new AccessGrants({
      userId: 'u',
      tenantId: platform ? null : 't',
      roles: [...systemRoles, ...ownRoles],
      systemRoles,
      granted,
      denied,
      validUntil: null,
    }),
  }));

const marks = fc
  .record({ roles: lists, permissions: lists, anyPermission: lists, platform: fc.boolean() })
  .map(({ roles, permissions, anyPermission, platform }): AccessMark[] => [
    ...roles.map((names) => ({ kind: 'roles', names }) as const),
    ...permissions.map((names) => ({ kind: 'permissions', names }) as const),
    ...anyPermission.map((names) => ({ kind: 'anyPermission', names }) as const),
    ...(platform ? [{ kind: 'platform' } as const] : []),
  ]);

const namesIn = (given: readonly AccessMark[], kind: AccessMark['kind']): (readonly string[])[] =>
  given.flatMap((one) => (one.kind === kind && 'names' in one ? [one.names] : []));

describe('SEC-64 several demands', () => {
  it('are fulfilled only if each of them is', () => {
    fc.assert(
      fc.property(marks, grants, (given, { made, systemRoles, granted }) => {
        const { demand } = planOf(given, []);
        const each = [
          ...namesIn(given, 'roles').map((names) => names.some((name) => systemRoles.includes(name))),
          ...namesIn(given, 'permissions').map((names) => names.every((name) => granted.includes(name))),
          ...namesIn(given, 'anyPermission').map((names) => names.some((name) => granted.includes(name))),
        ];
        const asksPermission = demand.permissions.length + demand.anyPermission.length > 0;
        const isThere = !demand.platform || made.roles.length > 0 || asksPermission;
        expect(fulfils(made, demand)).toBe(isThere && each.every(Boolean));
      }),
      { numRuns: 2_000 },
    );
  });

  it('never let in more people than one of them', () => {
    fc.assert(
      fc.property(marks, marks, grants, (first, more, { made }) => {
        const [one, both] = [planOf(first, []), planOf([...first, ...more], [])];
        // A demand for the platform alone is answered by a permission there, too.
        fc.pre(one.demand.platform === both.demand.platform && !one.demand.platform);
        expect(fulfils(made, both.demand) && !fulfils(made, one.demand)).toBe(false);
      }),
      { numRuns: 2_000 },
    );
  });

  it('are let go by nothing: beside @Public they are a mistake', () => {
    fc.assert(
      fc.property(marks, (given) => {
        const { problems } = planOf([{ kind: 'public' }, ...given], []);
        expect(problems.length > 0).toBe(given.length > 0);
      }),
    );
  });

  it('with an empty list let nobody in', () => {
    fc.assert(
      fc.property(grants, fc.constantFrom('roles', 'anyPermission'), ({ made }, kind) => {
        const { demand, problems } = planOf([{ kind, names: [] }], []);
        expect({ passes: fulfils(made, demand), isMistake: problems.length > 0 }).toEqual({
          passes: false,
          isMistake: true,
        });
        expect(demandsAnything(demand)).toBe(true);
      }),
    );
  });
});
