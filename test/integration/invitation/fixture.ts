import {
  type AcceptedInvitation,
  ActorTypeEnum,
  IdentityContext,
  InvitationService,
  type NestAuthModuleOptions,
  type SendInvitationInput,
} from '../../../src/index.js';
import { AppUser, freshEmail, type NestApp, type NestAppFixture } from '../../support/nest-app.js';
import { AUTH, query } from '../session/fixture.js';

export { PASSWORD, query } from '../session/fixture.js';

export const SECRET_KEYS = [{ id: 'k1', secret: 'the keys of these tests are known to all of them' }];

/** The addresses for which code of the host has begun to make a user. */
export const begun: string[] = [];

/** Invitations, and a host that makes a row of its own for every user. */
export const INVITING: NestAuthModuleOptions = {
  ...AUTH,
  secrets: { keys: SECRET_KEYS },
  user: {
    beforeCreate: ({ email }) => void begun.push(email ?? ''),
    afterCreate: async (user, _input, manager, context) => {
      if (context.source !== 'invitation') return;
      const displayName = context.invitation?.metadata['displayName'] as string | undefined;
      await manager.save(AppUser, { authUserId: user.id, displayName: displayName ?? null });
    },
  },
};

export const invitations = ({ context }: NestApp): InvitationService => context.get(InvitationService);

export function as<T>(userId: string, fn: () => Promise<T>): Promise<T> {
  return IdentityContext.run({ actor: { type: ActorTypeEnum.USER, id: userId } }, fn);
}

export interface Invited {
  readonly id: string;
  readonly email: string;
  readonly token: string;
}

/** Invites somebody new to the seeded tenant, in nobody's name. */
export async function invite(app: NestAppFixture, more: Partial<SendInvitationInput> = {}): Promise<Invited> {
  const email = freshEmail();
  const { tenantId, member } = app.seed;
  const sent = await invitations(app).sendInvitation({ email, tenantId, roleIds: [member], ...more });
  return { id: sent.invitation.id, email: sent.invitation.email, token: sent.reveal().token };
}

/** Somebody with an account and a verified address, who is a member of nothing. */
export async function verified(app: NestApp): Promise<{ id: string; email: string }> {
  const email = freshEmail();
  const { id } = await app.users.createUser({ email });
  await app.users.verifyUser(id);
  return { id, email };
}

/** An active member of the seeded tenant with these roles. */
export async function memberOf(app: NestAppFixture, ...roleIds: string[]): Promise<string> {
  const { id } = await app.users.createUser({ email: freshEmail(), roleIds }, app.seed.tenantId);
  return id;
}

export async function rolesIn(app: NestApp, userId: string, tenantId: string): Promise<string[]> {
  const rows = await query<{ role_id: string }>(
    app.dataSource.options['url' as never],
    'select role_id from nest_auth_user_access_roles where user_id = $1 and tenant_id = $2 order by role_id',
    [userId, tenantId],
  );
  return rows.map(({ role_id: id }) => id);
}

export function accept(app: NestApp, token: string): Promise<AcceptedInvitation> {
  return invitations(app).acceptInvitation({ token });
}

export function statusOf(url: string, id: string): Promise<string | undefined> {
  return query<{ status: string }>(url, 'select status from nest_auth_invitations where id = $1', [id]).then(
    ([row]) => row?.status,
  );
}

/** As if it had been sent so long ago that it has expired, and that so many days ago. */
export function expire(url: string, id: string, days = 0): Promise<unknown> {
  return query(
    url,
    `update nest_auth_invitations set expires_at = now() - interval '1 day' * $2::integer - interval '1 second' where id = $1`,
    [id, days],
  );
}
