import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';
import { readRlsRoles, type RlsRoles } from './rls-roles.js';

/**
 * Row-level security for the tables of the package. Opt-in: run it together with the module's option `rls: true`.
 *
 * Without a tenant nothing of any tenant is visible. The tenant is the transaction's `nest_auth.tenant_id`; work for
 * the whole platform is done by a role of its own, never by a switch that any statement could set.
 * The roles are `nest_auth_app` and `nest_auth_platform`, or what the settings `nest_auth.app_role` and
 * `nest_auth.platform_role` of the database say. They must exist; see docs/isolation.md.
 */
export class RowSecurity1790000000100 implements MigrationInterface {
  name = 'RowSecurity1790000000100';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = to_regclass('nest_auth_roles') AND tgname = 'nest_auth_roles_keep_owner')`;
    await oneAtATime(runner, { name: this.name, isDone }, () => protectAll(runner));
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, () => unprotectAll(runner));
  }
}

async function protectAll(runner: QueryRunner): Promise<void> {
  const roles = await readRlsRoles(runner);
  for (const statement of FUNCTIONS) await runner.query(statement);
  for (const table of Object.keys(RULES)) {
    for (const statement of protect(table, roles)) await runner.query(statement);
  }
  for (const statement of TRIGGERS) await runner.query(statement);
}

async function unprotectAll(runner: QueryRunner): Promise<void> {
  const { app, platform } = await readRlsRoles(runner);
  await runner.query('DROP TRIGGER nest_auth_roles_keep_owner ON nest_auth_roles');
  await runner.query('DROP TRIGGER nest_auth_users_keep_realm ON nest_auth_users');
  await runner.query('DROP TRIGGER nest_auth_users_note ON nest_auth_users');
  for (const table of Object.keys(RULES)) {
    for (const policy of policiesOf(table)) await runner.query(`DROP POLICY ${policy.name} ON ${table}`);
    await runner.query(`ALTER TABLE ${table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY`);
    await runner.query(`REVOKE SELECT, INSERT, UPDATE, DELETE ON ${table} FROM ${app}, ${platform}`);
  }
  for (const name of DROPPED_FUNCTIONS) await runner.query(`DROP FUNCTION ${name}`);
}

const NIL = `'00000000-0000-0000-0000-000000000000'`;

/**
 * The tenant of the transaction. After a transaction that set it the setting reads as an empty string, which is no uuid;
 * in a sub-select it is read once a statement and not once a row.
 */
const TENANT = `(SELECT nullif(current_setting('nest_auth.tenant_id', true), '')::uuid)`;

/** Who may see, add, change and remove a row of a table. An absent rule denies. */
interface Rule {
  readonly select?: string;
  readonly insert?: string;
  /** Rows that may be locked and changed: a lock needs the same right as a change. */
  readonly update?: string;
  /** What a changed row must be. */
  readonly updated?: string;
  readonly delete?: string;
}

const OWN: Rule = {
  select: `tenant_id = ${TENANT}`,
  insert: `tenant_id = ${TENANT}`,
  update: `tenant_id = ${TENANT}`,
  updated: `tenant_id = ${TENANT}`,
  delete: `tenant_id = ${TENANT}`,
};

/**
 * Users whom the tenant may change. A member who lives in the shared realm belongs to other tenants too: whoever could
 * change the email could sign in there.
 */
const OWN_USER = `(realm_id = ${TENANT} OR nest_auth_is_new_user(id, created_at))`;
const SEEN_USER = `(realm_id = ${TENANT} OR nest_auth_is_new_user(id, created_at) OR EXISTS (
  SELECT 1 FROM nest_auth_user_accesses a WHERE a.user_id = nest_auth_users.id AND a.tenant_id = ${TENANT}))`;

const SEEN_ROLE = `(tenant_id IS NULL OR tenant_id = ${TENANT})`;

const RULES: Readonly<Record<string, Rule>> = {
  nest_auth_tenants: { select: `id = ${TENANT}`, update: `id = ${TENANT}`, updated: `id = ${TENANT}` },
  nest_auth_users: {
    select: SEEN_USER,
    insert: `(${TENANT} IS NOT NULL AND realm_id IN (${NIL}, ${TENANT}))`,
    update: SEEN_USER,
    updated: OWN_USER,
    delete: OWN_USER,
  },
  nest_auth_identities: {
    select: `(nest_auth_is_new_user(user_id, created_at)
      OR EXISTS (SELECT 1 FROM nest_auth_users u WHERE u.id = nest_auth_identities.user_id))`,
    insert: `nest_auth_owns_user(user_id)`,
    update: `nest_auth_owns_user(user_id)`,
    updated: `nest_auth_owns_user(user_id)`,
    delete: `nest_auth_owns_user(user_id)`,
  },
  // A lock of a permission is all that a tenant needs.
  nest_auth_permissions: { select: 'true', update: `${TENANT} IS NOT NULL`, updated: 'false' },
  nest_auth_roles: {
    select: SEEN_ROLE,
    insert: `tenant_id = ${TENANT}`,
    update: `(${TENANT} IS NOT NULL AND ${SEEN_ROLE})`,
    updated: `tenant_id = ${TENANT}`,
    delete: `tenant_id = ${TENANT}`,
  },
  nest_auth_role_permissions: {
    select: `EXISTS (SELECT 1 FROM nest_auth_roles r WHERE r.id = nest_auth_role_permissions.role_id)`,
    insert: `nest_auth_owns_role(role_id)`,
    update: `nest_auth_owns_role(role_id)`,
    updated: `nest_auth_owns_role(role_id)`,
    delete: `nest_auth_owns_role(role_id)`,
  },
  // Making somebody a member makes them visible, so it takes more than the id of a person.
  nest_auth_user_accesses: {
    ...OWN,
    insert: `(tenant_id = ${TENANT} AND nest_auth_sees_user(user_id))`,
    updated: `(tenant_id = ${TENANT} AND nest_auth_sees_user(user_id))`,
  },
  nest_auth_user_access_roles: OWN,
  nest_auth_platform_accesses: {},
  nest_auth_platform_access_roles: {},
};

const COMMANDS = ['select', 'insert', 'update', 'delete'] as const;

interface Policy {
  readonly name: string;
  /** Between the table and the conditions. */
  readonly head: (roles: RlsRoles) => string;
  readonly conditions: string;
}

function policiesOf(table: string): Policy[] {
  const rule = RULES[table] as Rule;
  const everybody = COMMANDS.filter((command) => rule[command] !== undefined).map((command) => ({
    name: `${table}_tenant_${command}`,
    head: () => `FOR ${command.toUpperCase()} TO PUBLIC`,
    conditions: conditionsOf(rule, command),
  }));
  // Permissive policies add up. This one is a wall that a policy added later cannot open for the application.
  const wall = {
    name: `${table}_tenant_wall`,
    head: ({ app }: RlsRoles) => `AS RESTRICTIVE FOR ALL TO ${app}`,
    conditions: `USING (${rule.select ?? 'false'}) WITH CHECK (${wallOf(rule)})`,
  };
  const platform = {
    name: `${table}_platform`,
    head: ({ platform: role }: RlsRoles) => `FOR ALL TO ${role}`,
    conditions: 'USING (true) WITH CHECK (true)',
  };
  return [...everybody, wall, platform];
}

function conditionsOf(rule: Rule, command: (typeof COMMANDS)[number]): string {
  if (command === 'insert') return `WITH CHECK (${rule.insert})`;
  if (command === 'update') return `USING (${rule.update}) WITH CHECK (${rule.updated})`;
  return `USING (${rule[command]})`;
}

/** One wall stands for additions and changes alike. */
function wallOf({ insert, updated }: Rule): string {
  if (insert === undefined || updated === undefined) return insert ?? updated ?? 'false';
  return insert === updated ? insert : `${insert} OR ${updated}`;
}

function protect(table: string, roles: RlsRoles): string[] {
  return [
    `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`,
    `GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO ${roles.app}, ${roles.platform}`,
    ...policiesOf(table).map(
      ({ name, head, conditions }) => `CREATE POLICY ${name} ON ${table} ${head(roles)} ${conditions}`,
    ),
  ];
}

/**
 * Users, their identities and their access are written by one statement, in which a sub-select of a policy does not see
 * what was written a moment before. Volatile functions do, and a policy in a function is no recursion of policies.
 */
const FUNCTIONS = [
  // With the moment of its making, so that naming the id of a user that exists opens nothing.
  `CREATE FUNCTION nest_auth_is_new_user(id uuid, created_at timestamptz) RETURNS boolean LANGUAGE sql STABLE
    RETURN coalesce(strpos(current_setting('nest_auth.new_users', true), id::text || '@' || extract(epoch from created_at)::text) > 0, false)`,
  `CREATE FUNCTION nest_auth_note_new_user() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      NEW.created_at := now();
      PERFORM set_config('nest_auth.new_users', coalesce(current_setting('nest_auth.new_users', true), '')
        || NEW.id::text || '@' || extract(epoch from NEW.created_at)::text || ' ', true);
      RETURN NEW;
    END $$`,
  `CREATE FUNCTION nest_auth_keep_scope() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'a tenant cannot move a row of % to another scope', TG_TABLE_NAME USING ERRCODE = '42501';
    END $$`,
  `CREATE FUNCTION nest_auth_sees_user(wanted uuid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
    BEGIN
      RETURN EXISTS (SELECT 1 FROM nest_auth_users WHERE id = wanted);
    END $$`,
  `CREATE FUNCTION nest_auth_owns_user(wanted uuid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
    BEGIN
      RETURN EXISTS (SELECT 1 FROM nest_auth_users WHERE id = wanted AND ${OWN_USER});
    END $$`,
  `CREATE FUNCTION nest_auth_owns_role(wanted uuid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
    BEGIN
      RETURN EXISTS (SELECT 1 FROM nest_auth_roles WHERE id = wanted AND tenant_id = ${TENANT});
    END $$`,
];

const DROPPED_FUNCTIONS = [
  'nest_auth_owns_role(uuid)',
  'nest_auth_owns_user(uuid)',
  'nest_auth_sees_user(uuid)',
  'nest_auth_keep_scope()',
  'nest_auth_note_new_user()',
  'nest_auth_is_new_user(uuid, timestamptz)',
];

const HAS_TENANT = `coalesce(current_setting('nest_auth.tenant_id', true), '') <> ''`;

/** A check of a policy sees the new row only; what a row was is known to a trigger. */
const TRIGGERS = [
  `CREATE TRIGGER nest_auth_users_note BEFORE INSERT ON nest_auth_users
    FOR EACH ROW WHEN (${HAS_TENANT}) EXECUTE FUNCTION nest_auth_note_new_user()`,
  `CREATE TRIGGER nest_auth_users_keep_realm BEFORE UPDATE ON nest_auth_users
    FOR EACH ROW WHEN (${HAS_TENANT} AND OLD.realm_id IS DISTINCT FROM NEW.realm_id)
    EXECUTE FUNCTION nest_auth_keep_scope()`,
  `CREATE TRIGGER nest_auth_roles_keep_owner BEFORE UPDATE ON nest_auth_roles
    FOR EACH ROW WHEN (${HAS_TENANT} AND OLD.owner_tenant_id IS DISTINCT FROM NEW.owner_tenant_id)
    EXECUTE FUNCTION nest_auth_keep_scope()`,
];
