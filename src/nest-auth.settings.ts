import { assertStrongEnough, DEFAULT_PASSWORD_SETTINGS, type PasswordSettings } from './account/password.service.js';
import { isRegion } from './account/contact.policy.js';
import type { UserHooks } from './account/user-hooks.js';
import { RoleGuardEnum } from './access/access.types.js';
import { NestAuthError } from './errors/nest-auth.error.js';
import { isUuid } from './errors/input.js';
import type { RlsOptions } from './isolation/isolation.types.js';
import type { NestAuthModuleOptions } from './nest-auth.options.js';
import { NIL_UUID, TenantModeEnum } from './tenant/tenant.types.js';
import { ESCAPE_MODES, type EscapeMode } from './transaction/transaction.types.js';

/** The options with every default filled in, and known to make sense. */
export interface NestAuthSettings {
  readonly tenantMode: TenantModeEnum;
  readonly defaultTenantId: string | null;
  readonly defaultRegion: string | undefined;
  readonly password: PasswordSettings;
  readonly guards: readonly string[];
  readonly retries: number;
  readonly onEscape: EscapeMode;
  readonly operationTimeoutMs: number;
  readonly prepared: boolean;
  readonly hooks: UserHooks;
  /** Undefined where row-level security is off. */
  readonly rls: RlsOptions | undefined;
}

/** The known options, by group: anything else is a typing error that would silently change nothing. */
const KNOWN: Readonly<Record<keyof NestAuthModuleOptions, readonly string[]>> = {
  tenant: ['mode', 'defaultTenantId'],
  phone: ['defaultRegion'],
  password: Object.keys(DEFAULT_PASSWORD_SETTINGS),
  access: ['guards'],
  transaction: ['retries', 'onEscape', 'operationTimeoutMs'],
  statements: ['prepared'],
  rls: ['onBypass'],
  user: ['beforeCreate', 'afterCreate', 'beforeUpdate', 'afterUpdate', 'beforeDelete', 'afterDelete'],
};

/** Fills in defaults and refuses, by name, what is wrong or contradictory. */
export function readSettings(options: NestAuthModuleOptions = {}): NestAuthSettings {
  refuseUnknown(options);
  const { tenant = {}, phone = {}, password = {}, access = {}, transaction = {}, statements = {}, user = {} } = options;
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
  return {
    tenantMode,
    defaultTenantId,
    defaultRegion: phone.defaultRegion,
    password: passwordSettings,
    guards: readGuards(access.guards ?? []),
    retries: wholeNumber('transaction.retries', transaction.retries ?? 2, 0, 100),
    onEscape: oneOf('transaction.onEscape', transaction.onEscape ?? 'throw', ESCAPE_MODES),
    operationTimeoutMs: wholeNumber(
      'transaction.operationTimeoutMs',
      transaction.operationTimeoutMs ?? 30_000,
      1,
      3_600_000,
    ),
    prepared: boolean('statements.prepared', statements.prepared ?? true),
    hooks: user,
    rls: readRls(options.rls ?? false),
  };
}

function refuseUnknown(options: NestAuthModuleOptions): void {
  for (const [group, values] of Object.entries(options)) {
    const known = (KNOWN as Record<string, readonly string[] | undefined>)[group];
    if (known === undefined) refuse(group, `is not an option; known are ${Object.keys(KNOWN).join(', ')}`);
    if (values === undefined || (group === 'rls' && typeof values === 'boolean')) continue;
    if (typeof values !== 'object' || values === null) refuse(group, 'must be an object');
    for (const name of Object.keys(values as object)) {
      if (!known.includes(name)) refuse(`${group}.${name}`, `is not an option; known are ${known.join(', ')}`);
    }
  }
}

function readRls(rls: boolean | RlsOptions): RlsOptions | undefined {
  if (typeof rls === 'boolean') return rls ? {} : undefined;
  if (rls.onBypass !== undefined && typeof rls.onBypass !== 'function') refuse('rls.onBypass', 'must be a function');
  return rls;
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
