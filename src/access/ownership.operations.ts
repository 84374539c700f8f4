import type { EntityManager } from 'typeorm';
import type { NestAuthUser } from '../account/user.entity.js';
import { assertUuid, InputIssues } from '../errors/input.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { lockTenants } from '../tenant/ownership.queries.js';
import type { Tenancy } from '../tenant/tenancy.js';
import type { AccessOperations } from './access.operations.js';
import { findOwners, readTransfer, type TransferFacts } from './ownership.queries.js';

/** Who owns a tenant, and how it is handed over. */
export class OwnershipOperations {
  constructor(
    private readonly access: AccessOperations,
    private readonly tenancy: Tenancy,
  ) {}

  getOwners(manager: EntityManager, tenantId: string): Promise<NestAuthUser[]> {
    return findOwners(manager, this.tenancy.named(tenantId));
  }

  /**
   * Gives the roles of owners to somebody else and takes them from the one who had them. What both are is looked at
   * first, so that a refusal has written nothing.
   */
  async transfer(
    manager: EntityManager,
    tenantId: string,
    fromUserId: string,
    toUserId: string,
  ): Promise<readonly string[]> {
    checkTransfer(fromUserId, toUserId);
    const named = this.tenancy.named(tenantId);
    // One after another: who has handed the tenant over has nothing left to hand over.
    await lockTenants(manager, [named]);
    const facts = await readTransfer(manager, named, fromUserId, toUserId);
    assertTransferable(facts);
    await this.access.roles.addUserAccessRoles(manager, toUserId, named, facts.role_ids);
    await this.access.roles.removeUserAccessRoles(manager, fromUserId, named, facts.role_ids);
    return facts.role_ids;
  }
}

function checkTransfer(fromUserId: string, toUserId: string): void {
  assertUuid('fromUserId', fromUserId);
  assertUuid('toUserId', toUserId);
  const issues = new InputIssues();
  if (fromUserId.toLowerCase() === toUserId.toLowerCase()) issues.add('toUserId', 'must be somebody else');
  issues.refuse('The tenant cannot be handed over');
}

function assertTransferable({ tenant_ok, role_ids, to_status, to_access }: TransferFacts): void {
  if (!tenant_ok) throw new NestAuthError('TENANT_NOT_FOUND', 'transferOwnership needs a tenant that is active');
  if (role_ids.length === 0) {
    throw new NestAuthError('OWNER_NOT_FOUND', 'transferOwnership was called for somebody who does not own the tenant');
  }
  if (to_status === null)
    throw new NestAuthError('USER_NOT_FOUND', 'transferOwnership was given no user to receive it');
  if (to_status !== 'active') {
    throw new NestAuthError('USER_NOT_ACTIVE', 'transferOwnership needs an active user to receive the tenant');
  }
  if (to_access === 'suspended') {
    throw new NestAuthError('ACCESS_NOT_FOUND', 'The access of the user who receives the tenant is suspended');
  }
}
