import type { EntityManager } from 'typeorm';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { execute, executeOne, type Statement } from '../transaction/statement.js';

interface RoleFacts {
  readonly role: string;
  readonly superuser: boolean;
  readonly bypass: boolean;
  readonly platform: string;
  readonly platform_known: boolean;
  readonly platform_inherited: boolean;
  readonly platform_reachable: boolean;
  readonly platform_bypass: boolean;
}

const ROLE: Statement<RoleFacts> = {
  text: `select r.rolname as role, r.rolsuper as superuser, r.rolbypassrls as bypass, p.name as platform,
      o.oid is not null as platform_known,
      coalesce(pg_has_role(r.oid, o.oid, 'USAGE'), false) as platform_inherited,
      coalesce(pg_has_role(r.oid, o.oid, 'MEMBER'), false) as platform_reachable,
      coalesce(o.rolsuper or o.rolbypassrls, false) as platform_bypass
    from pg_roles r
    cross join (select coalesce(nullif(current_setting('nest_auth.platform_role', true), ''), 'nest_auth_platform') as name) p
    left join pg_roles o on o.rolname = p.name
    where r.rolname = current_user`,
};

interface TableFacts {
  readonly name: string;
  readonly enabled: boolean;
  readonly forced: boolean;
  readonly owned: boolean;
  readonly walled: boolean;
  readonly truncates: boolean;
}

const TABLES: Statement<TableFacts> = {
  text: `select w.name, coalesce(c.relrowsecurity, false) as enabled, coalesce(c.relforcerowsecurity, false) as forced,
      coalesce(pg_has_role(current_user, c.relowner, 'USAGE'), false) as owned,
      exists (select 1 from pg_policy p where p.polrelid = c.oid and not p.polpermissive) as walled,
      coalesce(has_table_privilege(c.oid, 'TRUNCATE'), false) as truncates
    from unnest($1::text[]) as w (name) left join pg_class c on c.oid = to_regclass(quote_ident(w.name))
    order by w.name`,
};

/** What the check found, for the log and for `withoutTenant`. */
export interface RowSecurityFacts {
  readonly platformRole: string;
  /** Not dangerous enough to refuse. */
  readonly warnings: readonly string[];
}

/**
 * Refuses to claim row-level security where it does not hold: for a role that no policy binds, and for tables that the
 * migration has not protected.
 */
export async function assertRowSecurity(manager: EntityManager, tables: readonly string[]): Promise<RowSecurityFacts> {
  const role = await executeOne(manager, ROLE);
  const problems = problemsOfRole(role);
  const facts = await execute(manager, TABLES, [tables]);
  problems.push(...facts.flatMap(problemsOfTable));
  if (problems.length > 0) {
    throw new NestAuthError(
      'INVALID_OPTIONS',
      `NestAuthModule: rls is on, but row-level security does not hold: ${problems.join('; ')}`,
      { details: { option: 'rls', issues: problems.map((message) => ({ path: 'rls', message })) } },
    );
  }
  const truncates = facts.filter((table) => table.truncates).map(({ name }) => name);
  const warnings =
    truncates.length === 0 ? [] : [`${role.role} may TRUNCATE ${truncates.join(', ')}: no policy holds that back`];
  return { platformRole: role.platform, warnings };
}

function problemsOfRole(role: RoleFacts): string[] {
  const problems: string[] = [];
  if (role.superuser) problems.push(`${role.role} is a superuser, whom no policy binds`);
  else if (role.bypass) problems.push(`${role.role} has BYPASSRLS`);
  if (!role.platform_known) return [...problems, `the role ${role.platform} does not exist`];
  if (role.superuser) return problems;
  if (role.platform_inherited) {
    problems.push(
      `${role.role} inherits ${role.platform}, so that it sees every tenant at any time; make it NOINHERIT`,
    );
  } else if (!role.platform_reachable) {
    problems.push(`${role.role} is no member of ${role.platform}, which withoutTenant needs`);
  }
  if (role.platform_bypass) problems.push(`${role.platform} is a superuser or has BYPASSRLS; its policies are enough`);
  return problems;
}

function problemsOfTable({ name, enabled, forced, owned, walled }: TableFacts): string[] {
  if (!enabled) return [`${name} has no row-level security; run NestAuthRlsMigrations`];
  if (!forced) return [`${name} is not under FORCE${owned ? ', and the application owns it' : ''}`];
  return walled ? [] : [`${name} has lost its restrictive policy`];
}
