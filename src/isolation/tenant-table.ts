import { InputIssues } from '../errors/input.js';

/** A table of the host whose rows belong to a tenant each. All names plain: lower-case letters, digits and `_`. */
export interface TenantTableOptions {
  readonly table: string;
  /** @default 'tenant_id' */
  readonly tenantColumn?: string;
  /**
   * Instead of a tenant: the column with the id of the user that a row belongs to. Who sees the user sees the row.
   * @default none: rows belong to a tenant
   */
  readonly userColumn?: string;
  /** The table's own key, to which rows of other tables may refer together with the tenant. @default 'id' */
  readonly keyColumn?: string;
  /** Column with a user's id: only members of the row's tenant can be named there. @default none */
  readonly ownerColumn?: string;
  /** Columns that refer to other such tables: only rows of the same tenant can be named there. @default [] */
  readonly parents?: readonly { readonly column: string; readonly table: string; readonly keyColumn?: string }[];
  /** @default 'nest_auth_app' */
  readonly appRole?: string;
  /** @default 'nest_auth_platform' */
  readonly platformRole?: string;
}

/** The statements of a migration, in order. */
export interface TenantTableSql {
  readonly up: readonly string[];
  readonly down: readonly string[];
}

const NAME = /^[a-z_][a-z0-9_]{0,47}$/;
const ROLE = /^[a-z_][a-z0-9_]{0,62}$/;

/**
 * The SQL that puts a host's own table under row-level security: forced, nothing visible without a tenant, nothing
 * written for another one. Foreign keys carry the tenant, because their checks see rows that policies hide.
 *
 * Errors: `VALIDATION_FAILED` for a name that would have to be quoted.
 */
export function tenantTableSql(options: TenantTableOptions): TenantTableSql {
  checkNames(options);
  const { table, appRole = 'nest_auth_app', platformRole = 'nest_auth_platform' } = options;
  const constraints = constraintsOf(options);
  const { using, check: checked } = conditionsOf(options);
  return {
    up: [
      ...constraints.map(({ add }) => add),
      `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`,
      `CREATE POLICY ${table}_tenant ON ${table} FOR ALL TO PUBLIC USING (${using}) WITH CHECK (${checked})`,
      `CREATE POLICY ${table}_tenant_wall ON ${table} AS RESTRICTIVE FOR ALL TO ${appRole} USING (${using}) WITH CHECK (${checked})`,
      `CREATE POLICY ${table}_platform ON ${table} FOR ALL TO ${platformRole} USING (true) WITH CHECK (true)`,
      `GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO ${appRole}, ${platformRole}`,
    ],
    down: [
      `REVOKE SELECT, INSERT, UPDATE, DELETE ON ${table} FROM ${appRole}, ${platformRole}`,
      `DROP POLICY ${table}_platform ON ${table}`,
      `DROP POLICY ${table}_tenant_wall ON ${table}`,
      `DROP POLICY ${table}_tenant ON ${table}`,
      `ALTER TABLE ${table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY`,
      ...constraints.map(({ drop }) => drop).toReversed(),
    ],
  };
}

function conditionsOf({ table, tenantColumn = 'tenant_id', userColumn }: TenantTableOptions): {
  using: string;
  check: string;
} {
  if (userColumn !== undefined) {
    return {
      using: `EXISTS (SELECT 1 FROM nest_auth_users u WHERE u.id = ${table}.${userColumn})`,
      // A function, because a sub-select does not see a user that the same statement has made.
      check: `nest_auth_sees_user(${userColumn})`,
    };
  }
  const own = `${tenantColumn} = (SELECT nullif(current_setting('nest_auth.tenant_id', true), '')::uuid)`;
  return { using: own, check: own };
}

interface Change {
  readonly add: string;
  readonly drop: string;
}

function constraintsOf(options: TenantTableOptions): Change[] {
  const { table, tenantColumn = 'tenant_id', keyColumn = 'id', ownerColumn, parents = [] } = options;
  // The key to the user is the host's own, and what else refers to a tenant has none to carry.
  if (options.userColumn !== undefined) return [];
  const constraint = (name: string, definition: string): Change => ({
    add: `ALTER TABLE ${table} ADD CONSTRAINT ${name} ${definition}`,
    drop: `ALTER TABLE ${table} DROP CONSTRAINT ${name}`,
  });
  const reference = (column: string, target: string): Change[] => [
    constraint(
      `${table}_${column}_fk`,
      `FOREIGN KEY (${column}, ${tenantColumn}) REFERENCES ${target} ON DELETE RESTRICT`,
    ),
    {
      add: `CREATE INDEX ${table}_${column}_ix ON ${table} (${column}, ${tenantColumn})`,
      drop: `DROP INDEX ${table}_${column}_ix`,
    },
  ];
  return [
    constraint(
      `${table}_tenant_fk`,
      `FOREIGN KEY (${tenantColumn}) REFERENCES nest_auth_tenants (id) ON DELETE RESTRICT`,
    ),
    constraint(`${table}_tenant_uq`, `UNIQUE (${keyColumn}, ${tenantColumn})`),
    { add: `CREATE INDEX ${table}_tenant_ix ON ${table} (${tenantColumn})`, drop: `DROP INDEX ${table}_tenant_ix` },
    ...(ownerColumn === undefined ? [] : reference(ownerColumn, 'nest_auth_user_accesses (user_id, tenant_id)')),
    ...parents.flatMap((parent) =>
      reference(parent.column, `${parent.table} (${parent.keyColumn ?? 'id'}, ${tenantColumn})`),
    ),
  ];
}

function checkNames(options: TenantTableOptions): void {
  const { table, tenantColumn, userColumn, keyColumn, ownerColumn, parents = [], appRole, platformRole } = options;
  const issues = new InputIssues();
  const names = { table, tenantColumn, userColumn, keyColumn, ownerColumn };
  if (userColumn !== undefined && (tenantColumn ?? ownerColumn ?? parents[0]) !== undefined) {
    issues.add('userColumn', 'stands alone: such a row has no tenant of its own');
  }
  const parentNames = parents.flatMap(({ column, table: parent, keyColumn: key }, index) => [
    [`parents.${index}.column`, column] as const,
    [`parents.${index}.table`, parent] as const,
    [`parents.${index}.keyColumn`, key] as const,
  ]);
  for (const [path, name] of [...Object.entries(names), ...parentNames]) {
    if (path === 'table' || name !== undefined) check(issues, path, name, NAME);
  }
  for (const [path, role] of Object.entries({ appRole, platformRole })) {
    if (role !== undefined) check(issues, path, role, ROLE);
  }
  issues.refuse('A table of tenants needs plain names');
}

function check(issues: InputIssues, path: string, name: unknown, form: RegExp): void {
  if (typeof name !== 'string' || !form.test(name)) {
    issues.add(path, 'must be a plain name: lower-case letters, digits and _, at most 48 characters');
  }
}
