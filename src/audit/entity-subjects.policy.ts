import { isDeepStrictEqual } from 'node:util';
import type { EntityMetadata, ObjectLiteral } from 'typeorm';
import { NestAuthEvents, type NestAuthEventName } from '../events/nest-auth.events.js';
import { redact } from './redaction.policy.js';

/** How a write of an entity through the ORM is told. */
interface EntitySubject {
  readonly type: string;
  readonly inserted: NestAuthEventName;
  readonly updated: NestAuthEventName;
  readonly removed: NestAuthEventName;
  /** Properties with the ids of the user, the tenant and the thing itself. */
  readonly user?: string;
  readonly tenant?: string;
  readonly id?: string;
}

const {
  USER_CREATED,
  USER_UPDATED,
  USER_DELETED,
  USER_ACCESS_CHANGED,
  USER_ACCESS_DELETED,
  USER_ACCESS_PERMISSION_CHANGED,
  PLATFORM_ACCESS_CHANGED,
  PLATFORM_ACCESS_PERMISSION_CHANGED,
  ROLE_PERMISSIONS_CHANGED,
  ROLE_PARENTS_CHANGED,
} = NestAuthEvents;

const always = (name: NestAuthEventName) => ({ inserted: name, updated: name, removed: name });

/** By table: the rooms with the entities stand above this one. */
const SUBJECTS: Readonly<Record<string, EntitySubject>> = {
  nest_auth_users: {
    type: 'user',
    inserted: USER_CREATED,
    updated: USER_UPDATED,
    removed: USER_DELETED,
    user: 'id',
    tenant: 'realmId',
  },
  nest_auth_identities: { type: 'user', ...always(USER_UPDATED), user: 'userId', tenant: 'realmId' },
  nest_auth_user_accesses: {
    type: 'user_access',
    ...always(USER_ACCESS_CHANGED),
    removed: USER_ACCESS_DELETED,
    user: 'userId',
    tenant: 'tenantId',
  },
  nest_auth_user_access_roles: {
    type: 'user_access',
    ...always(USER_ACCESS_CHANGED),
    user: 'userId',
    tenant: 'tenantId',
  },
  nest_auth_user_access_permissions: {
    type: 'user_access',
    ...always(USER_ACCESS_PERMISSION_CHANGED),
    user: 'userId',
    tenant: 'tenantId',
  },
  nest_auth_platform_accesses: { type: 'platform_access', ...always(PLATFORM_ACCESS_CHANGED), user: 'userId' },
  nest_auth_platform_access_roles: { type: 'platform_access', ...always(PLATFORM_ACCESS_CHANGED), user: 'userId' },
  nest_auth_platform_access_permissions: {
    type: 'platform_access',
    ...always(PLATFORM_ACCESS_PERMISSION_CHANGED),
    user: 'userId',
  },
  nest_auth_tenants: {
    type: 'tenant',
    inserted: NestAuthEvents.TENANT_CREATED,
    updated: NestAuthEvents.TENANT_UPDATED,
    removed: NestAuthEvents.TENANT_DELETED,
    tenant: 'id',
    id: 'id',
  },
  nest_auth_roles: {
    type: 'role',
    inserted: NestAuthEvents.ROLE_CREATED,
    updated: NestAuthEvents.ROLE_UPDATED,
    removed: NestAuthEvents.ROLE_DELETED,
    tenant: 'tenantId',
    id: 'id',
  },
  nest_auth_role_permissions: { type: 'role', ...always(ROLE_PERMISSIONS_CHANGED), id: 'roleId' },
  nest_auth_role_parents: { type: 'role', ...always(ROLE_PARENTS_CHANGED), id: 'roleId' },
  nest_auth_permissions: {
    type: 'permission',
    inserted: NestAuthEvents.PERMISSION_CREATED,
    updated: NestAuthEvents.PERMISSION_UPDATED,
    removed: NestAuthEvents.PERMISSION_DELETED,
    id: 'id',
  },
};

export function subjectOf({ tableName }: EntityMetadata): EntitySubject | undefined {
  return SUBJECTS[tableName];
}

type Values = Record<string, unknown>;

/** The columns of an entity that may be told: no secret, and nothing that changes with every write. */
function toldColumns({ columns }: EntityMetadata): EntityMetadata['columns'] {
  return columns.filter(
    ({ isSelect, isVersion, isCreateDate, isUpdateDate, isVirtual }) =>
      isSelect && !isVersion && !isCreateDate && !isUpdateDate && !isVirtual,
  );
}

/** What an entity is, for one that came or went. Values that the database alone knows are left out. */
export function wholeValues(metadata: EntityMetadata, entity: ObjectLiteral): Values {
  const values: Values = {};
  for (const { propertyName } of toldColumns(metadata)) {
    const value: unknown = entity[propertyName];
    if (value === undefined || value === null) continue;
    values[propertyName] = told(value);
  }
  return redact(values);
}

/** What has changed, on both sides; `before` undefined for rows that nobody has read. */
export function changedValues(
  metadata: EntityMetadata,
  before: ObjectLiteral | undefined,
  entity: ObjectLiteral,
): { before: Values | null; after: Values } {
  const gone: Values = {};
  const come: Values = {};
  for (const { propertyName } of toldColumns(metadata)) {
    const value: unknown = entity[propertyName];
    if (value === undefined) continue;
    const was = told(before?.[propertyName]);
    const is = told(value);
    if (before !== undefined && isDeepStrictEqual(was, is)) continue;
    const isMetadata = propertyName === 'metadata' && before !== undefined;
    gone[propertyName] = isMetadata ? touchedKeys(was, is) : was;
    come[propertyName] = isMetadata ? touchedKeys(is, was) : is;
  }
  return { before: before === undefined ? null : redact(gone), after: redact(come) };
}

/** Those keys of `values` that are another one in `others`, null where a key is absent. */
function touchedKeys(values: unknown, others: unknown): Values {
  const [mine, theirs] = [values as Values, others as Values];
  const keys = Object.keys({ ...mine, ...theirs }).filter((key) => !isDeepStrictEqual(mine[key], theirs[key]));
  return Object.fromEntries(keys.map((key) => [key, mine[key] ?? null]));
}

/** As JSON has it. SQL that a host sets instead of a value is not evaluated here. */
function told(value: unknown): unknown {
  if (typeof value === 'function') return '[expression]';
  return value === undefined ? null : (JSON.parse(JSON.stringify(value)) as unknown);
}
