import type { QueryRunner } from 'typeorm';

/** Those that the settings of the database name; they must exist. */
export interface RlsRoles {
  /** Quoted, as all here. */
  readonly app: string;
  readonly platform: string;
}

export async function readRlsRoles(runner: QueryRunner): Promise<RlsRoles> {
  const rows = (await runner.query(`
    select wanted.kind, wanted.name, quote_ident(wanted.name) as quoted, r.oid is not null as known
    from (values
      ('app', coalesce(nullif(current_setting('nest_auth.app_role', true), ''), 'nest_auth_app')),
      ('platform', coalesce(nullif(current_setting('nest_auth.platform_role', true), ''), 'nest_auth_platform'))
    ) as wanted (kind, name) left join pg_roles r on r.rolname = wanted.name`)) as {
    kind: keyof RlsRoles;
    name: string;
    quoted: string;
    known: boolean;
  }[];
  const missing = rows.filter(({ known }) => !known).map(({ name }) => name);
  if (missing.length > 0) {
    throw new Error(
      `Row-level security needs the roles ${missing.join(' and ')}; create them first, or name others with ` +
        'ALTER DATABASE … SET nest_auth.app_role and nest_auth.platform_role (docs/isolation.md has the SQL)',
    );
  }
  return Object.fromEntries(rows.map(({ kind, quoted }) => [kind, quoted])) as unknown as RlsRoles;
}
