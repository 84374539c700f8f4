import type { EntityManager } from 'typeorm';
import { activity, type ActivityParts } from '../audit/audited-statement.js';
import { rememberOrigin } from '../transaction/entity-origin.js';
import { NestAuthRole } from './role.entity.js';

/** A role's row. */
export interface RoleRow {
  readonly id: string;
  readonly tenant_id: string | null;
  readonly owner_tenant_id: string;
  readonly guard: string;
  readonly name: string;
  readonly description: string | null;
  readonly is_system: boolean;
  readonly is_active: boolean;
  readonly is_owner: boolean;
  readonly metadata: Record<string, unknown>;
  readonly version: number;
  readonly created_at: Date;
  readonly updated_at: Date;
}

const COLUMN_NAMES = [
  'id',
  'tenant_id',
  'owner_tenant_id',
  'guard',
  'name',
  'description',
  'is_system',
  'is_active',
  'is_owner',
  'metadata',
  'version',
  'created_at',
  'updated_at',
] as const satisfies readonly (keyof RoleRow)[];

/** The columns of a {@link RoleRow}, for a select list; with a table's alias where the query has several. */
export function roleColumns(alias?: string): string {
  return COLUMN_NAMES.map((name) => (alias === undefined ? name : `${alias}.${name}`)).join(', ');
}

export function toRole(row: RoleRow, manager: EntityManager): NestAuthRole {
  const role = Object.assign(new NestAuthRole(), {
    id: row.id,
    tenantId: row.tenant_id,
    ownerTenantId: row.owner_tenant_id,
    guard: row.guard,
    name: row.name,
    description: row.description,
    isSystem: row.is_system,
    isActive: row.is_active,
    isOwner: row.is_owner,
    metadata: row.metadata,
    version: row.version,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  });
  return rememberOrigin(role, manager);
}

/** The activity of a statement that has changed the role in the CTE `row`. */
export function roleActivity(
  row: string,
  parts: Pick<ActivityParts, 'type' | 'from'> & Partial<ActivityParts>,
): string {
  return activity({ tenantId: `${row}.tenant_id`, subjectType: 'role', subjectId: `${row}.id`, ...parts });
}

/**
 * As {@link roleActivity}, of a change of what the role has, by the CTEs `claimed`, `held`, `coming` and `leaving` of the
 * statement. What was held is what really was: claiming the role fails for any other version.
 */
export function roleSetActivity(type: ActivityParts['type'], key: string, column: 'id' | 'name'): string {
  const listOf = (query: string): string => `to_jsonb(array(${query} order by ${column}))`;
  const [coming, leaving] = [`select ${column} from coming`, `select ${column} from leaving`];
  return roleActivity('claimed', {
    type,
    from: 'claimed',
    before: `jsonb_build_object('${key}', ${listOf(`select ${column} from held`)})`,
    after: `jsonb_build_object('${key}', ${listOf(
      `select ${column} from held where id not in (select id from leaving) union all ${coming}`,
    )})`,
    details: `jsonb_build_object('added', ${listOf(coming)}, 'removed', ${listOf(leaving)})`,
  });
}
