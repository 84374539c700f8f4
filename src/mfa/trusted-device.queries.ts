import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { tenantOfRealm } from '../account/user-change.queries.js';
import { activity, audited } from '../audit/audited-statement.js';
import { moment } from '../audit/changed-values.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import type { SecondFactorPolicy } from '../tenant/tenant.types.js';
import { rememberOrigin } from '../transaction/entity-origin.js';
import { execute, executeOne, type Statement, returnsRows } from '../transaction/statement.js';
import { NestAuthTrustedDevice } from './trusted-device.entity.js';

/**
 * That the device `d` of the user `u` is trusted, by the database's clock. A password or a second factor that was changed
 * gives the user another stamp.
 */
const TRUSTED_DEVICE = 'd.expires_at > now() and d.security_stamp = u.security_stamp';

export interface NewTrustedDevice {
  readonly userId: string;
  readonly tenantId: string | null;
  readonly stamp: number;
  readonly tokenHash: Buffer;
  readonly seconds: number;
  readonly ip: string | null;
  readonly userAgent: string | null;
  /** What is demanded of whoever has access to the platform. */
  readonly platformPolicy: SecondFactorPolicy;
}

interface TrustedRow {
  readonly id: string;
  readonly expires_at: Date;
}

/** Nothing where tenant or platform (`$9`) trust none, or for somebody whose stamp is another by now. */
const TRUST = audited<TrustedRow>(
  undefined,
  `with held as (
      select u.id, u.realm_id, u.security_stamp, u.email, u.phone from nest_auth_users u
      where u.id = $1 and u.status = 'active' and u.deleted_at is null and u.security_stamp = $3
        and not exists (select 1 from nest_auth_tenants t where t.id = $2::uuid and t.second_factor_policy = 'always')
        and not ($9::text = 'always' and exists (
          select 1 from nest_auth_platform_accesses p where p.user_id = $1 and p.status = 'active'))
      for key share of u),
    made as (
      insert into nest_auth_trusted_devices (user_id, token_hash, id, realm_id, security_stamp, user_agent, ip, expires_at)
      select held.id, $4::bytea, $5::uuid, held.realm_id, held.security_stamp, $8::text, $7::inet,
        now() + interval '1 second' * $6::integer
      from held
      returning user_id, id, expires_at),
    ${activity({
      type: NestAuthEvents.TRUSTED_DEVICE_ADDED,
      from: 'made join held on held.id = made.user_id',
      userId: 'made.user_id',
      tenantId: `coalesce($2::uuid, ${tenantOfRealm('held.realm_id')})`,
      subjectType: 'trusted_device',
      subjectId: 'made.id',
      after: `jsonb_build_object('expiresAt', ${moment('made.expires_at')})`,
      details: `jsonb_strip_nulls(jsonb_build_object('email', held.email, 'phone', held.phone))`,
    })}
    select id, expires_at from made`,
  returnsRows,
);

/** Undefined when the device is not trusted after all. */
export async function insertTrustedDevice(
  manager: EntityManager,
  device: NewTrustedDevice,
): Promise<TrustedRow | undefined> {
  const { userId, tenantId, stamp, tokenHash, seconds, ip, userAgent, platformPolicy } = device;
  const values = [userId, tenantId, stamp, tokenHash, uuidv7(), seconds, ip, userAgent, platformPolicy];
  const [row] = await execute(manager, TRUST, values);
  return row;
}

interface DeviceRow {
  readonly user_id: string;
  readonly token_hash: Buffer;
  readonly id: string;
  readonly realm_id: string;
  readonly security_stamp: number;
  readonly user_agent: string | null;
  readonly ip: string | null;
  readonly created_at: Date;
  readonly last_used_at: Date;
  readonly expires_at: Date;
}

/** More than one person has; what is beyond is revoked with all. */
const MAX_DEVICES = 200;

const OF_USER: Statement<DeviceRow> = {
  text: `select d.user_id, d.token_hash, d.id, d.realm_id, d.security_stamp, d.user_agent, host(d.ip) as ip, d.created_at,
      d.last_used_at, d.expires_at
    from nest_auth_trusted_devices d join nest_auth_users u on u.id = d.user_id
    where d.user_id = $1 and u.deleted_at is null and ${TRUSTED_DEVICE}
    order by d.last_used_at desc, d.id desc limit ${MAX_DEVICES}`,
};

/** Those that are trusted, the one that was used last first. */
export async function listTrustedDevices(manager: EntityManager, userId: string): Promise<NestAuthTrustedDevice[]> {
  const rows = await execute(manager, OF_USER, [userId]);
  return rows.map((row) => toDevice(row, manager));
}

function toDevice(row: DeviceRow, manager: EntityManager): NestAuthTrustedDevice {
  const device = Object.assign(new NestAuthTrustedDevice(), {
    userId: row.user_id,
    tokenHash: row.token_hash,
    id: row.id,
    realmId: row.realm_id,
    securityStamp: row.security_stamp,
    userAgent: row.user_agent,
    ip: row.ip,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
    expiresAt: row.expires_at,
  });
  return rememberOrigin(device, manager);
}

/** `$2` is one of them; null for all. */
const REVOKE = audited<{ ids: string[] }>(
  undefined,
  `with gone as (
      delete from nest_auth_trusted_devices where user_id = $1 and ($2::uuid is null or id = $2) returning user_id, id),
    told as (select array_agg(id order by id) as ids from gone having count(*) > 0),
    ${activity({
      type: NestAuthEvents.TRUSTED_DEVICES_REVOKED,
      from: 'told',
      userId: '$1::uuid',
      subjectType: 'user',
      details: `jsonb_build_object('deviceIds', told.ids)`,
    })}
    select coalesce((select ids from told), '{}') as ids`,
  ([row]) => row !== undefined && row.ids.length > 0,
);

/** Answers the ids of those that were there. */
export async function deleteTrustedDevices(
  manager: EntityManager,
  userId: string,
  deviceId: string | null,
): Promise<readonly string[]> {
  const { ids } = await executeOne(manager, REVOKE, [userId, deviceId]);
  return ids;
}

const REMOVE_EXPIRED: Statement<{ removed: number }> = {
  text: `with gone as (delete from nest_auth_trusted_devices where expires_at <= now() returning 1)
    select count(*)::integer as removed from gone`,
  changes: ([row]) => row !== undefined && row.removed > 0,
};

/** Answers how many. */
export async function removeExpiredDevices(manager: EntityManager): Promise<number> {
  const { removed } = await executeOne(manager, REMOVE_EXPIRED);
  return removed;
}
