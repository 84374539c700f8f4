import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { assertUuid } from '../errors/input.js';
import { TenantContext } from '../isolation/tenant-context.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { removeExpiredChallenges } from './challenge.queries.js';
import type { NestAuthTrustedDevice } from './trusted-device.entity.js';
import { TrustedDeviceOperations } from './trusted-device.operations.js';
import { listTrustedDevices, removeExpiredDevices } from './trusted-device.queries.js';

/** What {@link TrustedDeviceService.removeExpired} has removed. */
export interface RemovedSecondFactors {
  readonly challenges: number;
  readonly devices: number;
}

/**
 * The devices on which a user has shown a second factor by `completeSignIn({ trustDevice: true })`, and need not for
 * `twoFactor.trustedDeviceDays`: for the user, and for whoever administers. It asks nobody for a right; the caller does.
 *
 * A device stands for the second factor and for nothing else, where the tenant's `secondFactorPolicy` is not `always`. It
 * is trusted no longer when the user has another password or other second factors, or was not active in between; that
 * sessions were ended leaves it as it is.
 * Every method runs on the `manager` passed, else in the running transaction, else by itself, and is one statement. With
 * row-level security a tenant finds the devices of the users of its own realm.
 */
@Injectable()
export class TrustedDeviceService {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly operations: TrustedDeviceOperations,
    private readonly tenants: TenantContext,
  ) {}

  /** The devices that are trusted, the one that was used last first; at most 200. Errors: `VALIDATION_FAILED`. */
  async listTrustedDevices(userId: string, manager?: EntityManager): Promise<NestAuthTrustedDevice[]> {
    assertUuid('userId', userId);
    return this.transactions.operate(manager, (m) => listTrustedDevices(m, userId));
  }

  /**
   * Trusts one device no longer. The session in it goes on: see `SessionService`. Announces `TrustedDevicesRevokedEvent`.
   *
   * Errors: `TRUSTED_DEVICE_NOT_FOUND` also for another user's; `VALIDATION_FAILED`.
   */
  async revokeTrustedDevice(userId: string, deviceId: string, manager?: EntityManager): Promise<void> {
    assertUuid('userId', userId);
    assertUuid('deviceId', deviceId);
    await this.transactions.operate(manager, (m) => this.operations.revokeOne(m, userId, deviceId));
  }

  /**
   * Trusts no device of the user any longer; answers how many there were, those included that had ended by themselves.
   * Announces `TrustedDevicesRevokedEvent` if there were any. Repeating it changes nothing. Errors: `VALIDATION_FAILED`.
   */
  async revokeTrustedDevices(userId: string, manager?: EntityManager): Promise<number> {
    assertUuid('userId', userId);
    return this.transactions.operate(manager, (m) => this.operations.revokeAll(m, userId));
  }

  /**
   * Removes devices that have expired, and sign-ins that nobody has completed in time, with their codes. For a job;
   * `remove-expired-second-factors` of `nest-auth-identity/schedule` is one. No activity tells of it.
   *
   * Transaction: two statements, each by itself. Tenancy: the platform's; refused with `TENANT_CONTEXT_MISMATCH` inside a
   * transaction of a tenant.
   */
  async removeExpired(manager?: EntityManager): Promise<RemovedSecondFactors> {
    return this.tenants.asPlatform(async () => {
      const challenges = await this.transactions.operate(manager, removeExpiredChallenges);
      const devices = await this.transactions.operate(manager, removeExpiredDevices);
      return { challenges, devices };
    });
  }
}
