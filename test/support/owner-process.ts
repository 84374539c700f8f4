// One process of a deployment in which owners leave their tenant at once. Started by the tests of the last owner.
import { AccessService, UserLifecycleService, UserService } from '../../src/index.js';
import { answersOf, answerWhenTold, startProcessApp } from './process-app.js';

const [url, tenantId, steps, ownerRole] = process.argv.slice(2) as [string, string, string, string];

const app = await startProcessApp(url);
const leave: Record<string, (userId: string) => Promise<unknown>> = {
  remove: (userId) => app.get(UserService).deleteUserAccess(userId, tenantId),
  demote: (userId) => app.get(AccessService).removeUserAccessRoles(userId, tenantId, [ownerRole]),
  disable: (userId) => app.get(UserLifecycleService).disableById(userId),
  delete: (userId) => app.get(UserService).deleteUser(userId),
};
answerWhenTold(app, () => {
  const calls = (JSON.parse(steps) as [string, string][]).map(async ([how, userId]) => {
    await leave[how]?.(userId);
    return 'left';
  });
  return answersOf(calls, (code) => code);
});
