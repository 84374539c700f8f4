import type { EntityManager } from 'typeorm';
import { activity, audited } from '../audit/audited-statement.js';
import { type NestAuthEventName, NestAuthEvents } from '../events/nest-auth.events.js';
import { rememberOrigin } from '../transaction/entity-origin.js';
import { execute, executeOne, returnsRows, type Statement } from '../transaction/statement.js';
import { NestAuthServiceAccount } from './service-account.entity.js';

interface AccountRow {
  readonly tenant_id: string;
  readonly id: string;
  readonly name: string;
  readonly description: string | null;
  readonly is_active: boolean;
  readonly created_by: string | null;
  readonly created_at: Date;
}

const columns = (alias: string): string =>
  ['tenant_id', 'id', 'name', 'description', 'is_active', 'created_by', 'created_at']
    .map((name) => `${alias}.${name}`)
    .join(', ');

export function toServiceAccount(row: AccountRow, manager: EntityManager): NestAuthServiceAccount {
  const account = Object.assign(new NestAuthServiceAccount(), {
    tenantId: row.tenant_id,
    id: row.id,
    name: row.name,
    description: row.description,
    isActive: row.is_active,
    createdBy: row.created_by,
    createdAt: row.created_at,
  });
  return rememberOrigin(account, manager);
}

type Told = { readonly before?: string; readonly after?: string };

function accountActivity(type: NestAuthEventName, row: string, told: Told): string {
  return activity({
    type,
    from: row,
    tenantId: `${row}.tenant_id`,
    subjectType: 'service_account',
    subjectId: `${row}.id`,
    ...told,
  });
}

const whole = (row: string): string =>
  `jsonb_strip_nulls(jsonb_build_object('name', ${row}.name, 'description', ${row}.description, 'isActive', ${row}.is_active))`;

interface NewAccount {
  readonly tenantId: string;
  readonly id: string;
  readonly name: string;
  readonly description: string | null;
  readonly createdBy: string | null;
}

type InsertRow = { [Key in keyof AccountRow]: AccountRow[Key] | null } & { readonly tenant_ok: boolean };

/** The tenant is held, so that the foreign key cannot fail after the condition has been met. */
const INSERT = audited<InsertRow>(
  undefined,
  `with owner as (select id from nest_auth_tenants where id = $1::uuid for key share),
    made as (
      insert into nest_auth_service_accounts as a (tenant_id, id, name, description, created_by)
      select owner.id, $2::uuid, $3, $4, $5::uuid from owner
      on conflict (tenant_id, name) do nothing returning ${columns('a')}),
    ${accountActivity(NestAuthEvents.SERVICE_ACCOUNT_CREATED, 'made', { after: whole('made') })}
    select exists (select 1 from owner) as tenant_ok, ${columns('made')} from (select 1) as one left join made on true`,
  (rows) => rows[0]?.id != null,
);

/** `id` is null when nothing was written. */
export function insertAccount(manager: EntityManager, account: NewAccount): Promise<InsertRow> {
  const { tenantId, id, name, description, createdBy } = account;
  return executeOne(manager, INSERT, [tenantId, id, name, description, createdBy]);
}

export function isMade(row: InsertRow): row is AccountRow & { readonly tenant_ok: boolean } {
  return row.id !== null;
}

const BY_ID: Statement<AccountRow> = {
  text: `select ${columns('a')} from nest_auth_service_accounts a where a.tenant_id = $1 and a.id = $2`,
};

export async function findAccount(
  manager: EntityManager,
  tenantId: string,
  id: string,
): Promise<NestAuthServiceAccount | null> {
  const [row] = await execute(manager, BY_ID, [tenantId, id]);
  return row === undefined ? null : toServiceAccount(row, manager);
}

const HOLD: Statement<{ id: string }> = {
  text: `select a.id from nest_auth_service_accounts a where a.tenant_id = $1 and a.id = $2 for key share`,
};

/** Nobody deletes the account until the transaction ends; false for none. */
export async function holdAccount(manager: EntityManager, tenantId: string, id: string): Promise<boolean> {
  return (await execute(manager, HOLD, [tenantId, id])).length > 0;
}

const LIST: Statement<AccountRow> = {
  text: `select ${columns('a')} from nest_auth_service_accounts a
    where a.tenant_id = $1 and ($2::uuid is null or a.id > $2::uuid) order by a.id limit $3 offset $4`,
};

/** In the order of their making. */
export function listAccounts(
  manager: EntityManager,
  tenantId: string,
  window: { readonly afterId: string | null; readonly limit: number; readonly offset: number },
): Promise<AccountRow[]> {
  return execute(manager, LIST, [tenantId, window.afterId, window.limit, window.offset]);
}

type StatusRow = AccountRow & { readonly changed: boolean };

const { SERVICE_ACCOUNT_ENABLED, SERVICE_ACCOUNT_DISABLED } = NestAuthEvents;

/** Whoever finds it as it is to be has changed nothing, also when somebody else has done it at this moment. */
const setActive = (isActive: boolean): Statement<StatusRow> =>
  audited<StatusRow>(
    undefined,
    `with changed as (
      update nest_auth_service_accounts as a set is_active = ${isActive}
      where a.tenant_id = $1 and a.id = $2 and a.is_active <> ${isActive} returning ${columns('a')}),
    ${accountActivity(isActive ? SERVICE_ACCOUNT_ENABLED : SERVICE_ACCOUNT_DISABLED, 'changed', {
      before: `jsonb_build_object('isActive', not changed.is_active)`,
      after: `jsonb_build_object('isActive', changed.is_active)`,
    })}
    select a.tenant_id, a.id, a.name, a.description, ${isActive} as is_active, a.created_by, a.created_at,
      exists (select 1 from changed) as changed
    from nest_auth_service_accounts a where a.tenant_id = $1 and a.id = $2`,
    (rows) => rows[0]?.changed === true,
  );

const ENABLE = setActive(true);
const DISABLE = setActive(false);

/** Undefined for no such account. */
export async function setAccountActive(
  manager: EntityManager,
  tenantId: string,
  id: string,
  isActive: boolean,
): Promise<StatusRow | undefined> {
  const [row] = await execute(manager, isActive ? ENABLE : DISABLE, [tenantId, id]);
  return row;
}

const DELETE = audited<{ id: string }>(
  undefined,
  `with gone as (
      delete from nest_auth_service_accounts as a where a.tenant_id = $1 and a.id = $2 returning ${columns('a')}),
    ${accountActivity(NestAuthEvents.SERVICE_ACCOUNT_DELETED, 'gone', { before: whole('gone') })}
    select id from gone`,
  returnsRows,
);

/** With its keys; false when there was none. */
export async function deleteAccount(manager: EntityManager, tenantId: string, id: string): Promise<boolean> {
  return (await execute(manager, DELETE, [tenantId, id])).length > 0;
}
