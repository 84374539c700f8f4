import type { EntityManager } from 'typeorm';
import { activity, audited } from '../audit/audited-statement.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { rememberOrigin } from '../transaction/entity-origin.js';
import { execute, executeOne, statement } from '../transaction/statement.js';
import type { AccessStatusEnum } from './access.types.js';
import { NestAuthPlatformAccess } from './platform-access.entity.js';

/** A row of a user's access to the platform. */
export interface PlatformAccessRow {
  readonly user_id: string;
  readonly realm_id: string;
  readonly status: AccessStatusEnum;
  readonly metadata: Record<string, unknown>;
  readonly version: number;
  readonly created_at: Date;
  readonly updated_at: Date;
}

const COLUMN_NAMES = [
  'user_id',
  'realm_id',
  'status',
  'metadata',
  'version',
  'created_at',
  'updated_at',
] as const satisfies readonly (keyof PlatformAccessRow)[];

const COLUMNS = COLUMN_NAMES.join(', ');

export function toPlatformAccess(row: PlatformAccessRow, manager: EntityManager): NestAuthPlatformAccess {
  const access = Object.assign(new NestAuthPlatformAccess(), {
    userId: row.user_id,
    realmId: row.realm_id,
    status: row.status,
    metadata: row.metadata,
    version: row.version,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  });
  return rememberOrigin(access, manager);
}

const FIND = statement<PlatformAccessRow>(
  'platform_access',
  `select ${COLUMNS} from nest_auth_platform_accesses where user_id = $1`,
);

export async function findPlatform(manager: EntityManager, userId: string): Promise<NestAuthPlatformAccess | null> {
  const [row] = await execute(manager, FIND, [userId]);
  return row === undefined ? null : toPlatformAccess(row, manager);
}

/** Whether a user may have platform access at all; the columns are null when there is none and none was made. */
export type EnsuredPlatformRow = { readonly [Key in keyof PlatformAccessRow]: PlatformAccessRow[Key] | null } & {
  readonly user_ok: boolean;
  readonly realm_ok: boolean;
  readonly created: boolean;
};

/** The user is held, so that the foreign key cannot fail after the conditions have been met. */
const ENSURE = audited<EnsuredPlatformRow>(
  'ensure_platform_access',
  `with person as (select realm_id from nest_auth_users where id = $1 and deleted_at is null for key share),
  seen as (select ${COLUMNS} from nest_auth_platform_accesses where user_id = $1),
  fitting as (select realm_id from person where realm_id = '${NIL_UUID}'),
  made as (
    insert into nest_auth_platform_accesses (user_id, realm_id)
    select $1::uuid, fitting.realm_id from fitting where not exists (select 1 from seen)
    on conflict do nothing
    returning ${COLUMNS}),
  ${activity({
    type: NestAuthEvents.PLATFORM_ACCESS_CHANGED,
    from: 'made',
    userId: 'made.user_id',
    subjectType: 'platform_access',
    after: `jsonb_build_object('status', made.status, 'roleIds', '[]'::jsonb)`,
  })},
  access as (select ${COLUMNS} from made union all select ${COLUMNS} from seen)
  select ${COLUMN_NAMES.map((name) => `access.${name}`).join(', ')},
    exists (select 1 from person) as user_ok,
    exists (select 1 from fitting) as realm_ok,
    exists (select 1 from made) as created
  from (values (1)) as one (row) left join access on true`,
  (rows) => rows[0]?.created === true,
);

export function ensurePlatform(manager: EntityManager, userId: string): Promise<EnsuredPlatformRow> {
  return executeOne(manager, ENSURE, [userId]);
}
