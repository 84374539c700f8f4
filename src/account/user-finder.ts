import type { EntityManager } from 'typeorm';
import { InputIssues } from '../errors/input.js';
import type { Tenancy } from '../tenant/tenancy.js';
import { NestAuthTenant } from '../tenant/tenant.entity.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { execute, type Statement } from '../transaction/statement.js';
import { rememberOrigin } from '../transaction/entity-origin.js';
import { normaliseEmail, normalisePhone } from './contact.policy.js';
import type { NestAuthUser } from './user.entity.js';
import { countUsers, listUsers, withRelations } from './user-list.queries.js';
import { type GetUserOptions, type GetUsersOptions, MAX_USERS_PER_PAGE, type UserPage } from './user-list.types.js';
import { emailExists, findPlatformUserByEmail, findUserById, findUserByLogin } from './user.queries.js';

/** As many as a person may reasonably choose from. */
const MAX_TENANTS = 100;

const TENANTS_OF_LOGIN: Statement<Record<keyof NestAuthTenant, unknown>> = {
  text: `with login as (select user_id from nest_auth_identities where provider_id = $2 and provider = $1)
    select distinct on (t.id) t.id, t.name, t.slug, t.description, t.is_active as "isActive", t.metadata, t.version,
      t.created_at as "createdAt", t.updated_at as "updatedAt"
    from login
    join nest_auth_users u on u.id = login.user_id and u.is_active and u.deleted_at is null
    join nest_auth_user_accesses a on a.user_id = u.id and a.status = 'active'
    join nest_auth_tenants t on t.id = a.tenant_id and t.is_active
    order by t.id limit ${MAX_TENANTS}`,
};

/** Finds users by what they are known by. Runs on the manager it is given; a miss is null. */
export class UserFinder {
  constructor(
    private readonly tenancy: Tenancy,
    private readonly defaultRegion: string | undefined,
  ) {}

  async byId(manager: EntityManager, id: string, options: GetUserOptions): Promise<NestAuthUser | null> {
    return this.#withRelations(manager, await findUserById(manager, id), options);
  }

  async byEmail(
    manager: EntityManager,
    email: string,
    tenantId: string | null,
    options: GetUserOptions,
  ): Promise<NestAuthUser | null> {
    const scope = this.#scope(tenantId);
    const norm = this.#email(email);
    if (norm === null) return null;
    return this.#withRelations(manager, await findUserByLogin(manager, { ...scope, email: norm }), options);
  }

  async byPhone(
    manager: EntityManager,
    phone: string,
    tenantId: string | null,
    options: GetUserOptions,
  ): Promise<NestAuthUser | null> {
    const scope = this.#scope(tenantId);
    const number = this.#phone(phone);
    if (number === null) return null;
    return this.#withRelations(manager, await findUserByLogin(manager, { ...scope, phone: number }), options);
  }

  async platformByEmail(manager: EntityManager, email: string, options: GetUserOptions): Promise<NestAuthUser | null> {
    const norm = this.#email(email);
    if (norm === null) return null;
    return this.#withRelations(manager, await findPlatformUserByEmail(manager, NIL_UUID, norm), options);
  }

  async emailExists(manager: EntityManager, email: string, tenantId: string | null): Promise<boolean> {
    const realmId = this.tenancy.realmOf(tenantId);
    const norm = this.#email(email);
    return norm !== null && emailExists(manager, realmId, norm);
  }

  page(manager: EntityManager, options: GetUsersOptions): Promise<UserPage> {
    return listUsers(manager, this.#named(options));
  }

  count(manager: EntityManager, options: GetUsersOptions): Promise<number> {
    return countUsers(manager, this.#named(options));
  }

  async byRole(
    manager: EntityManager,
    role: { readonly name: string; readonly guard: string },
    tenantId: string | undefined,
  ): Promise<NestAuthUser[]> {
    const tenant = tenantId === undefined ? {} : { tenantId };
    return (await this.page(manager, { role, limit: MAX_USERS_PER_PAGE, ...tenant })).items;
  }

  async tenantsByEmail(manager: EntityManager, email: string): Promise<NestAuthTenant[]> {
    const norm = this.#email(email);
    return norm === null ? [] : this.#tenantsOf(manager, 'email', norm);
  }

  async tenantsByPhone(manager: EntityManager, phone: string): Promise<NestAuthTenant[]> {
    const number = this.#phone(phone);
    return number === null ? [] : this.#tenantsOf(manager, 'phone', number);
  }

  async #tenantsOf(manager: EntityManager, provider: string, providerId: string): Promise<NestAuthTenant[]> {
    const rows = await execute(manager, TENANTS_OF_LOGIN, [provider, providerId]);
    return rows.map((row) => rememberOrigin(Object.assign(new NestAuthTenant(), row), manager));
  }

  /** The realm to look in, and the tenant to be a member of. */
  #scope(tenantId: string | null): { realmId: string; tenantId: string | null } {
    const realmId = this.tenancy.realmOf(tenantId);
    return { realmId, tenantId: tenantId === null ? null : this.tenancy.named(tenantId) };
  }

  #named(options: GetUsersOptions): GetUsersOptions {
    return options.tenantId === undefined ? options : { ...options, tenantId: this.tenancy.named(options.tenantId) };
  }

  /** What cannot be an email is nobody's; what is no text at all is a mistake of the caller. */
  #email(email: unknown): string | null {
    const normalised = normaliseEmail(text('email', email));
    return 'value' in normalised ? normalised.value : null;
  }

  #phone(phone: unknown): string | null {
    const normalised = normalisePhone(text('phone', phone), { defaultRegion: this.defaultRegion });
    return 'value' in normalised ? normalised.value : null;
  }

  async #withRelations(
    manager: EntityManager,
    user: NestAuthUser | null,
    { relations }: GetUserOptions,
  ): Promise<NestAuthUser | null> {
    const [loaded] = await withRelations(manager, user === null ? [] : [user], relations);
    return loaded ?? null;
  }
}

function text(path: string, value: unknown): string {
  if (typeof value === 'string') return value;
  const issues = new InputIssues();
  issues.add(path, 'must be a string');
  issues.refuse('The look-up cannot be made');
  return '';
}
