import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { NIL_UUID } from '../../src/index.js';
import { POOL_SIZE } from './environment.js';

/** What a portal user is made of, for both sides. */
export interface PortalUser {
  readonly email: string;
  readonly phone: string;
  readonly passwordHash: string;
  readonly tenantId: string;
  readonly roleId: string;
}

/** A statement as somebody would write it by hand for `pg`. */
export interface Handwritten {
  /** Empty for one that the server plans anew each time, with the values at hand. */
  readonly name: string;
  readonly text: string;
}

const USER = insertInto('nest_auth_users', 'id', 'realm_id', 'email', 'email_norm', 'phone', 'password_hash');
const IDENTITY = insertInto('nest_auth_identities', 'realm_id', 'user_id', 'provider', 'provider_id');
const ACCESS = insertInto('nest_auth_user_accesses', 'user_id', 'tenant_id', 'realm_id', 'is_default');
const ACCESS_ROLE = insertInto(
  'nest_auth_user_access_roles',
  'user_id',
  'tenant_id',
  'role_id',
  'role_tenant_id',
  'guard',
);
/** Who was made, by whom and with what: the row that the package writes, too. */
const ACTIVITY: Handwritten = {
  name: 'insert_activity',
  text: `insert into nest_auth_activities (id, occurred_at, xid, type, actor_type, user_id, tenant_id, subject_type,
      subject_id, after)
    values ($1, now(), pg_current_xact_id()::text::bigint, 'nest_auth.user.created', 'system', $2, $3, 'user', $2, $4)`,
};
const APP_USER = insertInto('app_users', 'id', 'auth_user_id', 'display_name');

/** The same question as `AccessService.getPermissions`: everything that a grant needs must be active. */
const PERMISSIONS: Handwritten = {
  name: 'permissions',
  text: `select distinct p.name
    from nest_auth_users u
    join nest_auth_user_accesses a on a.user_id = u.id
    join nest_auth_tenants t on t.id = a.tenant_id
    join nest_auth_user_access_roles g on g.user_id = a.user_id and g.tenant_id = a.tenant_id
    join nest_auth_roles r on r.id = g.role_id
    join nest_auth_role_permissions rp on rp.role_id = r.id
    join nest_auth_permissions p on p.id = rp.permission_id
    where u.id = $1 and a.tenant_id = $2 and u.is_active and u.deleted_at is null and a.status = 'active'
      and t.is_active and r.is_active`,
};

/** Less than the same question: whether user, tenant, access and roles are active is not looked at. */
const BARE_PERMISSIONS: Handwritten = {
  name: 'bare_permissions',
  text: `select distinct p.name
    from nest_auth_user_access_roles g
    join nest_auth_role_permissions rp on rp.role_id = g.role_id
    join nest_auth_permissions p on p.id = rp.permission_id
    where g.user_id = $1 and g.tenant_id = $2`,
};

const CAN: Handwritten = { name: 'can', text: `select exists (${PERMISSIONS.text} and p.name = $3) as can` };

/** The work done by hand with `pg`: what the package is measured against. */
export class Floor {
  readonly #pool: pg.Pool;

  /** @param prepared - Whether statements have names, so that the server plans them once per connection. */
  constructor(
    url: string,
    private readonly prepared = true,
  ) {
    this.#pool = new pg.Pool({ connectionString: url, max: POOL_SIZE });
    // A server that stops ends idle connections too; whoever uses one is told anyway.
    this.#pool.on('error', () => undefined);
  }

  /** One transaction, one INSERT a row, and none of the checks that the package makes. */
  async createPortalUser({ email, phone, passwordHash, tenantId, roleId }: PortalUser): Promise<string> {
    const id = uuidv7();
    return this.inTransaction(async (client) => {
      await this.#send(client, USER, [id, NIL_UUID, email, email, phone, passwordHash]);
      await this.#send(client, IDENTITY, [NIL_UUID, id, 'email', email]);
      await this.#send(client, IDENTITY, [NIL_UUID, id, 'phone', phone]);
      await this.#send(client, ACCESS, [id, tenantId, NIL_UUID, true]);
      await this.#send(client, ACCESS_ROLE, [id, tenantId, roleId, NIL_UUID, 'portal']);
      const made = JSON.stringify({ email, phone, status: 'active', roleIds: [roleId] });
      await this.#send(client, ACTIVITY, [uuidv7(), id, tenantId, made]);
      await this.#send(client, APP_USER, [uuidv7(), id, email]);
      return id;
    });
  }

  async inTransaction<T>(fn: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect();
    try {
      await client.query('BEGIN');
      const result = await fn(client);
      await client.query('COMMIT');
      return result;
    } catch (error) {
      await client.query('ROLLBACK');
      throw error;
    } finally {
      client.release();
    }
  }

  /** Any statement; on the pool, or on the connection of a transaction. */
  async ask<Row extends object>(
    statement: Handwritten,
    values: readonly unknown[],
    on: pg.Pool | pg.PoolClient = this.#pool,
  ): Promise<Row[]> {
    return (await this.#send<Row>(on, statement, values)).rows;
  }

  async getPermissions(userId: string, tenantId: string): Promise<string[]> {
    const { rows } = await this.#send<{ name: string }>(this.#pool, PERMISSIONS, [userId, tenantId]);
    return rows.map(({ name }) => name);
  }

  async getBarePermissions(userId: string, tenantId: string): Promise<string[]> {
    const { rows } = await this.#send<{ name: string }>(this.#pool, BARE_PERMISSIONS, [userId, tenantId]);
    return rows.map(({ name }) => name);
  }

  async can(userId: string, tenantId: string, permission: string): Promise<boolean> {
    const { rows } = await this.#send<{ can: boolean }>(this.#pool, CAN, [userId, tenantId, permission]);
    return rows[0]?.can === true;
  }

  close(): Promise<void> {
    return this.#pool.end();
  }

  #send<Row extends object>(
    on: pg.Pool | pg.PoolClient,
    { name, text }: Handwritten,
    values: readonly unknown[],
  ): Promise<pg.QueryResult<Row>> {
    return on.query<Row, unknown[]>(
      this.prepared && name !== '' ? { name, text, values: [...values] } : { text, values: [...values] },
    );
  }
}

function insertInto(table: string, ...columns: readonly string[]): Handwritten {
  const parameters = columns.map((_, index) => `$${index + 1}`).join(', ');
  return { name: `insert_${table}`, text: `insert into ${table} (${columns.join(', ')}) values (${parameters})` };
}
