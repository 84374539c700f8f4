import { describe, expect, it } from '@jest/globals';
import {
  AuthService,
  generateSessionKeys,
  InvitationService,
  RoleGuardEnum,
  SessionService,
  TenantModeEnum,
} from '../../../src/index.js';
import { withClient } from '../../support/database.js';
import { freshEmail, freshPhone, useNestApp } from '../../support/nest-app.js';
import { dumpTables } from '../../support/tables.js';

const PASSWORD = 'correct horse battery staple';

const app = useNestApp({
  auth: {
    tenant: { mode: TenantModeEnum.ISOLATED },
    session: { keys: generateSessionKeys() },
    secrets: { keys: [{ id: 'k1', secret: 'thirty-two characters of chance!' }] },
  },
});

describe('SEC-70 a tenant that has left', () => {
  it('is in no row but those of the activity log, and neither is anybody of it', async () => {
    const tenant = await app.tenants.createTenant({ name: 'Leaving', slug: 'leaving' });
    const role = await app.roles.createRole({ name: 'own', guard: RoleGuardEnum.PORTAL, tenantId: tenant.id });
    const ids = [tenant.id, role.id];
    for (let count = 0; count < 3; count += 1) {
      const [email, phone] = [freshEmail(), freshPhone()];
      const input = { email, phone, password: await app.passwords.hash(PASSWORD), roleIds: [role.id] };
      const { id } = await app.users.createUser(input, tenant.id);
      const signedIn = await app.context
        .get(AuthService)
        .signIn({ email, password: PASSWORD, tenantId: tenant.id }, { ip: '203.0.113.7' });
      ids.push(id, signedIn.sessionId);
    }
    const invited = await app.context.get(InvitationService).sendInvitation({
      email: freshEmail(),
      tenantId: tenant.id,
      roleIds: [role.id],
      invitedBy: ids.at(-2) as string,
    });
    ids.push(invited.invitation.id);
    expect(await tablesWith(ids)).toEqual(
      expect.arrayContaining([
        'nest_auth_users',
        'nest_auth_identities',
        'nest_auth_sessions',
        'nest_auth_roles',
        'nest_auth_invitations',
      ]),
    );

    const { items } = await app.users.getUsersPage({ tenantId: tenant.id });
    expect(items).toHaveLength(3);
    for (const user of items) await app.users.deleteUser(user.id);
    await app.roles.deleteRole(role.id);
    await app.tenants.deleteTenant(tenant.id);

    // Counters of sign-ins are nobody's rows: also those of logins that nobody has are counted. They go with their window.
    await withClient(app.url, (client) =>
      client.query(`update nest_auth_sign_in_totals set since = since - interval '40 days'`),
    );
    await app.context.get(SessionService).purgeEnded();

    // What happened stays told; `maintainPartitions` says for how long.
    const left = await tablesWith(ids);
    expect(left.filter((table) => !table.startsWith('nest_auth_activities'))).toEqual([]);
  });
});

async function tablesWith(ids: readonly string[]): Promise<string[]> {
  const dump = await dumpTables(app.url);
  return Object.entries(dump)
    .filter(([, rows]) => rows.some((row) => ids.some((id) => row.includes(id))))
    .map(([table]) => table);
}
