import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';

/**
 * Roles that inherit from roles, permissions that are granted or denied to one access, and roles that are given for a
 * time.
 *
 * The columns are empty, and nothing is rewritten.
 */
export class Grants1790000000710 implements MigrationInterface {
  name = 'Grants1790000000710';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `to_regclass('nest_auth_platform_access_permissions') IS NOT NULL`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      for (const statement of UP) await runner.query(statement);
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      for (const statement of DOWN) await runner.query(statement);
    });
  }
}

const NIL = `'00000000-0000-0000-0000-000000000000'`;

const UP = [
  `ALTER TABLE nest_auth_user_access_roles ADD COLUMN expires_at timestamptz(3)`,
  `ALTER TABLE nest_auth_platform_access_roles ADD COLUMN expires_at timestamptz(3)`,
  `CREATE TABLE nest_auth_role_parents (
    role_id uuid NOT NULL,
    parent_id uuid NOT NULL,
    role_tenant_id uuid NOT NULL,
    parent_tenant_id uuid NOT NULL,
    guard text NOT NULL,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT nest_auth_role_parents_pk PRIMARY KEY (role_id, parent_id),
    CONSTRAINT nest_auth_role_parents_role_fk FOREIGN KEY (role_id, role_tenant_id, guard)
      REFERENCES nest_auth_roles (id, owner_tenant_id, guard) ON DELETE CASCADE,
    CONSTRAINT nest_auth_role_parents_parent_fk FOREIGN KEY (parent_id, parent_tenant_id, guard)
      REFERENCES nest_auth_roles (id, owner_tenant_id, guard) ON DELETE RESTRICT,
    CONSTRAINT nest_auth_role_parents_self_ck CHECK (role_id <> parent_id),
    CONSTRAINT nest_auth_role_parents_scope_ck CHECK (parent_tenant_id = ${NIL} OR parent_tenant_id = role_tenant_id)
  )`,
  `CREATE INDEX nest_auth_role_parents_parent_ix ON nest_auth_role_parents (parent_id, role_tenant_id)`,

  `CREATE TABLE nest_auth_role_graphs (
    owner_tenant_id uuid NOT NULL,
    version integer NOT NULL DEFAULT 1,
    CONSTRAINT nest_auth_role_graphs_pk PRIMARY KEY (owner_tenant_id),
    CONSTRAINT nest_auth_role_graphs_tenant_fk FOREIGN KEY (owner_tenant_id)
      REFERENCES nest_auth_tenants (id) ON DELETE CASCADE
  )`,

  `CREATE TABLE nest_auth_user_access_permissions (
    user_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    permission_id uuid NOT NULL,
    guard text NOT NULL,
    effect text NOT NULL,
    expires_at timestamptz(3),
    reason text,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT nest_auth_user_access_permissions_pk PRIMARY KEY (user_id, tenant_id, permission_id),
    CONSTRAINT nest_auth_user_access_permissions_access_fk FOREIGN KEY (user_id, tenant_id)
      REFERENCES nest_auth_user_accesses (user_id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT nest_auth_user_access_permissions_permission_fk FOREIGN KEY (permission_id, guard)
      REFERENCES nest_auth_permissions (id, guard) ON DELETE RESTRICT,
    CONSTRAINT nest_auth_user_access_permissions_guard_ck CHECK (guard <> 'admin'),
    CONSTRAINT nest_auth_user_access_permissions_effect_ck CHECK (effect IN ('grant', 'deny'))
  )`,
  `CREATE INDEX nest_auth_user_access_permissions_permission_ix ON nest_auth_user_access_permissions (permission_id, guard)`,
  `CREATE INDEX nest_auth_user_access_permissions_expires_ix ON nest_auth_user_access_permissions (expires_at) WHERE expires_at IS NOT NULL`,

  `CREATE TABLE nest_auth_platform_access_permissions (
    user_id uuid NOT NULL,
    permission_id uuid NOT NULL,
    guard text NOT NULL,
    effect text NOT NULL,
    expires_at timestamptz(3),
    reason text,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT nest_auth_platform_access_permissions_pk PRIMARY KEY (user_id, permission_id),
    CONSTRAINT nest_auth_platform_access_permissions_access_fk FOREIGN KEY (user_id)
      REFERENCES nest_auth_platform_accesses (user_id) ON DELETE CASCADE,
    CONSTRAINT nest_auth_platform_access_permissions_permission_fk FOREIGN KEY (permission_id, guard)
      REFERENCES nest_auth_permissions (id, guard) ON DELETE RESTRICT,
    CONSTRAINT nest_auth_platform_access_permissions_guard_ck CHECK (guard = 'admin'),
    CONSTRAINT nest_auth_platform_access_permissions_effect_ck CHECK (effect IN ('grant', 'deny'))
  )`,
  `CREATE INDEX nest_auth_platform_access_permissions_permission_ix ON nest_auth_platform_access_permissions (permission_id, guard)`,
  `CREATE INDEX nest_auth_platform_access_permissions_expires_ix ON nest_auth_platform_access_permissions (expires_at) WHERE expires_at IS NOT NULL`,
];

const DOWN = [
  'DROP TABLE nest_auth_platform_access_permissions',
  'DROP TABLE nest_auth_user_access_permissions',
  'DROP TABLE nest_auth_role_graphs',
  'DROP TABLE nest_auth_role_parents',
  'ALTER TABLE nest_auth_platform_access_roles DROP COLUMN expires_at',
  'ALTER TABLE nest_auth_user_access_roles DROP COLUMN expires_at',
];
