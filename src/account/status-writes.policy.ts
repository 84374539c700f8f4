import type { ObjectLiteral } from 'typeorm';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { either } from '../transaction/either.js';
import { UserStatusEnum } from './account.types.js';

/** What may become of a user's status when a host saves the entity: activation and deactivation, with their moments. */

export function refusal(message: string): NestAuthError {
  return new NestAuthError('ENTITY_WRITE_REFUSED', message);
}

/** They follow from the status. */
export function refuseMoments(changed: readonly string[]): void {
  const moment = changed.find((name) => name === 'activatedAt' || name === 'deactivatedAt');
  if (moment !== undefined) throw refusal(`${moment} follows from the status; set that, or call UserLifecycleService`);
}

/** `status` and `isActive` say the same: whoever sets one of them sets the other, and what follows from both. */
export function alignStatus(
  entity: ObjectLiteral,
  changed: readonly string[],
  databaseEntity: ObjectLiteral | undefined,
): void {
  const target = targetOf(entity, changed);
  if (target === undefined) return;
  if (databaseEntity === undefined) Object.assign(entity, target === UserStatusEnum.ACTIVE ? ACTIVATED : DEACTIVATED);
  else moveLoaded(entity, target, databaseEntity['status'] as UserStatusEnum);
}

/** Where the user shall go; undefined when neither column changes. */
function targetOf(entity: ObjectLiteral, changed: readonly string[]): UserStatusEnum | undefined {
  const status = changed.includes('status') ? (entity['status'] as UserStatusEnum) : undefined;
  const isActive = changed.includes('isActive') ? (entity['isActive'] as boolean) : undefined;
  if (status === undefined) {
    if (isActive === undefined) return undefined;
    return isActive ? UserStatusEnum.ACTIVE : UserStatusEnum.INACTIVE;
  }
  if (isActive !== undefined && (status === UserStatusEnum.ACTIVE) !== isActive) {
    throw refusal('status and isActive contradict each other; set one of them');
  }
  if (status === UserStatusEnum.ACTIVE || status === UserStatusEnum.INACTIVE) return status;
  throw refusal(`The status ${status} is not reached by saving the entity; call UserLifecycleService`);
}

/** A row that is known: an edge that does not exist is refused by name. */
function moveLoaded(entity: ObjectLiteral, target: UserStatusEnum, from: UserStatusEnum): void {
  const isActive = target === UserStatusEnum.ACTIVE;
  const isLegal = isActive
    ? from === UserStatusEnum.PENDING || from === UserStatusEnum.INACTIVE
    : from === UserStatusEnum.ACTIVE;
  if (!isLegal && from !== target) {
    throw refusal(`A user who is ${from} does not become ${target} by saving the entity; call UserLifecycleService`);
  }
  Object.assign(entity, { status: target, isActive });
  if (from === target) return;
  // To the millisecond, as the column keeps it. Whoever needs the database's clock calls the service.
  Object.assign(entity, isActive ? { activatedAt: new Date(), deactivatedAt: null } : { deactivatedAt: new Date() });
}

/** Rows that are not known: a disabled user stays disabled, which the constraints then refuse for `isActive: true`. */
const ACTIVATED = {
  status: UserStatusEnum.ACTIVE,
  isActive: true,
  activatedAt: () => either(`status = 'active'`, 'activated_at', 'now()'),
  deactivatedAt: null,
};

const DEACTIVATED = {
  status: () => `CASE WHEN status = 'active' THEN 'inactive' ELSE status END`,
  isActive: false,
  deactivatedAt: () => either(`status = 'active'`, 'now()', 'deactivated_at'),
};
