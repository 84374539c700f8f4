import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';

/**
 * The identity core: tenants, users with their identities, accesses, roles and permissions.
 *
 * Everything that must be true is a constraint here, with a name that `src/errors/postgres-errors.ts` translates.
 * The nil UUID stands for "no tenant": the realm of users that are unique everywhere, the owner of system roles, and
 * the id of the built-in default tenant. It is a value and not NULL so that keys can hold it on every engine.
 */
export class IdentityCore1790000000000 implements MigrationInterface {
  name = 'IdentityCore1790000000000';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `to_regclass('nest_auth_platform_access_roles_role_ix') IS NOT NULL`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      for (const statement of UP) await runner.query(statement);
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      for (const table of TABLES.toReversed()) await runner.query(`DROP TABLE ${table}`);
    });
  }
}

const NIL = `'00000000-0000-0000-0000-000000000000'`;

const TABLES = [
  'nest_auth_tenants',
  'nest_auth_users',
  'nest_auth_identities',
  'nest_auth_permissions',
  'nest_auth_roles',
  'nest_auth_role_permissions',
  'nest_auth_user_accesses',
  'nest_auth_user_access_roles',
  'nest_auth_platform_accesses',
  'nest_auth_platform_access_roles',
];

const UP = [
  `CREATE TABLE nest_auth_tenants (
    id uuid NOT NULL,
    name text NOT NULL,
    slug text NOT NULL,
    description text,
    is_active boolean NOT NULL DEFAULT true,
    metadata jsonb NOT NULL DEFAULT '{}',
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    updated_at timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT nest_auth_tenants_pk PRIMARY KEY (id)
  )`,
  `CREATE UNIQUE INDEX nest_auth_tenants_slug_uq ON nest_auth_tenants (slug)`,
  `INSERT INTO nest_auth_tenants (id, name, slug) VALUES (${NIL}, 'Default', 'default')`,

  `CREATE TABLE nest_auth_users (
    id uuid NOT NULL,
    realm_id uuid NOT NULL,
    email text,
    email_norm text,
    email_verified_at timestamptz(3),
    phone text,
    phone_verified_at timestamptz(3),
    password_hash text,
    status text NOT NULL DEFAULT 'active',
    is_active boolean NOT NULL DEFAULT true,
    metadata jsonb NOT NULL DEFAULT '{}',
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    updated_at timestamptz(3) NOT NULL DEFAULT now(),
    deleted_at timestamptz(3),
    CONSTRAINT nest_auth_users_pk PRIMARY KEY (id),
    CONSTRAINT nest_auth_users_realm_uq UNIQUE (id, realm_id),
    CONSTRAINT nest_auth_users_status_ck CHECK (status IN ('pending', 'active', 'inactive', 'disabled', 'scheduled_deletion')),
    CONSTRAINT nest_auth_users_is_active_ck CHECK (is_active = (status = 'active')),
    CONSTRAINT nest_auth_users_email_ck CHECK ((email IS NULL) = (email_norm IS NULL)),
    CONSTRAINT nest_auth_users_email_verified_ck CHECK (email_verified_at IS NULL OR email IS NOT NULL),
    CONSTRAINT nest_auth_users_phone_verified_ck CHECK (phone_verified_at IS NULL OR phone IS NOT NULL)
  )`,
  `CREATE UNIQUE INDEX nest_auth_users_realm_email_uq ON nest_auth_users (realm_id, email_norm) WHERE deleted_at IS NULL`,
  `CREATE UNIQUE INDEX nest_auth_users_realm_phone_uq ON nest_auth_users (realm_id, phone) WHERE deleted_at IS NULL`,

  `CREATE TABLE nest_auth_identities (
    provider_id text NOT NULL,
    provider text NOT NULL,
    realm_id uuid NOT NULL,
    user_id uuid NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT nest_auth_identities_pk PRIMARY KEY (provider_id, provider, realm_id),
    CONSTRAINT nest_auth_identities_user_fk FOREIGN KEY (user_id, realm_id)
      REFERENCES nest_auth_users (id, realm_id) ON DELETE CASCADE
  )`,
  `CREATE INDEX nest_auth_identities_user_ix ON nest_auth_identities (user_id, realm_id)`,
  `CREATE UNIQUE INDEX nest_auth_identities_user_login_uq ON nest_auth_identities (user_id, provider) WHERE provider IN ('email', 'phone')`,

  `CREATE TABLE nest_auth_permissions (
    id uuid NOT NULL,
    guard text NOT NULL,
    name text NOT NULL,
    description text,
    category text,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    updated_at timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT nest_auth_permissions_pk PRIMARY KEY (id),
    CONSTRAINT nest_auth_permissions_guard_uq UNIQUE (id, guard)
  )`,
  `CREATE UNIQUE INDEX nest_auth_permissions_guard_name_uq ON nest_auth_permissions (guard, name)`,

  `CREATE TABLE nest_auth_roles (
    id uuid NOT NULL,
    tenant_id uuid,
    owner_tenant_id uuid NOT NULL DEFAULT ${NIL},
    guard text NOT NULL,
    name text NOT NULL,
    description text,
    is_system boolean NOT NULL DEFAULT false,
    is_active boolean NOT NULL DEFAULT true,
    metadata jsonb NOT NULL DEFAULT '{}',
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    updated_at timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT nest_auth_roles_pk PRIMARY KEY (id),
    CONSTRAINT nest_auth_roles_guard_uq UNIQUE (id, guard),
    CONSTRAINT nest_auth_roles_scope_uq UNIQUE (id, owner_tenant_id, guard),
    CONSTRAINT nest_auth_roles_tenant_fk FOREIGN KEY (tenant_id) REFERENCES nest_auth_tenants (id) ON DELETE RESTRICT,
    CONSTRAINT nest_auth_roles_owner_ck CHECK (owner_tenant_id = COALESCE(tenant_id, ${NIL})),
    CONSTRAINT nest_auth_roles_system_ck CHECK (is_system = (tenant_id IS NULL)),
    CONSTRAINT nest_auth_roles_admin_ck CHECK (guard <> 'admin' OR tenant_id IS NULL)
  )`,
  `CREATE UNIQUE INDEX nest_auth_roles_owner_guard_name_uq ON nest_auth_roles (owner_tenant_id, guard, name)`,
  `CREATE INDEX nest_auth_roles_tenant_ix ON nest_auth_roles (tenant_id)`,

  `CREATE TABLE nest_auth_role_permissions (
    role_id uuid NOT NULL,
    permission_id uuid NOT NULL,
    guard text NOT NULL,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT nest_auth_role_permissions_pk PRIMARY KEY (role_id, permission_id),
    CONSTRAINT nest_auth_role_permissions_role_fk FOREIGN KEY (role_id, guard)
      REFERENCES nest_auth_roles (id, guard) ON DELETE CASCADE,
    CONSTRAINT nest_auth_role_permissions_permission_fk FOREIGN KEY (permission_id, guard)
      REFERENCES nest_auth_permissions (id, guard) ON DELETE RESTRICT
  )`,
  `CREATE INDEX nest_auth_role_permissions_permission_ix ON nest_auth_role_permissions (permission_id, guard)`,

  `CREATE TABLE nest_auth_user_accesses (
    user_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    realm_id uuid NOT NULL,
    status text NOT NULL DEFAULT 'active',
    is_default boolean NOT NULL DEFAULT false,
    metadata jsonb NOT NULL DEFAULT '{}',
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    updated_at timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT nest_auth_user_accesses_pk PRIMARY KEY (user_id, tenant_id),
    CONSTRAINT nest_auth_user_accesses_user_fk FOREIGN KEY (user_id, realm_id)
      REFERENCES nest_auth_users (id, realm_id) ON DELETE CASCADE,
    CONSTRAINT nest_auth_user_accesses_tenant_fk FOREIGN KEY (tenant_id)
      REFERENCES nest_auth_tenants (id) ON DELETE RESTRICT,
    CONSTRAINT nest_auth_user_accesses_status_ck CHECK (status IN ('active', 'suspended')),
    CONSTRAINT nest_auth_user_accesses_realm_ck CHECK (realm_id = ${NIL} OR realm_id = tenant_id)
  )`,
  `CREATE INDEX nest_auth_user_accesses_tenant_ix ON nest_auth_user_accesses (tenant_id, user_id)`,
  `CREATE UNIQUE INDEX nest_auth_user_accesses_default_uq ON nest_auth_user_accesses (user_id) WHERE is_default`,

  `CREATE TABLE nest_auth_user_access_roles (
    user_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    role_id uuid NOT NULL,
    role_tenant_id uuid NOT NULL,
    guard text NOT NULL,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT nest_auth_user_access_roles_pk PRIMARY KEY (user_id, tenant_id, role_id),
    CONSTRAINT nest_auth_user_access_roles_access_fk FOREIGN KEY (user_id, tenant_id)
      REFERENCES nest_auth_user_accesses (user_id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT nest_auth_user_access_roles_role_fk FOREIGN KEY (role_id, role_tenant_id, guard)
      REFERENCES nest_auth_roles (id, owner_tenant_id, guard) ON DELETE RESTRICT,
    CONSTRAINT nest_auth_user_access_roles_scope_ck CHECK (role_tenant_id = ${NIL} OR role_tenant_id = tenant_id),
    CONSTRAINT nest_auth_user_access_roles_guard_ck CHECK (guard <> 'admin')
  )`,
  `CREATE INDEX nest_auth_user_access_roles_role_ix ON nest_auth_user_access_roles (role_id, role_tenant_id, guard)`,

  `CREATE TABLE nest_auth_platform_accesses (
    user_id uuid NOT NULL,
    realm_id uuid NOT NULL,
    status text NOT NULL DEFAULT 'active',
    metadata jsonb NOT NULL DEFAULT '{}',
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    updated_at timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT nest_auth_platform_accesses_pk PRIMARY KEY (user_id),
    CONSTRAINT nest_auth_platform_accesses_user_fk FOREIGN KEY (user_id, realm_id)
      REFERENCES nest_auth_users (id, realm_id) ON DELETE CASCADE,
    CONSTRAINT nest_auth_platform_accesses_status_ck CHECK (status IN ('active', 'suspended')),
    CONSTRAINT nest_auth_platform_accesses_realm_ck CHECK (realm_id = ${NIL})
  )`,

  `CREATE TABLE nest_auth_platform_access_roles (
    user_id uuid NOT NULL,
    role_id uuid NOT NULL,
    role_tenant_id uuid NOT NULL,
    guard text NOT NULL,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT nest_auth_platform_access_roles_pk PRIMARY KEY (user_id, role_id),
    CONSTRAINT nest_auth_platform_access_roles_access_fk FOREIGN KEY (user_id)
      REFERENCES nest_auth_platform_accesses (user_id) ON DELETE CASCADE,
    CONSTRAINT nest_auth_platform_access_roles_role_fk FOREIGN KEY (role_id, role_tenant_id, guard)
      REFERENCES nest_auth_roles (id, owner_tenant_id, guard) ON DELETE RESTRICT,
    CONSTRAINT nest_auth_platform_access_roles_scope_ck CHECK (role_tenant_id = ${NIL} AND guard = 'admin')
  )`,
  `CREATE INDEX nest_auth_platform_access_roles_role_ix ON nest_auth_platform_access_roles (role_id, role_tenant_id, guard)`,
];
