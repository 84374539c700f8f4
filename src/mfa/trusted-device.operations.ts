import type { EntityManager } from 'typeorm';
import { IdentityContext } from '../audit/identity-context.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import type { EventPublisher } from '../events/event-publisher.js';
import { TrustedDeviceAddedEvent, TrustedDevicesRevokedEvent } from '../events/nest-auth.events.js';
import { addressOf } from '../rate-limit/network.policy.js';
import { hashOf, newRefreshToken } from '../session/refresh-token.policy.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import type { DeviceTrust, DeviceTrusting } from './second-factor.types.js';
import { deleteTrustedDevices, insertTrustedDevice } from './trusted-device.queries.js';
import type { TwoFactorSettings } from './two-factor.settings.js';

type SignedIn = Parameters<DeviceTrusting['trust']>[1];

/** The rules of devices that are trusted for a while: they stand for a second factor, and for nothing else. */
export class TrustedDeviceOperations implements DeviceTrusting {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly events: EventPublisher,
    private readonly settings: TwoFactorSettings,
  ) {}

  async trust(manager: EntityManager | undefined, signedIn: SignedIn): Promise<DeviceTrust | null> {
    const { userId, tenantId, stamp } = signedIn;
    const { ip = null, userAgent = null } = IdentityContext.current;
    // The form of a refresh token, and as much chance; what each is for tells the table that has its hash.
    const token = newRefreshToken(userId);
    const from = { ip: ip === null ? null : addressOf(ip), userAgent };
    const { trustedDeviceSeconds: seconds, platform: platformPolicy } = this.settings;
    const row = await this.transactions.operate(manager, async (m) => {
      const made = await insertTrustedDevice(m, {
        userId,
        tenantId,
        stamp,
        tokenHash: hashOf(token),
        seconds,
        platformPolicy,
        ...from,
      });
      if (made !== undefined) this.events.publish(m, new TrustedDeviceAddedEvent(userId, made.id));
      return made;
    });
    return row === undefined ? null : { token, expiresAt: row.expires_at };
  }

  async revokeOne(manager: EntityManager, userId: string, deviceId: string): Promise<void> {
    if ((await this.#revoke(manager, userId, deviceId)) > 0) return;
    throw new NestAuthError('TRUSTED_DEVICE_NOT_FOUND', 'revokeTrustedDevice: the user has no such device', {
      details: { ids: [deviceId] },
    });
  }

  revokeAll(manager: EntityManager, userId: string): Promise<number> {
    return this.#revoke(manager, userId, null);
  }

  async #revoke(manager: EntityManager, userId: string, deviceId: string | null): Promise<number> {
    const ids = await deleteTrustedDevices(manager, userId, deviceId);
    if (ids.length > 0) this.events.publish(manager, new TrustedDevicesRevokedEvent(userId, ids));
    return ids.length;
  }
}
