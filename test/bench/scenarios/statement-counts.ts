import { recordStatements } from '../../support/wire.js';
import { Portal } from '../portal.js';
import { freshLogin, seedWorld } from '../seed.js';
import type { Bench, Goal } from './scenario.js';

/** Counts what each operation sends, BEGIN and COMMIT included. */
export async function countStatements({ environment, world }: Bench): Promise<Goal[]> {
  const url = await environment.createDatabase();
  await seedWorld(url, world);
  const portal = await Portal.open(url);
  const goals: Goal[] = [];
  for (const { name, most, run } of await operationsOf(portal, world)) {
    const { statements } = await recordStatements(run);
    goals.push({
      text: `statements of ${name}`,
      wanted: `≤ ${most}`,
      reached: String(statements.length),
      isReached: statements.length <= most,
    });
  }
  await portal.close();
  return goals;
}

interface Operation {
  readonly name: string;
  readonly most: number;
  readonly run: () => Promise<unknown>;
}

async function operationsOf(portal: Portal, { tenantIds, roleIds }: Bench['world']): Promise<Operation[]> {
  const { users, access } = portal;
  const [tenantId = ''] = tenantIds;
  const [roleId = '', otherRoleId = ''] = roleIds;
  const password = await portal.passwords.hash('correct horse battery staple');
  const next = () => ({ ...freshLogin(), tenantId, roleId, password });
  const { id, email } = await users.createUser({ ...freshLogin(), roleIds: [roleId] }, tenantId);
  return [
    { name: 'the documented flow, step by step', most: 12, run: () => portal.createStepByStep(next()) },
    { name: 'createUser + AppUser in runInTransaction', most: 4, run: () => portal.createInOneCall(next()) },
    {
      name: 'createUser(email, phone, tenant, roles)',
      most: 1,
      run: () => users.createUser({ ...freshLogin(), password, roleIds: [roleId] }, tenantId),
    },
    {
      name: 'updateUser(email, phone) + AppUser in runInTransaction',
      most: 5,
      run: () =>
        users.runInTransaction(async (manager) => {
          const user = await users.updateUser(id, freshLogin(), manager);
          await manager.query('update app_users set display_name = $2 where auth_user_id = $1', [id, user.email]);
        }),
    },
    { name: 'setUserAccessRoles', most: 2, run: () => users.setUserAccessRoles(id, tenantId, [otherRoleId]) },
    { name: 'getPermissions', most: 1, run: () => access.getPermissions(id, tenantId) },
    { name: 'can', most: 1, run: () => access.can(id, tenantId, 'documents:action-1') },
    { name: 'getUserByEmail', most: 1, run: () => users.getUserByEmail(email ?? '') },
    { name: 'getUsersPage', most: 1, run: () => users.getUsersPage() },
    { name: 'deleteUser', most: 3, run: () => users.deleteUser(id) },
  ];
}
