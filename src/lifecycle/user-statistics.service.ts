import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { InputIssues } from '../errors/input.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import type {
  CountByRoleOptions,
  CountByTenantOptions,
  CountUsersOptions,
  RoleCount,
  TenantCount,
  UserCounts,
} from './user-statistics.types.js';
import { readCounts, readCountsByRole, readCountsByTenant } from './user-statistics.queries.js';

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 500;

/**
 * How many users there are, by status, tenant and role. Each method is one statement that looks once at everybody it
 * counts, takes the manager last, and changes nothing. Whether an email is taken is `UserService.emailExists`.
 */
@Injectable()
export class UserStatisticsService {
  constructor(private readonly transactions: TransactionHost) {}

  /** Users by status. Exact, or with `exact: false` estimated at once; see {@link CountUsersOptions}. */
  async countUsers(options: CountUsersOptions = {}, manager?: EntityManager): Promise<UserCounts> {
    const issues = new InputIssues();
    issues.fields(options, ['tenantId', 'exact']);
    if (options.tenantId !== undefined) issues.uuid('tenantId', options.tenantId);
    if (options.exact !== undefined) issues.boolean('exact', options.exact);
    issues.refuse('The users cannot be counted');
    return this.transactions.operate(manager, (m) => readCounts(m, options.tenantId, options.exact ?? true));
  }

  /** Members by tenant, in the order of the tenants' ids: 100 tenants, or `limit`. */
  async countByTenant(options: CountByTenantOptions = {}, manager?: EntityManager): Promise<TenantCount[]> {
    checkPage(options, ['limit', 'after']);
    const { after, limit = DEFAULT_LIMIT } = options;
    return this.transactions.operate(manager, (m) => readCountsByTenant(m, after, limit));
  }

  /** Holders by role, in the order of the roles' ids: 100 roles, or `limit`; in one tenant, or anywhere. */
  async countByRole(options: CountByRoleOptions = {}, manager?: EntityManager): Promise<RoleCount[]> {
    checkPage(options, ['limit', 'after', 'tenantId']);
    const { after, limit = DEFAULT_LIMIT, tenantId } = options;
    return this.transactions.operate(manager, (m) => readCountsByRole(m, after, limit, tenantId));
  }
}

function checkPage(options: CountByRoleOptions, fields: readonly string[]): void {
  const issues = new InputIssues();
  issues.fields(options, fields);
  const { limit, after, tenantId } = options;
  if (limit !== undefined && !(Number.isInteger(limit) && limit >= 1 && limit <= MAX_LIMIT)) {
    issues.add('limit', `must be a whole number, 1 to ${MAX_LIMIT}`);
  }
  if (after !== undefined) issues.uuid('after', after);
  if (tenantId !== undefined) issues.uuid('tenantId', tenantId);
  issues.refuse('The users cannot be counted');
}
