import { afterAll, beforeAll } from '@jest/globals';
import { EventEmitter2 } from '@nestjs/event-emitter';
import { DataSource, type EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';

import { AccessGrantsReader } from '../../../src/access/access-grants.reader.js';
import { AccessOperations } from '../../../src/access/access.operations.js';
import { AccessService } from '../../../src/access/access.service.js';
import { AccessSettings } from '../../../src/access/access.settings.js';
import {
  NestAuthPlatformAccessPermission,
  NestAuthUserAccessPermission,
} from '../../../src/access/access-permission.entities.js';
import { NestAuthPermission } from '../../../src/access/permission.entity.js';
import { PermissionService } from '../../../src/access/permission.service.js';
import { NestAuthPlatformAccess } from '../../../src/access/platform-access.entity.js';
import { NestAuthRoleGraph, NestAuthRoleParent } from '../../../src/access/role-parent.entities.js';
import { NestAuthRole } from '../../../src/access/role.entity.js';
import { RoleService } from '../../../src/access/role.service.js';
import {
  NestAuthPlatformAccessRole,
  NestAuthRolePermission,
  NestAuthUserAccessRole,
} from '../../../src/access/access-role.entities.js';
import { NestAuthUserAccess } from '../../../src/access/user-access.entity.js';
import { NestAuthIdentity } from '../../../src/account/identity.entity.js';
import { NestAuthUser } from '../../../src/account/user.entity.js';
import { EventPublisher } from '../../../src/events/event-publisher.js';
import type { NestAuthEvent } from '../../../src/events/nest-auth.events.js';
import { RevocationSettings } from '../../../src/revocation/revocation.settings.js';
import { Revocations } from '../../../src/revocation/revocations.js';
import { Tenancy } from '../../../src/tenant/tenancy.js';
import { NestAuthTenant } from '../../../src/tenant/tenant.entity.js';
import { TenantService } from '../../../src/tenant/tenant.service.js';
import { NIL_UUID, TenantModeEnum } from '../../../src/tenant/tenant.types.js';
import { registerPort } from '../../../src/transaction/entity-ports.js';
import { TransactionHost } from '../../../src/transaction/transaction-host.js';
import { PREPARED } from '../../support/connection-mode.js';
import { LOCK_WAITS, useDatabase } from '../../support/database.js';

/** The services over a database of their own, without Nest. */
export interface Access {
  readonly dataSource: DataSource;
  readonly host: TransactionHost;
  readonly operations: AccessOperations;
  readonly access: AccessService;
  readonly roles: RoleService;
  readonly permissions: PermissionService;
  readonly tenants: TenantService;
  readonly events: NestAuthEvent[];
  readonly statements: string[];
}

const ENTITIES = [
  NestAuthIdentity,
  NestAuthPermission,
  NestAuthPlatformAccess,
  NestAuthPlatformAccessPermission,
  NestAuthPlatformAccessRole,
  NestAuthRole,
  NestAuthRoleGraph,
  NestAuthRoleParent,
  NestAuthRolePermission,
  NestAuthTenant,
  NestAuthUser,
  NestAuthUserAccess,
  NestAuthUserAccessPermission,
  NestAuthUserAccessRole,
];

async function openAccess(url: string, mode = TenantModeEnum.SHARED): Promise<Access> {
  const statements: string[] = [];
  const silent = (): void => undefined;
  const logQuery = (query: string): void => void statements.push(query);
  const dataSource = await new DataSource({
    type: 'postgres',
    url,
    entities: ENTITIES,
    extra: { max: 20 },
    logger: {
      logQuery,
      logQueryError: silent,
      logQuerySlow: silent,
      logSchemaBuild: silent,
      logMigration: silent,
      log: silent,
    },
  }).initialize();
  const host = TransactionHost.attach(dataSource, {
    retries: 2,
    onEscape: 'throw',
    operationTimeoutMs: 30_000,
    prepared: PREPARED,
    report: () => undefined,
  });
  const emitter = new EventEmitter2({ wildcard: true });
  const events: NestAuthEvent[] = [];
  emitter.onAny((_, event: unknown) => void events.push(event as NestAuthEvent));
  const publisher = new EventPublisher(host, emitter);
  const tenancy = new Tenancy(mode);
  const settings = new AccessSettings(['partner']);
  // The rights in these tests are changed by raw SQL.
  const revocations = new Revocations(host, publisher, new RevocationSettings({ cache: false }));
  const operations = new AccessOperations(host, publisher, tenancy);
  registerPort(dataSource, 'access', operations);
  return {
    dataSource,
    host,
    operations,
    access: new AccessService(host, operations, tenancy, new AccessGrantsReader(host, revocations)),
    roles: new RoleService(host, publisher, tenancy, settings),
    permissions: new PermissionService(host, publisher, settings, tenancy),
    tenants: new TenantService(host, publisher, tenancy),
    events,
    statements,
  };
}

/** The services for the tests of this file, over one database. */
export function useAccess(mode?: TenantModeEnum): Access {
  const database = useDatabase();
  const holder: { open?: Access } = {};
  beforeAll(async () => {
    holder.open = await openAccess(database.url, mode);
  });
  afterAll(() => holder.open?.dataSource.destroy());
  return new Proxy({} as Access, {
    get: (_, name) => (holder.open as unknown as Record<string | symbol, unknown>)[name],
  });
}

let serial = 0;

export function unique(prefix: string): string {
  serial += 1;
  return `${prefix}-${serial}`;
}

export async function addUser({ dataSource }: Access, { realmId = NIL_UUID, status = 'active' } = {}): Promise<string> {
  const id = uuidv7();
  await dataSource.query(
    `insert into nest_auth_users (id, realm_id, status, is_active) values ($1, $2, $3, $3 = 'active')`,
    [id, realmId, status],
  );
  return id;
}

export async function addTenant({ tenants }: Access, isActive = true): Promise<string> {
  const slug = unique('tenant');
  const { id } = await tenants.createTenant({ name: slug, slug, isActive });
  return id;
}

export async function addPermissions({ permissions }: Access, count: number, guard = 'portal'): Promise<string[]> {
  const names = Array.from({ length: count }, () => unique('permission'));
  await permissions.createPermissions(names.map((name) => ({ name, guard })));
  return names;
}

/** A role of the tenant, or of the system without one. */
export async function addRole(
  { roles }: Access,
  input: { tenantId?: string; guard?: string; permissions?: readonly string[]; isActive?: boolean } = {},
): Promise<string> {
  const { guard = 'portal', ...rest } = input;
  const owner = rest.tenantId === undefined ? { isSystem: true } : {};
  const { id } = await roles.createRole({ name: unique('role'), guard, ...owner, ...rest });
  return id;
}

/** Calls `fn` and counts what it sent. */
export async function counting<T>(
  { statements }: Access,
  fn: () => Promise<T>,
): Promise<{ result: T; sent: string[] }> {
  statements.length = 0;
  const result = await fn();
  return { result, sent: [...statements] };
}

/** How many calls succeeded, and the codes of the others. */
export async function outcomes(calls: readonly Promise<unknown>[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const settled of await Promise.allSettled(calls)) {
    const key =
      settled.status === 'fulfilled' ? 'ok' : String((settled.reason as { code?: string }).code ?? settled.reason);
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}

/** Runs a call that is refused inside a transaction, and writes with that transaction afterwards. */
export async function refusedInside(
  { host, dataSource }: Access,
  code: string,
  call: (manager: EntityManager) => Promise<unknown>,
): Promise<void> {
  const id = uuidv7();
  await host.run(async (manager) => {
    const error: unknown = await call(manager).then(
      () => 'no error',
      (reason: unknown) => reason,
    );
    if ((error as { code?: string }).code !== code) throw new Error(`expected ${code}`, { cause: error });
    await manager.query(`insert into nest_auth_users (id, realm_id) values ($1, $2)`, [id, NIL_UUID]);
  });
  const [row] = await dataSource.query<{ id: string }[]>('select id from nest_auth_users where id = $1', [id]);
  if (row === undefined) throw new Error('the transaction was not committed');
}

/** Starts `second` while the transaction of `first` is open, so that it waits for it; then commits the first. */
export async function waitingFor<T>(
  { host, dataSource }: Access,
  first: (manager: EntityManager) => Promise<unknown>,
  second: () => Promise<T>,
): Promise<PromiseSettledResult<T>> {
  const runner = host.openRunner();
  await runner.startTransaction();
  await first(runner.manager);
  const settled = Promise.allSettled([second()]);
  await untilBlocked(dataSource);
  await runner.commitTransaction();
  await runner.release();
  const [result] = await settled;
  return result;
}

/** Until some session of this database waits for a lock. */
async function untilBlocked(dataSource: DataSource): Promise<void> {
  const deadline = Date.now() + 5_000;
  while (Date.now() < deadline) {
    const waiting = await dataSource.query<unknown[]>(LOCK_WAITS);
    if (waiting.length > 0) return;
  }
  throw new Error('nothing waits for the open transaction');
}
