import type { EntityManager } from 'typeorm';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { execute, type Statement } from '../transaction/statement.js';

/** The logins a write wanted to take. */
export interface WantedLogins {
  readonly realmId: string;
  readonly email: string | null;
  readonly phone: string | null;
  readonly identities: readonly { readonly provider: string; readonly providerId: string }[];
  /** The user they are for, whose own logins are no conflict. */
  readonly userId: string;
}

/** How often a write is tried again when the one it lost to is gone before it could be named. */
export const CONFLICT_ATTEMPTS = 3;

const HOLDERS: Statement<{ provider: string }> = {
  text: `select i.provider from nest_auth_identities i
      join unnest($2::text[], $3::text[]) as wanted (provider, provider_id) using (provider, provider_id)
      where i.realm_id = $1 and i.user_id <> $6
    union
    select 'email' from nest_auth_users where realm_id = $1 and email_norm = $4 and id <> $6 and deleted_at is null
    union
    select 'phone' from nest_auth_users where realm_id = $1 and phone = $5 and id <> $6 and deleted_at is null`,
};

/**
 * Says which of the wanted logins somebody else has, once a write has found that one is taken.
 * Null when the holder is gone by now: then the write can be tried again.
 */
export async function findLoginConflict(
  manager: EntityManager,
  { realmId, email, phone, identities, userId }: WantedLogins,
): Promise<NestAuthError | null> {
  const wanted = [
    ...(email === null ? [] : [['email', email] as const]),
    ...(phone === null ? [] : [['phone', phone] as const]),
    ...identities.map(({ provider, providerId }) => [provider, providerId] as const),
  ];
  const rows = await execute(manager, HOLDERS, [
    realmId,
    wanted.map(([provider]) => provider),
    wanted.map(([, id]) => id),
    email,
    phone,
    userId,
  ]);
  const fields = [...new Set(rows.map(({ provider }) => fieldOf(provider)))].toSorted();
  return fields.length === 0 ? null : conflictError(fields);
}

/** The error for logins that are taken; email first, as that is what a form shows. */
export function conflictError(fields: readonly string[]): NestAuthError {
  const details = { fields };
  if (fields.includes('email')) {
    return new NestAuthError('EMAIL_ALREADY_EXISTS', 'Another user has this email', { details });
  }
  if (fields.includes('phone')) {
    return new NestAuthError('PHONE_ALREADY_EXISTS', 'Another user has this phone number', { details });
  }
  return new NestAuthError('IDENTITY_ALREADY_EXISTS', 'Another user has this provider account', { details });
}

/** The field a form would mark for a login of this provider. */
export function fieldOf(provider: string): string {
  return provider === 'email' || provider === 'phone' ? provider : 'identities';
}

const ROLES: Statement<{ id: string; usable: boolean }> = {
  text: `select id, (case when $3 then guard = 'admin' and tenant_id is null
      else guard <> 'admin' and (tenant_id is null or tenant_id = $2) end) as usable
    from nest_auth_roles where id = any($1::uuid[]) and is_active`,
};

/** Says why roles were refused: the unknown and inactive ones first, then those of another tenant or guard. */
export async function explainRoles(
  manager: EntityManager,
  roleIds: readonly string[],
  scope: { readonly tenantId: string | null; readonly platform: boolean },
): Promise<NestAuthError> {
  const rows = await execute(manager, ROLES, [roleIds, scope.tenantId, scope.platform]);
  const missing = roleIds.filter((id) => !rows.some((row) => row.id === id));
  if (missing.length > 0) {
    return new NestAuthError('ROLE_NOT_FOUND', 'Some roles do not exist or are not active; see details.ids', {
      details: { ids: missing },
    });
  }
  const ids = rows.filter(({ usable }) => !usable).map(({ id }) => id);
  const wanted = scope.platform
    ? 'system roles of the admin guard'
    : 'roles of the system or of this tenant, outside the admin guard';
  return new NestAuthError('ROLE_SCOPE_MISMATCH', `Only ${wanted} can be assigned here; see details.ids`, {
    details: { ids },
  });
}

// Without `changes`: together with the insertion that it takes back, nothing has happened.
const DISCARD: Statement<{ id: string }> = {
  text: `with gone as (delete from nest_auth_users where id = $1 returning id),
    logins as (delete from nest_auth_identities i using gone where i.user_id = gone.id)
    select id from gone`,
};

/** Takes back a user whose identities lost a race, in the transaction that made it. */
export async function discardUser(manager: EntityManager, id: string): Promise<void> {
  await execute(manager, DISCARD, [id]);
}
