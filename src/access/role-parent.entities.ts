import { Check, Column, CreateDateColumn, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import { NestAuthTenant } from '../tenant/tenant.entity.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { NestAuthBaseEntity } from '../transaction/base.entity.js';
import { NestAuthRole } from './role.entity.js';

const PRIMARY_KEY = 'nest_auth_role_parents_pk';

/**
 * A role inherits what another one grants: one of the same guard, of its own tenant or of the system. The columns of
 * both owners and of the guard let keys and checks refuse any other, whoever writes the row.
 */
@Entity({ name: 'nest_auth_role_parents' })
@ForeignKey(() => NestAuthRole, ['roleId', 'roleTenantId', 'guard'], ['id', 'ownerTenantId', 'guard'], {
  name: 'nest_auth_role_parents_role_fk',
  onDelete: 'CASCADE',
})
@ForeignKey(() => NestAuthRole, ['parentId', 'parentTenantId', 'guard'], ['id', 'ownerTenantId', 'guard'], {
  name: 'nest_auth_role_parents_parent_fk',
  onDelete: 'RESTRICT',
})
@Index('nest_auth_role_parents_parent_ix', ['parentId', 'roleTenantId'])
@Check('nest_auth_role_parents_self_ck', `role_id <> parent_id`)
@Check('nest_auth_role_parents_scope_ck', `parent_tenant_id = '${NIL_UUID}' OR parent_tenant_id = role_tenant_id`)
export class NestAuthRoleParent extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'role_id', type: 'uuid', primaryKeyConstraintName: PRIMARY_KEY })
  roleId!: string;

  @PrimaryColumn({ name: 'parent_id', type: 'uuid', primaryKeyConstraintName: PRIMARY_KEY })
  parentId!: string;

  @Column({ name: 'role_tenant_id', type: 'uuid', update: false })
  roleTenantId!: string;

  @Column({ name: 'parent_tenant_id', type: 'uuid', update: false })
  parentTenantId!: string;

  @Column({ name: 'guard', type: 'text', update: false })
  guard!: string;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;
}

/**
 * Counts what an owner's roles begin to inherit. Who adds to it claims the version that was read, so that of two
 * changes which together would make a ring, or too long a line, the second one sees the first.
 */
@Entity({ name: 'nest_auth_role_graphs' })
@ForeignKey(() => NestAuthTenant, ['ownerTenantId'], ['id'], {
  name: 'nest_auth_role_graphs_tenant_fk',
  onDelete: 'CASCADE',
})
export class NestAuthRoleGraph extends NestAuthBaseEntity {
  /** The nil UUID for the system. */
  @PrimaryColumn({ name: 'owner_tenant_id', type: 'uuid', primaryKeyConstraintName: 'nest_auth_role_graphs_pk' })
  ownerTenantId!: string;

  @Column({ name: 'version', type: 'integer', default: 1 })
  version!: number;
}
