import { beforeAll, describe, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';

import type { AccessExplanation } from '../../../src/access/access.types.js';
import { NIL_UUID } from '../../../src/tenant/tenant.types.js';
import { addTenant, useAccess } from './fixture.js';

jest.setTimeout(300_000);

const shared = useAccess();

const KNOWN = ['*', 'a.*', 'a.b.*', 'a.b:*', 'a.b.c', 'a.b:d', 'a.x', 'b:*', 'b:c', 'd'];
/** With some that nobody knows, and some that are no names. */
const ASKED = [...KNOWN, 'a', 'a.', 'a.b.c.e', 'a.b.c.*', 'b:c:*', 'c.*', 'zzz', 'a*', 'a.*.c', '', '%', 'A.X'].filter(
  (name) => name !== '',
);

type Span = 'always' | 'later' | 'over';

interface World {
  readonly userActive: boolean;
  readonly tenantActive: boolean;
  readonly accessActive: boolean;
  readonly roles: readonly {
    readonly active: boolean;
    readonly permissions: readonly string[];
    /** Of earlier ones, so that there is no ring. */
    readonly parents: readonly number[];
    readonly assigned: Span | null;
  }[];
  readonly entries: readonly { readonly permission: string; readonly effect: 'grant' | 'deny'; readonly span: Span }[];
}

const span = fc.constantFrom<Span>('always', 'always', 'later', 'over');
const mostly = fc.integer({ min: 0, max: 19 }).map((draw) => draw > 0);
const names = fc.uniqueArray(fc.constantFrom(...KNOWN), { maxLength: 3 });

const world: fc.Arbitrary<World> = fc.record({
  userActive: mostly,
  tenantActive: mostly,
  accessActive: mostly,
  roles: fc
    .array(
      fc.record({
        active: fc.integer({ min: 0, max: 4 }).map((draw) => draw > 0),
        permissions: names,
        parents: fc.uniqueArray(fc.nat({ max: 6 }), { maxLength: 3 }),
        assigned: fc.option(span, { freq: 3 }),
      }),
      { maxLength: 7 },
    )
    .map((roles) =>
      roles.map((role, index) => ({ ...role, parents: role.parents.filter((parent) => parent < index) })),
    ),
  entries: fc.uniqueArray(
    fc.record({
      permission: fc.constantFrom(...KNOWN),
      effect: fc.constantFrom('grant' as const, 'grant' as const, 'deny' as const),
      span,
    }),
    {
      selector: ({ permission }) => permission,
      maxLength: 4,
    },
  ),
});

/** What the rules say, written down as they are said: nothing of it is shared with what is tested. */
class Model {
  constructor(readonly drawn: World) {}

  get open(): boolean {
    return this.drawn.userActive && this.drawn.tenantActive && this.drawn.accessActive;
  }

  /** Places of the roles that take part. */
  roles(): number[] {
    const { roles } = this.drawn;
    const reach = (place: number): number[] =>
      roles[place]?.active === true ? [place, ...roles[place].parents.flatMap(reach)] : [];
    const assigned = roles.flatMap(({ assigned: given }, place) => (given === null || given === 'over' ? [] : [place]));
    return this.open ? [...new Set(assigned.flatMap(reach))].toSorted((one, two) => one - two) : [];
  }

  /** Names that are granted, or denied, by something in force. */
  named(effect: 'grant' | 'deny'): string[] {
    if (!this.open) return [];
    const own = this.drawn.entries.filter((entry) => entry.effect === effect && entry.span !== 'over');
    const ofRoles =
      effect === 'deny' ? [] : this.roles().flatMap((place) => this.drawn.roles[place]?.permissions ?? []);
    return [...own.map(({ permission }) => permission), ...ofRoles];
  }

  can(name: string): boolean {
    const below = wild(name) ? name.slice(0, -1) : null;
    const denied = this.named('deny').some((held) => covers(held, name) || (below !== null && held.startsWith(below)));
    return !denied && this.named('grant').some((held) => covers(held, name));
  }

  /** Whether something in it changes by itself. */
  get changes(): boolean {
    const { roles, entries } = this.drawn;
    return (
      roles.some(({ active, assigned }) => active && assigned === 'later') ||
      entries.some((entry) => entry.span === 'later')
    );
  }
}

const wild = (name: string): boolean => name === '*' || name.endsWith('.*') || name.endsWith(':*');
const named = (name: string): boolean => !name.includes('*') || (wild(name) && name.indexOf('*') === name.length - 1);
const covers = (held: string, name: string): boolean =>
  held === name || (named(name) && wild(held) && name.startsWith(held.slice(0, -1)));

interface Stage {
  readonly userId: string;
  readonly roleIds: readonly string[];
}

const WHEN: Record<Span, string | null> = { always: null, later: '1 hour', over: '-1 hour' };

async function set(
  m: EntityManager,
  { userActive, tenantActive, accessActive, roles, entries }: World,
): Promise<Stage> {
  const userId = uuidv7();
  const roleIds = roles.map(() => uuidv7());
  await m.query(
    `insert into nest_auth_users (id, realm_id, status, is_active, disabled_at)
     values ($1, $2, case when $3 then 'active' else 'disabled' end, $3, case when $3 then null else now() end)`,
    [userId, NIL_UUID, userActive],
  );
  await m.query('update nest_auth_tenants set is_active = $2 where id = $1', [tenantId, tenantActive]);
  await m.query(
    `insert into nest_auth_user_accesses (user_id, tenant_id, realm_id, status)
     values ($1, $2, $3, case when $4 then 'active' else 'suspended' end)`,
    [userId, tenantId, NIL_UUID, accessActive],
  );
  await m.query(
    `insert into nest_auth_roles (id, tenant_id, owner_tenant_id, guard, name, is_active)
     select id, $3, $3, 'portal', id::text, is_active from unnest($1::uuid[], $2::boolean[]) as given (id, is_active)`,
    [roleIds, roles.map(({ active }) => active), tenantId],
  );
  const pairs = roles.flatMap(({ permissions }, place) => permissions.map((name) => [roleIds[place], name]));
  await m.query(
    `insert into nest_auth_role_permissions (role_id, permission_id, guard)
     select g.role_id, p.id, p.guard from unnest($1::uuid[], $2::text[]) as g (role_id, name)
     join nest_auth_permissions p on p.name = g.name and p.guard = 'portal'`,
    [pairs.map(([id]) => id), pairs.map(([, name]) => name)],
  );
  const edges = roles.flatMap(({ parents }, place) => parents.map((parent) => [roleIds[place], roleIds[parent]]));
  await m.query(
    `insert into nest_auth_role_parents (role_id, parent_id, role_tenant_id, parent_tenant_id, guard)
     select role_id, parent_id, $3, $3, 'portal' from unnest($1::uuid[], $2::uuid[]) as g (role_id, parent_id)`,
    [edges.map(([role]) => role), edges.map(([, parent]) => parent), tenantId],
  );
  const assigned = roles.flatMap(({ assigned: given }, place) =>
    given === null ? [] : [[roleIds[place], WHEN[given]]],
  );
  await m.query(
    `insert into nest_auth_user_access_roles (user_id, tenant_id, role_id, role_tenant_id, guard, expires_at)
     select $1, $2, role_id, $2, 'portal', now() + span::interval from unnest($3::uuid[], $4::text[]) as g (role_id, span)`,
    [userId, tenantId, assigned.map(([id]) => id), assigned.map(([, when]) => when)],
  );
  await m.query(
    `insert into nest_auth_user_access_permissions (user_id, tenant_id, permission_id, guard, effect, expires_at)
     select $1, $2, p.id, p.guard, g.effect, now() + g.span::interval
     from unnest($3::text[], $4::text[], $5::text[]) as g (name, effect, span)
     join nest_auth_permissions p on p.name = g.name and p.guard = 'portal'`,
    [
      userId,
      tenantId,
      ...(['permission', 'effect'] as const).map((key) => entries.map((entry) => entry[key])),
      entries.map((entry) => WHEN[entry.span]),
    ],
  );
  return { userId, roleIds };
}

let tenantId: string;

beforeAll(async () => {
  tenantId = await addTenant(shared);
  await shared.permissions.createPermissions(KNOWN.map((name) => ({ name, guard: 'portal' })));
});

/** Holds what is explained against the world: a way that is told must be one. */
function checkExplanation(model: Model, { roleIds }: Stage, name: string, told: AccessExplanation): void {
  const { roles } = model.drawn;
  expect([name, told.allowed, told.allowed]).toEqual([name, model.can(name), told.reason === 'GRANTED']);
  const place = (id: string): number => roleIds.indexOf(id);
  for (const { role, through, wildcard, expiresAt } of told.path ?? []) {
    const way = (through ?? [role]).map(({ id }) => place(id));
    const given = roles[way[0] as number]?.assigned;
    expect([given === 'always', given === 'later']).toEqual([expiresAt === undefined, expiresAt !== undefined]);
    expect(way.every((at) => roles[at]?.active)).toBe(true);
    expect(way.slice(1).every((at, index) => roles[way[index] as number]?.parents.includes(at))).toBe(true);
    expect(place(role.id)).toBe(way.at(-1));
    expect(roles[place(role.id)]?.permissions).toContain(wildcard ?? name);
    expect(covers(wildcard ?? name, name)).toBe(true);
  }
  const granting = model.roles().filter((at) => roles[at]?.permissions.some((held) => covers(held, name)));
  if (told.allowed) {
    expect(new Set((told.path ?? []).map(({ role }) => place(role.id)))).toEqual(new Set(granting));
    const direct = model.drawn.entries.filter(
      (entry) => entry.effect === 'grant' && entry.span !== 'over' && covers(entry.permission, name),
    );
    expect((told.direct ?? []).length).toBe(direct.length);
  }
  if (model.open && !told.allowed) {
    const wanted = model.named('grant').some((held) => covers(held, name));
    if (wanted) expect(told.reason).toBe('DENIED');
  }
  if (!model.open) expect(told.reason).toMatch(/^(USER_INACTIVE|TENANT_INACTIVE|ACCESS_SUSPENDED)$/);
}

async function check(m: EntityManager, model: Model, stage: Stage): Promise<void> {
  const { access } = shared;
  const { userId, roleIds } = stage;
  const expected = ASKED.filter((name) => model.can(name));
  const answers: string[] = [];
  for (const name of ASKED) if (await access.can(userId, tenantId, name, m)) answers.push(name);
  expect(answers).toEqual(expected);
  const grants = await access.getGrants(userId, tenantId, m);
  expect(ASKED.filter((name) => grants?.can(name) === true)).toEqual(expected);
  expect(await access.getPermissions(userId, tenantId, m)).toEqual(KNOWN.filter((name) => model.can(name)).toSorted());
  const roles = model.roles().map((place) => roleIds[place] as string);
  expect((await access.getRoles(userId, tenantId, m)).map(({ id }) => id)).toEqual(roles.toSorted());
  expect(grants?.roles ?? []).toEqual(roles.toSorted());
  expect(grants === null).toBe(roles.length === 0 && model.named('grant').length === 0);
  expect(grants === null || (grants.validUntil !== null) === model.changes).toBe(true);
  for (let from = 0; from + 3 <= ASKED.length; from += 3) {
    const some = ASKED.slice(from, from + 3);
    expect(await access.canAll(userId, tenantId, some, m)).toBe(some.every((name) => model.can(name)));
    expect(await access.canAny(userId, tenantId, some, m)).toBe(some.some((name) => model.can(name)));
    expect(grants?.canAll(some) ?? false).toBe(some.every((name) => model.can(name)));
    expect(grants?.canAny(some) ?? false).toBe(some.some((name) => model.can(name)));
  }
  for (const name of ASKED) {
    checkExplanation(model, stage, name, await access.explain(userId, tenantId, name, m));
  }
}

class Undo extends Error {}

describe('what somebody may do', () => {
  test('SEC-64 is what the rules say, whichever way it is asked, whatever roles, wildcards, denials and times there are', async () => {
    let yes = 0;
    let no = 0;
    await fc.assert(
      fc.asyncProperty(world, async (drawn) => {
        const model = new Model(drawn);
        const allowed = ASKED.filter((name) => model.can(name)).length;
        yes += allowed;
        no += ASKED.length - allowed;
        const done = shared.host.run(async (m) => {
          await check(m, model, await set(m, drawn));
          throw new Undo();
        });
        await expect(done).rejects.toBeInstanceOf(Undo);
      }),
      { numRuns: 150 },
    );
    // Both answers are frequent, or it would prove little.
    expect(yes).toBeGreaterThan(100);
    expect(no).toBeGreaterThan(100);
  });
});
