import type { EntityManager } from 'typeorm';
import { coveringNames } from '../access/permission-names.policy.js';
import { RoleGuardEnum } from '../access/access.types.js';
import { execute, type Statement } from '../transaction/statement.js';

/** Where a name is looked for: on the platform, in a tenant, or, for a service, anywhere. */
type NamePlace = 'platform' | 'tenant' | 'anywhere';

export interface WantedName {
  readonly what: 'role' | 'permission';
  readonly name: string;
  readonly place: NamePlace;
}

/** A name that the database does not have, and the one it has that looks most like it; null when none does. */
export interface UnknownName extends WantedName {
  readonly nearest: string | null;
}

interface NameRow {
  readonly what: 'role' | 'permission';
  readonly name: string;
  readonly platform: boolean;
}

const CANDIDATES = 5_000;

const FOUND: Statement<NameRow> = {
  text: `select distinct 'role' as what, name, guard = '${RoleGuardEnum.ADMIN}' as platform
      from nest_auth_roles where name = any($1::text[]) and tenant_id is null
    union all
    select distinct 'permission', name, guard = '${RoleGuardEnum.ADMIN}' from nest_auth_permissions where name = any($2::text[])`,
};

const NEAR: Statement<NameRow> = {
  text: `(select distinct 'role' as what, name, guard = '${RoleGuardEnum.ADMIN}' as platform
      from nest_auth_roles where tenant_id is null limit ${CANDIDATES})
    union all
    (select distinct 'permission', name, guard = '${RoleGuardEnum.ADMIN}' from nest_auth_permissions limit ${CANDIDATES})`,
};

/** Those of the names that do not exist where they are looked for. One statement, two when there are any. */
export async function findUnknownNames(manager: EntityManager, wanted: readonly WantedName[]): Promise<UnknownName[]> {
  const names = (what: WantedName['what']): string[] =>
    wanted.filter((one) => one.what === what).flatMap(acceptableNames);
  const found = await execute(manager, FOUND, [names('role'), names('permission')]);
  const unknown = wanted.filter((one) => {
    const acceptable = acceptableNames(one);
    return !found.some((row) => isThere(row, one) && acceptable.includes(row.name));
  });
  if (unknown.length === 0) return [];
  const candidates = await execute(manager, NEAR, []);
  return unknown.map((one) => ({ ...one, nearest: nearestOf(one, candidates) }));
}

/** A permission may exist as a wildcard; `*` alone would let every spelling mistake pass. */
function acceptableNames({ what, name }: WantedName): string[] {
  return what === 'role' ? [name] : coveringNames(name).filter((covering) => covering === name || covering !== '*');
}

function isThere(row: NameRow, { what, place }: WantedName): boolean {
  return row.what === what && (place === 'anywhere' || row.platform === (place === 'platform'));
}

function nearestOf(wanted: WantedName, rows: readonly NameRow[]): string | null {
  const candidates = rows.filter((row) => isThere(row, wanted)).map(({ name }) => name);
  const ranked = candidates
    .map((name) => ({ name, distance: editDistance(wanted.name, name) }))
    .toSorted((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1));
  const [best] = ranked;
  // Further away it is another word, and not this one misspelt.
  return best !== undefined && best.distance <= Math.max(2, wanted.name.length / 2) ? best.name : null;
}

/** Levenshtein's: how many letters must be put in, taken out or changed. */
function editDistance(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let row = 1; row <= from.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= to.length; column += 1) {
      const changed = (previous[column - 1] ?? 0) + (from[row - 1] === to[column - 1] ? 0 : 1);
      current.push(Math.min(changed, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[to.length] ?? 0;
}
