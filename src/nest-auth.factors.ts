import type { Provider } from '@nestjs/common';
import { EventPublisher } from './events/event-publisher.js';
import { ChallengeOperations } from './mfa/challenge.operations.js';
import { CodeFactorNotifications } from './mfa/code-factor.notifications.js';
import { CodeFactorOperations } from './mfa/code-factor.operations.js';
import { RequiredEnrolmentOperations } from './mfa/required-enrolment.operations.js';
import { RotationOperations } from './mfa/rotation.operations.js';
import { TOTP_SEEDS } from './mfa/rotation.queries.js';
import { TrustedDeviceOperations } from './mfa/trusted-device.operations.js';
import { TwoFactorOperations } from './mfa/two-factor.operations.js';
import { TwoFactorSettings } from './mfa/two-factor.settings.js';
import { ReauthenticationOperations } from './recovery/reauthentication.operations.js';
import { SecretSettings } from './secret/secret.settings.js';
import { AuthOperations } from './session/auth.operations.js';
import { TransactionHost } from './transaction/transaction-host.js';

/** What stands beside second factors: trusted devices, codes that are sent, what tenants demand, and the keys of it all. */
export function factorProviders(): Provider[] {
  return [trustedDevices, codes, requiredEnrolment, codeNotifications, rotation];
}

const trustedDevices: Provider = {
  provide: TrustedDeviceOperations,
  inject: [TransactionHost, EventPublisher, TwoFactorSettings, ChallengeOperations],
  useFactory: (
    host: TransactionHost,
    events: EventPublisher,
    twoFactor: TwoFactorSettings,
    challenges: ChallengeOperations,
  ) => {
    const devices = new TrustedDeviceOperations(host, events, twoFactor);
    challenges.trustDevicesBy(devices);
    return devices;
  },
};

const codes: Provider = {
  provide: CodeFactorOperations,
  inject: [
    TransactionHost,
    EventPublisher,
    ReauthenticationOperations,
    SecretSettings,
    TwoFactorSettings,
    ChallengeOperations,
    TwoFactorOperations,
  ],
  useFactory: (
    host: TransactionHost,
    events: EventPublisher,
    firstFactor: ReauthenticationOperations,
    secrets: SecretSettings,
    twoFactor: TwoFactorSettings,
    challenges: ChallengeOperations,
    proofs: TwoFactorOperations,
  ) => {
    const operations = new CodeFactorOperations(host, events, firstFactor, secrets, twoFactor, proofs);
    for (const factor of operations.factors) challenges.acceptCodes(factor);
    return operations;
  },
};

const requiredEnrolment: Provider = {
  provide: RequiredEnrolmentOperations,
  inject: [TransactionHost, EventPublisher, AuthOperations, SecretSettings, TwoFactorSettings, TrustedDeviceOperations],
  useFactory: (
    host: TransactionHost,
    events: EventPublisher,
    auth: AuthOperations,
    secrets: SecretSettings,
    twoFactor: TwoFactorSettings,
    devices: TrustedDeviceOperations,
  ) => new RequiredEnrolmentOperations(host, events, auth, secrets, twoFactor, devices),
};

const codeNotifications: Provider = {
  provide: CodeFactorNotifications,
  inject: [SecretSettings],
  useFactory: (secrets: SecretSettings) => new CodeFactorNotifications(secrets),
};

const rotation: Provider = {
  provide: RotationOperations,
  inject: [TransactionHost, SecretSettings],
  useFactory: (host: TransactionHost, secrets: SecretSettings) => new RotationOperations(host, secrets, [TOTP_SEEDS]),
};
