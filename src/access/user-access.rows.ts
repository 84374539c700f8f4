import type { EntityManager } from 'typeorm';
import { activity, type ActivityParts } from '../audit/audited-statement.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { rememberOrigin } from '../transaction/entity-origin.js';
import type { AccessStatusEnum } from './access.types.js';
import { NestAuthUserAccess } from './user-access.entity.js';

/** A row of a user's access to a tenant. */
export interface UserAccessRow {
  readonly user_id: string;
  readonly tenant_id: string;
  readonly realm_id: string;
  readonly status: AccessStatusEnum;
  readonly is_default: boolean;
  readonly metadata: Record<string, unknown>;
  readonly version: number;
  readonly created_at: Date;
  readonly updated_at: Date;
}

const COLUMN_NAMES = [
  'user_id',
  'tenant_id',
  'realm_id',
  'status',
  'is_default',
  'metadata',
  'version',
  'created_at',
  'updated_at',
] as const satisfies readonly (keyof UserAccessRow)[];

export function accessColumns(alias?: string): string {
  return COLUMN_NAMES.map((name) => (alias === undefined ? name : `${alias}.${name}`)).join(', ');
}

export function toUserAccess(row: UserAccessRow, manager: EntityManager): NestAuthUserAccess {
  const access = Object.assign(new NestAuthUserAccess(), {
    userId: row.user_id,
    tenantId: row.tenant_id,
    realmId: row.realm_id,
    status: row.status,
    isDefault: row.is_default,
    metadata: row.metadata,
    version: row.version,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  });
  return rememberOrigin(access, manager);
}

/** The activity of a statement that has changed the access in the CTE `row`. */
export function accessActivity(row: string, parts: Pick<ActivityParts, 'from'> & Partial<ActivityParts>): string {
  return activity({
    type: NestAuthEvents.USER_ACCESS_CHANGED,
    userId: `${row}.user_id`,
    tenantId: `${row}.tenant_id`,
    subjectType: 'user_access',
    ...parts,
  });
}
