import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { assertUuid } from '../errors/input.js';
import { isNestAuthError, NestAuthError } from '../errors/nest-auth.error.js';
import type { EventPublisher } from '../events/event-publisher.js';
import { TenantCreatedEvent, TenantDeletedEvent, TenantUpdatedEvent } from '../events/nest-auth.events.js';
import {
  containing,
  cursorKind,
  encodeCursor,
  type Page,
  readIdCursor,
  readPage,
  toPage,
} from '../transaction/keyset.js';
import { direct, shielded, untilDecided } from '../transaction/optimistic.js';
import type { Tenancy } from './tenancy.js';
import type { NestAuthTenant } from './tenant.entity.js';
import { checkCreateTenant, checkTenantFilter, checkUpdateTenant, isSlug } from './tenant.policy.js';
import {
  countTenants,
  deleteTenantRow,
  findTenantById,
  findTenantBySlug,
  insertTenant,
  listAndCountTenants,
  listTenants,
  type TenantListFilter,
  type TenantUpdateRow,
  toTenant,
  updateTenantRow,
} from './tenant.queries.js';
import {
  type CreateTenantInput,
  type GetTenantsOptions,
  NIL_UUID,
  TenantModeEnum,
  type TenantFilter,
  type UpdateTenantInput,
} from './tenant.types.js';

const LIMITS = { defaultLimit: 20, maxLimit: 100 } as const;

/** The rules of tenants: validate, write, announce. */
export class TenantOperations {
  constructor(
    private readonly publisher: EventPublisher,
    private readonly tenancy: Tenancy,
  ) {}

  async create(manager: EntityManager, input: CreateTenantInput): Promise<NestAuthTenant> {
    this.#refuseDisabled('createTenant');
    checkCreateTenant(input);
    const { name, slug, description = null, isActive = true, secondFactorPolicy = 'optional', metadata = {} } = input;
    const made = { id: uuidv7(), name, slug, description, isActive, secondFactorPolicy, metadata };
    const tenant = await insertTenant(manager, made);
    if (tenant === null) throw slugTaken('createTenant');
    this.publisher.publish(manager, new TenantCreatedEvent(tenant));
    return tenant;
  }

  async update(manager: EntityManager, id: string, input: UpdateTenantInput): Promise<NestAuthTenant> {
    const tenantId = this.tenancy.named(id);
    checkUpdateTenant(input);
    // Only a new slug can meet a unique index.
    const guard = input.slug === undefined ? direct : shielded;
    const row = await untilDecided(() => guard(manager, (inner) => attemptUpdate(inner, tenantId, input))).catch(
      (error: unknown) => {
        throw isNestAuthError(error, 'TENANT_ALREADY_EXISTS') ? slugTaken('updateTenant', error) : error;
      },
    );
    const tenant = toTenant(row, manager);
    if (row.changed) this.publisher.publish(manager, new TenantUpdatedEvent(tenant));
    return tenant;
  }

  async delete(manager: EntityManager, id: string): Promise<void> {
    this.#refuseDisabled('deleteTenant');
    const tenantId = this.tenancy.named(id);
    await untilDecided(() => shielded(manager, (inner) => attemptDelete(inner, tenantId))).catch((error: unknown) => {
      // A reference that was made meanwhile: the foreign key is the judge.
      const judged = isNestAuthError(error) && error.details.constraint !== undefined;
      throw judged ? inUse(error) : error;
    });
    this.publisher.publish(manager, new TenantDeletedEvent(tenantId));
  }

  async findById(manager: EntityManager, id: string): Promise<NestAuthTenant | null> {
    assertUuid('id', id);
    return this.#sees(id) ? findTenantById(manager, id) : null;
  }

  async findBySlug(manager: EntityManager, slug: string): Promise<NestAuthTenant | null> {
    if (!isSlug(slug)) return null;
    const tenant = await findTenantBySlug(manager, slug);
    return tenant !== null && this.#sees(tenant.id) ? tenant : null;
  }

  async page(manager: EntityManager, options: GetTenantsOptions = {}): Promise<Page<NestAuthTenant>> {
    const { filter, window, kind } = this.#readList(options);
    const rows = await listTenants(manager, filter, { ...window, limit: window.limit + 1 });
    return toPage(
      rows,
      window.limit,
      (row) => toTenant(row, manager),
      ({ id }) => encodeCursor(kind, { id }),
    );
  }

  async pageAndCount(manager: EntityManager, options: GetTenantsOptions = {}): Promise<[NestAuthTenant[], number]> {
    const { filter, window } = this.#readList(options);
    const { rows, count } = await listAndCountTenants(manager, filter, window);
    return [rows.map((row) => toTenant(row, manager)), count];
  }

  async count(manager: EntityManager, filter: TenantFilter = {}): Promise<number> {
    checkTenantFilter(filter, false);
    return countTenants(manager, this.#filterOf(filter));
  }

  #readList(options: GetTenantsOptions) {
    checkTenantFilter(options, true);
    const { limit, after, offset } = readPage(options, LIMITS);
    const { search, isActive } = options;
    const kind = cursorKind('tenants', { search, isActive });
    return { filter: this.#filterOf(options), window: { limit, offset, afterId: readIdCursor(kind, after) }, kind };
  }

  #filterOf({ search, isActive }: TenantFilter): TenantListFilter {
    return {
      builtIn: this.tenancy.mode === TenantModeEnum.DISABLED,
      pattern: search === undefined ? null : containing(search),
      isActive: isActive ?? null,
    };
  }

  /** The built-in tenant is one only where there is no other. */
  #sees(id: string): boolean {
    return (id === NIL_UUID) === (this.tenancy.mode === TenantModeEnum.DISABLED);
  }

  #refuseDisabled(method: string): void {
    if (this.tenancy.mode !== TenantModeEnum.DISABLED) return;
    throw new NestAuthError(
      'VALIDATION_FAILED',
      `${method} was called in DISABLED tenancy, which has the built-in tenant only; set tenancy.mode to SHARED or ISOLATED`,
      { details: { issues: [{ path: 'tenancy.mode', message: 'must be shared or isolated' }] } },
    );
  }
}

async function attemptUpdate(
  manager: EntityManager,
  id: string,
  input: UpdateTenantInput,
): Promise<TenantUpdateRow | undefined> {
  const row = await updateTenantRow(manager, id, input);
  if (row === undefined) throw noTenant('updateTenant');
  if (row.changed) return row;
  if (input.expectedVersion !== undefined && input.expectedVersion !== row.version) {
    throw new NestAuthError(
      'STALE_VERSION',
      `updateTenant expected version ${input.expectedVersion}, the tenant has ${row.version}; read it again`,
    );
  }
  if (row.slug_taken) throw slugTaken('updateTenant');
  return row.differs ? undefined : row;
}

async function attemptDelete(manager: EntityManager, id: string): Promise<true | undefined> {
  const { found, used, deleted } = await deleteTenantRow(manager, id);
  if (deleted) return true;
  if (!found) throw noTenant('deleteTenant');
  if (used) throw inUse();
  return undefined;
}

function noTenant(method: string): NestAuthError {
  return new NestAuthError('TENANT_NOT_FOUND', `${method} was called with the id of no tenant`);
}

function inUse(cause?: unknown): NestAuthError {
  return new NestAuthError(
    'TENANT_IN_USE',
    'deleteTenant found users, roles or accesses of the tenant; delete those first, or set isActive to false',
    { cause },
  );
}

function slugTaken(method: string, cause?: unknown): NestAuthError {
  return new NestAuthError('TENANT_ALREADY_EXISTS', `${method} was given the slug of another tenant; choose another`, {
    details: { fields: ['slug'] },
    cause,
  });
}
