import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { TenantContext } from '../isolation/tenant-context.js';
import { RotationOperations } from './rotation.operations.js';
import type { RotateSecretsOptions, RotateSecretsResult } from './rotation.types.js';

/** Makes older keys of the option `secrets` dispensable, while people sign in. */
@Injectable()
export class SecretRotationService {
  constructor(
    private readonly operations: RotationOperations,
    private readonly tenants: TenantContext,
  ) {}

  /**
   * Encrypts by the newest key what older ones have encrypted: the seeds of second factors. For a job; `rotate-secrets`
   * of `nest-auth-identity/schedule` is one. No activity tells of it: nothing changes for anybody.
   *
   * Transaction: one of each chunk, in which a row is replaced only if it is still what was read; one that was changed
   * meanwhile has the newest key by that. Killed, it is simply run again; several processes may run it at once. One-time
   * tokens and codes are not encrypted: those of a key that is taken away end with it.
   * Tenancy: the platform's, with row-level security too; refused with `TENANT_CONTEXT_MISMATCH` inside a transaction of
   * a tenant. Rule: NIST SP 800-57 part 1, 5.3 (cryptoperiods).
   * Errors: `VALIDATION_FAILED`.
   */
  async rotateSecrets(options: RotateSecretsOptions = {}, manager?: EntityManager): Promise<RotateSecretsResult> {
    return this.tenants.asPlatform(() => this.operations.run(options, manager));
  }
}
