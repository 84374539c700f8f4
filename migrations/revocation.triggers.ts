/** What the triggers of revocation are called on every table. */
const SUFFIX = 'revoked';

const EXPIRY = 'OLD.expires_at IS DISTINCT FROM NEW.expires_at';
const ENTRY = '(OLD.effect, OLD.expires_at) IS DISTINCT FROM (NEW.effect, NEW.expires_at)';

type Trigger = readonly [table: string, on: string, when: string | undefined, tag: readonly string[]];

const TENANT: Trigger = [
  'nest_auth_tenants',
  'UPDATE OF is_active, second_factor_policy',
  '(OLD.is_active, OLD.second_factor_policy) IS DISTINCT FROM (NEW.is_active, NEW.second_factor_policy)',
  ['tenant', 'id'],
];

/** As long as a tenant could demand no second factor. */
const TENANT_BEFORE_POLICY: Trigger = [
  'nest_auth_tenants',
  'UPDATE OF is_active',
  'OLD.is_active <> NEW.is_active',
  ['tenant', 'id'],
];

/**
 * When something is taken away, and under which tag it is told: a word, and the columns whose ids follow it. Nothing
 * for what only comes new, so that creating a user, an access or a session costs nothing.
 */
const TRIGGERS: readonly Trigger[] = [
  [
    'nest_auth_users',
    'UPDATE OF status, security_stamp, deleted_at',
    '(OLD.status, OLD.security_stamp, OLD.deleted_at) IS DISTINCT FROM (NEW.status, NEW.security_stamp, NEW.deleted_at)',
    ['user', 'id'],
  ],
  ['nest_auth_users', 'DELETE', undefined, ['user', 'id']],
  [
    'nest_auth_user_accesses',
    'UPDATE OF version, status',
    '(OLD.version, OLD.status) IS DISTINCT FROM (NEW.version, NEW.status)',
    ['access', 'user_id', 'tenant_id'],
  ],
  ['nest_auth_user_accesses', 'DELETE', undefined, ['access', 'user_id', 'tenant_id']],
  ['nest_auth_user_access_roles', 'UPDATE OF expires_at', EXPIRY, ['access', 'user_id', 'tenant_id']],
  ['nest_auth_user_access_roles', 'DELETE', undefined, ['access', 'user_id', 'tenant_id']],
  [
    'nest_auth_platform_accesses',
    'UPDATE OF version, status',
    '(OLD.version, OLD.status) IS DISTINCT FROM (NEW.version, NEW.status)',
    ['access', 'user_id'],
  ],
  ['nest_auth_platform_accesses', 'DELETE', undefined, ['access', 'user_id']],
  ['nest_auth_platform_access_roles', 'UPDATE OF expires_at', EXPIRY, ['access', 'user_id']],
  ['nest_auth_platform_access_roles', 'DELETE', undefined, ['access', 'user_id']],
  // A new entry may deny.
  ['nest_auth_user_access_permissions', 'INSERT', undefined, ['access', 'user_id', 'tenant_id']],
  ['nest_auth_user_access_permissions', 'UPDATE OF effect, expires_at', ENTRY, ['access', 'user_id', 'tenant_id']],
  ['nest_auth_user_access_permissions', 'DELETE', undefined, ['access', 'user_id', 'tenant_id']],
  ['nest_auth_platform_access_permissions', 'INSERT', undefined, ['access', 'user_id']],
  ['nest_auth_platform_access_permissions', 'UPDATE OF effect, expires_at', ENTRY, ['access', 'user_id']],
  ['nest_auth_platform_access_permissions', 'DELETE', undefined, ['access', 'user_id']],
  ['nest_auth_role_parents', 'INSERT', undefined, ['role', 'role_id']],
  ['nest_auth_role_parents', 'DELETE', undefined, ['role', 'role_id']],
  [
    'nest_auth_roles',
    'UPDATE OF version, is_active, name',
    '(OLD.version, OLD.is_active, OLD.name) IS DISTINCT FROM (NEW.version, NEW.is_active, NEW.name)',
    ['role', 'id'],
  ],
  ['nest_auth_roles', 'DELETE', undefined, ['role', 'id']],
  // The version of the role tells of the same; who writes by hand may not count it up.
  ['nest_auth_role_permissions', 'INSERT', undefined, ['role', 'role_id']],
  ['nest_auth_role_permissions', 'DELETE', undefined, ['role', 'role_id']],
  // Which roles have it the row does not say: those of everybody are read again.
  ['nest_auth_permissions', 'UPDATE OF name', 'OLD.name <> NEW.name', ['roles']],
  ['nest_auth_permissions', 'DELETE', undefined, ['roles']],
  TENANT,
  ['nest_auth_tenants', 'DELETE', undefined, ['tenant', 'id']],
  [
    'nest_auth_sessions',
    'UPDATE OF revoked_at, tenant_id',
    '(OLD.revoked_at, OLD.tenant_id) IS DISTINCT FROM (NEW.revoked_at, NEW.tenant_id)',
    ['sessions', 'user_id'],
  ],
  // One that is over anyway is swept away in silence.
  [
    'nest_auth_sessions',
    'DELETE',
    'OLD.revoked_at IS NULL AND OLD.idle_expires_at > now() AND OLD.expires_at > now()',
    ['sessions', 'user_id'],
  ],
];

function nameOf(table: string, on: string): string {
  return `${table}_${SUFFIX}_${on.slice(0, 6).toLowerCase()}`;
}

/** Tells of a tag once a transaction, however many rows have it: PostgreSQL leaves out what is told twice. */
const FUNCTION = `CREATE FUNCTION nest_auth_tell_revoked() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE changed jsonb := coalesce(to_jsonb(OLD), to_jsonb(NEW));
    BEGIN
      PERFORM pg_notify('nest_auth_revoked', concat_ws(':', TG_ARGV[0], changed ->> TG_ARGV[1], changed ->> TG_ARGV[2]));
      RETURN NULL;
    END $$`;

const create = ([table, on, when, tag]: Trigger): string =>
  `CREATE TRIGGER ${nameOf(table, on)} AFTER ${on} ON ${table} FOR EACH ROW
      ${when === undefined ? '' : `WHEN (${when})`}
      EXECUTE FUNCTION nest_auth_tell_revoked(${tag.map((part) => `'${part}'`).join(', ')})`;

const drop = ([table, on]: Trigger): string => `DROP TRIGGER ${nameOf(table, on)} ON ${table}`;

/** The triggers alone; what they call stays. */
export const CREATE_REVOCATION_TRIGGERS = TRIGGERS.map(create);

export const DROP_REVOCATION_TRIGGERS = TRIGGERS.map(drop);

export const CREATE_TENANT_TRIGGER = create(TENANT);
export const CREATE_TENANT_TRIGGER_BEFORE_POLICY = create(TENANT_BEFORE_POLICY);
export const DROP_TENANT_TRIGGER = drop(TENANT);

/** As they were made first: a column that came later is not there yet. */
export const CREATE_REVOCATION = [
  FUNCTION,
  ...TRIGGERS.map((trigger) => create(trigger === TENANT ? TENANT_BEFORE_POLICY : trigger)),
];

export const DROP_REVOCATION = [...DROP_REVOCATION_TRIGGERS, 'DROP FUNCTION nest_auth_tell_revoked()'];
