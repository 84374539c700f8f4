import { AsyncLocalStorage } from 'node:async_hooks';
import type { DataSource } from 'typeorm';
import { writeBypass } from './tenant-bypass.queries.js';
import { InputIssues } from '../errors/input.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import type { EventPublisher } from '../events/event-publisher.js';
import { TenantBypassedEvent } from '../events/nest-auth.events.js';
import type { Tenancy } from '../tenant/tenancy.js';
import { currentFrame } from '../transaction/frame.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { assertSameScope, type TransactionScope } from '../transaction/transaction-scope.js';
import type { RlsOptions } from './isolation.types.js';

interface Scope extends TransactionScope {
  readonly tenantId: string | null;
}

/** What row-level security runs on; absent where it is off. */
export interface RowSecurity {
  readonly platformRole: string;
  readonly onBypass: RlsOptions['onBypass'];
}

const contexts = new WeakMap<DataSource, TenantContext>();

/** The context that serves this DataSource with row-level security on, if one does. */
export function findTenantContext(dataSource: DataSource): TenantContext | undefined {
  return contexts.get(dataSource);
}

/**
 * Which tenant the running code works for. Needs the option `rls: true`.
 *
 * Everything that `fn` sends through the DataSource, the host's repositories and raw SQL included, runs in a
 * transaction that is bound to the tenant from its first statement on. It follows `await`, timers and listeners.
 */
export class TenantContext {
  readonly #scopes = new AsyncLocalStorage<Scope>();
  readonly #platform: Scope | undefined;

  constructor(
    private readonly transactions: TransactionHost,
    private readonly publisher: EventPublisher,
    private readonly tenancy: Tenancy,
    private readonly security: RowSecurity | undefined,
  ) {
    if (security === undefined) return;
    const role = security.platformRole.replaceAll('"', '""');
    this.#platform = { key: 'platform', tenantId: null, sql: `SET LOCAL ROLE "${role}"` };
    transactions.useScopes({ current: () => this.#scopes.getStore() });
    contexts.set(transactions.dataSource, this);
  }

  /** @internal What makes a transaction the platform's. */
  get platformScope(): string {
    return this.#platform?.sql ?? '';
  }

  /** @internal Whether row-level security is on, so that code needs a tenant to run in. */
  get isEnforced(): boolean {
    return this.#platform !== undefined;
  }

  /** The tenant of the running code; null outside of any, and inside `withoutTenant`. */
  get tenantId(): string | null {
    return this.#scopes.getStore()?.tenantId ?? null;
  }

  /**
   * Runs `fn` for one tenant: nothing of another one can be read or changed in it.
   *
   * Transaction: opens none. Each one that `fn` opens is bound to the tenant; a statement outside of any gets one of
   * its own. Nested: the same tenant again is allowed. Another one is a place of its own, and refused while a
   * transaction is running.
   * Errors: `VALIDATION_FAILED`, `TENANT_NOT_FOUND` for an id that the tenancy mode cannot have (whether the tenant
   * exists is not looked up), `TENANT_CONTEXT_MISMATCH`, `INVALID_OPTIONS` when `rls` is off.
   */
  async run<T>(tenantId: string, fn: () => Promise<T> | T): Promise<T> {
    this.#assertOn();
    const id = this.tenancy.named(tenantId).toLowerCase();
    return this.#enter({ key: id, tenantId: id, sql: `SET LOCAL nest_auth.tenant_id = '${id}'` }, fn);
  }

  /**
   * Runs `fn` for the whole platform: the only way around the tenant, and one that is told.
   *
   * Transaction: as {@link run}; they run under the platform's database role. `rls.onBypass` is awaited first. Then an
   * activity is written, which stays whatever becomes of `fn`, and `TenantBypassedEvent` is announced. Inside a platform
   * transaction that is running already both belong to that: what let it in has been recorded before it began.
   * Errors: `VALIDATION_FAILED` without a reason, `TENANT_CONTEXT_MISMATCH` inside a transaction of a tenant,
   * `INVALID_OPTIONS` when `rls` is off.
   */
  async withoutTenant<T>(reason: string, fn: () => Promise<T> | T): Promise<T> {
    const security = this.#assertOn();
    assertReason(reason);
    const scope = this.#platform as Scope;
    this.#assertEnterable(scope);
    const bypass = { reason, tenantId: this.tenantId };
    await security.onBypass?.(bypass);
    // Nobody gets around the tenants unless that is on record: when it cannot be written, the work is not done.
    await this.#enter(scope, () => this.transactions.operate(undefined, (manager) => writeBypass(manager, bypass)));
    const frame = this.#frame();
    this.publisher.publish(
      frame?.manager ?? this.transactions.dataSource.manager,
      new TenantBypassedEvent(reason, bypass.tenantId),
    );
    return this.#enter(scope, fn);
  }

  /**
   * @internal Runs statements of the package itself for the whole platform: they are no way around anything, so nobody
   * is told. Opens nothing where row-level security is off.
   */
  asPlatform<T>(fn: () => Promise<T>): Promise<T> {
    return this.#platform === undefined ? fn() : this.#enter(this.#platform, fn);
  }

  async #enter<T>(scope: Scope, fn: () => Promise<T> | T): Promise<T> {
    this.#assertEnterable(scope);
    // Awaited inside: TypeORM's builders send their statement only when somebody waits for them.
    return this.#scopes.run(scope, async () => fn());
  }

  #assertEnterable(scope: Scope): void {
    const frame = this.#frame();
    if (frame !== undefined) assertSameScope(frame.wire, scope);
  }

  #frame(): ReturnType<typeof currentFrame> {
    return currentFrame(({ dataSource }) => dataSource === this.transactions.dataSource);
  }

  #assertOn(): RowSecurity {
    if (this.security !== undefined) return this.security;
    throw new NestAuthError(
      'INVALID_OPTIONS',
      'TenantContext protects nothing without row-level security; set the option rls: true and run NestAuthRlsMigrations',
      { details: { option: 'rls' } },
    );
  }
}

function assertReason(reason: unknown): void {
  const issues = new InputIssues();
  if (typeof reason !== 'string' || reason.trim() === '') issues.add('reason', 'must say why no tenant is needed');
  issues.refuse('withoutTenant needs a reason');
}
