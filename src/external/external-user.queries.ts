import type { EntityManager } from 'typeorm';
import type { UserStatusEnum } from '../account/account.types.js';
import { execute, statement } from '../transaction/statement.js';

/** What is judged of a user before a session is opened; which judges it again. */
export interface ExternalUserRow {
  readonly id: string;
  readonly status: UserStatusEnum;
  readonly security_stamp: number;
  readonly email_verified: boolean;
}

/** By way of the identity, whose key decides whose account or email it is. */
const BY_IDENTITY = statement<ExternalUserRow>(
  'user_by_external_identity',
  `select id, status, security_stamp, email_verified_at is not null as email_verified from nest_auth_users
    where id = (select user_id from nest_auth_identities where provider_id = $3 and provider = $2 and realm_id = $1)
      and deleted_at is null`,
);

/** The user of a realm who has this identity: an account at a provider, or `email` itself. */
export async function findUserOfIdentity(
  manager: EntityManager,
  identity: { readonly realmId: string; readonly provider: string; readonly providerId: string },
): Promise<ExternalUserRow | null> {
  const [row] = await execute(manager, BY_IDENTITY, [identity.realmId, identity.provider, identity.providerId]);
  return row ?? null;
}
