import { assertStrongEnough, DEFAULT_PASSWORD_SETTINGS, type PasswordSettings } from './account/password.service.js';
import { PASSWORD_POLICY_FIELDS, PasswordPolicySettings } from './account/password-policy.settings.js';
import { isRegion } from './account/contact.policy.js';
import type { UserHooks } from './account/user-hooks.js';
import { type DelegationMode, DELEGATIONS } from './access/access.settings.js';
import type { PermissionRegistry } from './access/registry.types.js';
import { API_KEY_FIELDS, ApiKeySettings } from './api-key/api-key.settings.js';
import { RoleGuardEnum } from './access/access.types.js';
import { NestAuthError } from './errors/nest-auth.error.js';
import { isUuid } from './errors/input.js';
import { EXTERNAL_SIGN_IN_FIELDS, ExternalSettings } from './external/external.settings.js';
import { DELIVERY_FIELDS, DeliverySettings } from './delivery/delivery.settings.js';
import type { WebhookOptions } from './webhook/webhook.types.js';
import { checkWebhooks } from './webhook/webhook.policy.js';
import type { SubscriberSettings } from './feed/feed.types.js';
import { INVITATION_FIELDS, InvitationSettings } from './invitation/invitation.settings.js';
import type { RlsOptions } from './isolation/isolation.types.js';
import { GRACE_FIELDS, unitOf } from './lifecycle/lifecycle-input.policy.js';
import { DEFAULT_LIFECYCLE, LifecycleSettings, MAX_CHUNK_SIZE, MAX_GRACE } from './lifecycle/lifecycle.settings.js';
import type { LifecycleOptions } from './lifecycle/lifecycle.types.js';
import { type NestAuthModuleOptions, REFUSAL_LEVELS, type RefusalLevel } from './nest-auth.options.js';
import { RATE_LIMIT_FIELDS, RateLimitSettings } from './rate-limit/rate-limit.settings.js';
import { LOCKOUT_FIELDS, LockoutSettings } from './session/lockout.settings.js';
import { REVOCATION_FIELDS, RevocationSettings } from './revocation/revocation.settings.js';
import { GUARD_FIELDS, GuardSettings } from './guard/guard.settings.js';
import { RECOVERY_FIELDS, RecoverySettings } from './recovery/recovery.settings.js';
import { TWO_FACTOR_FIELDS, TwoFactorSettings } from './mfa/two-factor.settings.js';
import { SECRET_FIELDS, SecretSettings } from './secret/secret.settings.js';
import { SESSION_FIELDS, SessionSettings } from './session/session.settings.js';
import { NIL_UUID, TenantModeEnum } from './tenant/tenant.types.js';
import type { NestAuthObserver } from './transaction/transaction-observer.js';
import { ESCAPE_MODES, type EscapeMode } from './transaction/transaction.types.js';

/** The options with every default filled in, and known to make sense. */
export interface NestAuthSettings {
  readonly tenantMode: TenantModeEnum;
  readonly defaultTenantId: string | null;
  readonly defaultRegion: string | undefined;
  readonly password: PasswordSettings;
  readonly passwordPolicy: PasswordPolicySettings;
  readonly guards: readonly string[];
  readonly delegation: DelegationMode;
  readonly declared: readonly PermissionRegistry[];
  readonly sealKeys: readonly string[];
  readonly retries: number;
  readonly onEscape: EscapeMode;
  readonly operationTimeoutMs: number;
  readonly prepared: boolean;
  readonly logFailures: boolean;
  readonly logRefusals: RefusalLevel;
  readonly telemetry: NestAuthObserver | undefined;
  readonly lifecycle: LifecycleSettings;
  readonly session: SessionSettings;
  readonly secrets: SecretSettings;
  readonly invitations: InvitationSettings;
  readonly apiKeys: ApiKeySettings;
  readonly revocation: RevocationSettings;
  readonly twoFactor: TwoFactorSettings;
  readonly recovery: RecoverySettings;
  readonly lockout: LockoutSettings;
  readonly rateLimits: RateLimitSettings;
  readonly external: ExternalSettings;
  readonly guard: GuardSettings;
  readonly hooks: UserHooks;
  readonly subscribers: SubscriberSettings;
  readonly webhooks: readonly WebhookOptions[];
  readonly delivery: DeliverySettings;
  /** Undefined where row-level security is off. */
  readonly rls: RlsOptions | undefined;
}

const OBSERVED: readonly (keyof NestAuthObserver)[] = [
  'call',
  'attempt',
  'retrying',
  'ended',
  'afterCommitFailed',
  'connected',
  'method',
  'start',
];

/** Options that are no group of others; what is in them is checked on its own. */
const LIST_OPTIONS = ['webhooks', 'identityProviders'] as const;
type ListOption = (typeof LIST_OPTIONS)[number];

/** The known options, by group: anything else is a typing error that would silently change nothing. */
const KNOWN: Readonly<Record<Exclude<keyof NestAuthModuleOptions, ListOption>, readonly string[]>> = {
  tenant: ['mode', 'defaultTenantId'],
  phone: ['defaultRegion'],
  password: [...Object.keys(DEFAULT_PASSWORD_SETTINGS), ...PASSWORD_POLICY_FIELDS],
  access: ['guards', 'delegation', 'registry'],
  audit: ['sealKeys'],
  transaction: ['retries', 'onEscape', 'operationTimeoutMs'],
  statements: ['prepared'],
  rls: ['onBypass'],
  subscribers: ['enabled', 'pollMs', 'leaseMs', 'batchSize', 'maxLagMs', 'listen'],
  log: ['failedTransactions', 'refusals'],
  telemetry: OBSERVED,
  delivery: DELIVERY_FIELDS,
  lifecycle: Object.keys(DEFAULT_LIFECYCLE),
  session: SESSION_FIELDS,
  secrets: SECRET_FIELDS,
  invitations: INVITATION_FIELDS,
  apiKeys: API_KEY_FIELDS,
  revocation: REVOCATION_FIELDS,
  twoFactor: TWO_FACTOR_FIELDS,
  recovery: RECOVERY_FIELDS,
  lockout: LOCKOUT_FIELDS,
  rateLimits: RATE_LIMIT_FIELDS,
  externalSignIn: EXTERNAL_SIGN_IN_FIELDS,
  guard: GUARD_FIELDS,
  user: ['beforeCreate', 'afterCreate', 'beforeUpdate', 'afterUpdate', 'beforeDelete', 'afterDelete'],
};

/** Fills in defaults and refuses, by name, what is wrong or contradictory. */
export function readSettings(options: NestAuthModuleOptions = {}): NestAuthSettings {
  refuseUnknown(options);
  const {
    tenant = {},
    phone = {},
    password = {},
    access = {},
    transaction = {},
    statements = {},
    user = {},
    log = {},
  } = options;
  const { lifecycle = {} } = options;
  const tenantMode = oneOf('tenant.mode', tenant.mode ?? TenantModeEnum.SHARED, Object.values(TenantModeEnum));
  const { defaultTenantId = null } = tenant;
  if (defaultTenantId !== null && tenantMode !== TenantModeEnum.SHARED) {
    refuse('tenant.defaultTenantId', `means nothing with tenant.mode '${tenantMode}'; only SHARED has a choice`);
  }
  if (defaultTenantId !== null && (!isUuid(defaultTenantId) || defaultTenantId === NIL_UUID)) {
    refuse('tenant.defaultTenantId', 'must be the UUID of a tenant');
  }
  if (phone.defaultRegion !== undefined && !isRegion(phone.defaultRegion)) {
    refuse('phone.defaultRegion', 'must be a region of ISO 3166-1 alpha-2 in capitals, such as DE');
  }
  for (const [name, hook] of Object.entries(user)) {
    if (hook !== undefined && typeof hook !== 'function') refuse(`user.${name}`, 'must be a function');
  }
  const passwordSettings = { ...DEFAULT_PASSWORD_SETTINGS, ...password };
  assertStrongEnough(passwordSettings);
  const session = new SessionSettings(options.session, phone.defaultRegion);
  const guard = new GuardSettings(options.guard);
  const secrets = new SecretSettings(options.secrets);
  return {
    tenantMode,
    defaultTenantId,
    defaultRegion: phone.defaultRegion,
    password: passwordSettings,
    passwordPolicy: new PasswordPolicySettings(password),
    guards: readGuards(access.guards ?? []),
    delegation: readDelegation(access.delegation),
    declared: readDeclared(access.registry),
    lifecycle: readLifecycle(lifecycle),
    sealKeys: readSealKeys(options.audit?.sealKeys ?? []),
    retries: wholeNumber('transaction.retries', transaction.retries ?? 2, 0, 100),
    onEscape: oneOf('transaction.onEscape', transaction.onEscape ?? 'throw', ESCAPE_MODES),
    operationTimeoutMs: wholeNumber(
      'transaction.operationTimeoutMs',
      transaction.operationTimeoutMs ?? 30_000,
      1,
      3_600_000,
    ),
    prepared: boolean('statements.prepared', statements.prepared ?? true),
    logFailures: boolean('log.failedTransactions', log.failedTransactions ?? true),
    logRefusals: oneOf('log.refusals', log.refusals ?? 'debug', REFUSAL_LEVELS),
    telemetry: readTelemetry(options.telemetry),
    session,
    secrets,
    invitations: new InvitationSettings(options.invitations),
    external: new ExternalSettings(options.identityProviders ?? [], options.externalSignIn ?? {}, session.isInUse),
    twoFactor: new TwoFactorSettings(options.twoFactor),
    recovery: new RecoverySettings(options.recovery),
    apiKeys: new ApiKeySettings(options.apiKeys, guard.takesApiKeys),
    lockout: new LockoutSettings(options.lockout),
    rateLimits: new RateLimitSettings(options.rateLimits),
    revocation: new RevocationSettings(options.revocation),
    guard,
    hooks: user,
    subscribers: readSubscribers(options.subscribers ?? {}),
    webhooks: checkWebhooks(options.webhooks ?? []),
    delivery: new DeliverySettings(options.delivery, secrets.isInUse),
    rls: readRls(options.rls ?? false),
  };
}

function refuseUnknown(options: NestAuthModuleOptions): void {
  for (const [group, values] of Object.entries(options)) {
    if (LIST_OPTIONS.some((list) => list === group)) continue;
    const known = (KNOWN as Record<string, readonly string[] | undefined>)[group];
    if (known === undefined)
      refuse(group, `is not an option; known are ${[...Object.keys(KNOWN), ...LIST_OPTIONS].join(', ')}`);
    if (values === undefined || (group === 'rls' && typeof values === 'boolean')) continue;
    if (typeof values !== 'object' || values === null) refuse(group, 'must be an object');
    for (const name of Object.keys(values)) {
      if (!known.includes(name)) refuse(`${group}.${name}`, `is not an option; known are ${known.join(', ')}`);
    }
  }
}

function readRls(rls: boolean | RlsOptions): RlsOptions | undefined {
  if (typeof rls === 'boolean') return rls ? {} : undefined;
  if (rls.onBypass !== undefined && typeof rls.onBypass !== 'function') refuse('rls.onBypass', 'must be a function');
  return rls;
}

function readTelemetry(telemetry: NestAuthObserver | undefined): NestAuthObserver | undefined {
  for (const [name, member] of Object.entries(telemetry ?? {})) {
    if (member !== undefined && typeof member !== 'function') refuse(`telemetry.${name}`, 'must be a function');
  }
  return telemetry;
}

function readSubscribers(given: Partial<SubscriberSettings>): SubscriberSettings {
  const {
    enabled = true,
    pollMs = 1000,
    leaseMs = 30_000,
    batchSize = 100,
    maxLagMs = 300_000,
    listen = false,
  } = given;
  return {
    enabled: boolean('subscribers.enabled', enabled),
    pollMs: wholeNumber('subscribers.pollMs', pollMs, 10, 3_600_000),
    leaseMs: wholeNumber('subscribers.leaseMs', leaseMs, 300, 3_600_000),
    batchSize: wholeNumber('subscribers.batchSize', batchSize, 1, 10_000),
    maxLagMs: wholeNumber('subscribers.maxLagMs', maxLagMs, 1, 86_400_000),
    listen: boolean('subscribers.listen', listen),
  };
}

const MIN_SEAL_KEY = 32;

function readSealKeys(keys: readonly string[]): readonly string[] {
  if (!Array.isArray(keys) || !keys.every((key) => typeof key === 'string' && key.length >= MIN_SEAL_KEY)) {
    refuse('audit.sealKeys', `must be an array of secrets of at least ${MIN_SEAL_KEY} characters`);
  }
  return [...keys];
}

function readDeclared(registry: NonNullable<NestAuthModuleOptions['access']>['registry'] = []): PermissionRegistry[] {
  const registries: PermissionRegistry[] = [registry].flat();
  for (const one of registries) {
    const isRegistry =
      typeof one?.guard === 'string' && typeof one.permissions === 'object' && typeof one.roles === 'object';
    if (!isRegistry) refuse('access.registry', 'must be made by definePermissions');
  }
  return registries;
}

function readDelegation(delegation: DelegationMode = 'enforced'): DelegationMode {
  if (!DELEGATIONS.includes(delegation)) refuse('access.delegation', `must be one of ${DELEGATIONS.join(', ')}`);
  return delegation;
}

function readGuards(guards: readonly string[]): string[] {
  if (
    !Array.isArray(guards) ||
    !guards.every((guard) => typeof guard === 'string' && /^[a-z][a-z0-9_-]{0,62}$/.test(guard))
  ) {
    refuse('access.guards', 'must be an array of names of lower-case letters, digits, _ and -');
  }
  return [...new Set([...Object.values<string>(RoleGuardEnum), ...guards])];
}

function oneOf<T extends string>(option: string, value: T, allowed: readonly T[]): T {
  if (!allowed.includes(value)) refuse(option, `must be one of ${allowed.join(', ')}`);
  return value;
}

function readLifecycle(options: LifecycleOptions): LifecycleSettings {
  const { chunkSize, ...graces } = { ...DEFAULT_LIFECYCLE, ...options };
  wholeNumber('lifecycle.chunkSize', chunkSize, 1, MAX_CHUNK_SIZE);
  for (const name of GRACE_FIELDS) wholeNumber(`lifecycle.${name}`, graces[name], 0, MAX_GRACE[unitOf(name)]);
  return new LifecycleSettings({ chunkSize, ...graces });
}

function wholeNumber(option: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max)
    refuse(option, `must be a whole number, ${min} to ${max}`);
  return value;
}

function boolean(option: string, value: boolean): boolean {
  if (typeof value !== 'boolean') refuse(option, 'must be true or false');
  return value;
}

function refuse(option: string, message: string): never {
  throw new NestAuthError('INVALID_OPTIONS', `NestAuthModule: ${option} ${message}`, { details: { option } });
}
