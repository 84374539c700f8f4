import type { INestApplicationContext } from '@nestjs/common';
import { ActivityService, ActorTypeEnum, UserLifecycleService, UserService } from 'nest-auth-identity';
import { NestAuthScheduler } from 'nest-auth-identity/schedule';
import { PortalUserService } from '../app/portal-user.service.js';
import { withClient } from './database.js';
import { type Doer, LifeRecord } from './life.record.js';
import { sealAll, showSeals } from './life.seals.js';
import { showTimeline } from './life.timeline.js';
import type { Setting } from './setting.js';
import { heading } from './terminal.js';

const JOB = 'deactivate-inactive-users';
const EMAIL = 'ada@example.com';
const NEW_EMAIL = 'ada@example.net';

/** One user from the invitation to the deletion, then what the log tells of it, and whether the log can be believed. */
export async function showLife(app: INestApplicationContext, url: string, setting: Setting): Promise<boolean> {
  const activities = app.get(ActivityService);
  return withClient(url, async (client) => {
    // What was before has its own seals, so that a later change is found in those of this chapter.
    const { head } = await sealAll(activities, client);
    heading('The life of a user, each step by somebody known, looked at over another connection');
    const record = new LifeRecord(client);
    let people: People;
    try {
      people = await live(app, setting, record);
    } finally {
      record.show();
    }
    const timeline = await showTimeline(activities, setting, people, record);
    const seals = await showSeals(activities, client, { user: people.ada.id, headBefore: head });
    return record.held && timeline && seals;
  });
}

/** Doers with the id that their activities have. */
export interface People {
  readonly ines: Doer & { readonly id: string };
  readonly ada: Doer & { readonly id: string };
  readonly job: Doer;
}

async function live(app: INestApplicationContext, setting: Setting, record: LifeRecord): Promise<People> {
  const portal = app.get(PortalUserService);
  const admin = { displayName: 'Ines', roleIds: [roleOf(setting, 'platform-owner')] };
  const { authUserId } = await portal.createAdmin({ ...admin, email: 'ines@example.com' });
  const ines = person('Ines', authUserId, '203.0.113.7');
  const member = { tenantId: setting.tenants.get('lumen-library')?.id ?? '', roleIds: [roleOf(setting, 'member')] };
  const job = { name: 'job', actor: { type: ActorTypeEnum.JOB, id: JOB } };
  const invited = await record.step({ title: 'is invited', by: ines, state: 'pending', leaves: 'user.created' }, () =>
    portal.createPortalUser({ ...member, email: EMAIL, displayName: 'Ada', invite: true }),
  );
  const people = { ines, ada: person('Ada', invited.authUserId, '198.51.100.20'), job };
  const story = { app, portal, lifecycle: app.get(UserLifecycleService), setting, record, member, ...people };
  await work(story);
  await leave(story);
  await comeBack(story);
  await end(story);
  return people;
}

interface Story extends People {
  readonly app: INestApplicationContext;
  readonly portal: PortalUserService;
  readonly lifecycle: UserLifecycleService;
  readonly setting: Setting;
  readonly record: LifeRecord;
  readonly member: { readonly tenantId: string; readonly roleIds: readonly string[] };
}

async function work({ app, portal, lifecycle, setting, record, member, ines, ada }: Story): Promise<void> {
  const roles = [roleOf(setting, 'editor')];
  await record.step({ title: 'activates the account', by: ada, state: 'active', leaves: 'user.activated' }, () =>
    lifecycle.activateById(ada.id),
  );
  await record.step({ title: 'signs in', by: ada, state: 'active', leaves: 'user.logged_in' }, () =>
    lifecycle.recordLogin(ada.id),
  );
  await record.step({ title: 'changes the email', by: ada, state: 'active', leaves: 'user.updated' }, () =>
    portal.updateUser(ada.id, { email: NEW_EMAIL }),
  );
  await record.step({ title: 'is made an editor', by: ines, state: 'active', leaves: 'user_access.changed' }, () =>
    app.get(UserService).setUserAccessRoles(ada.id, member.tenantId, roles),
  );
}

async function leave({ app, lifecycle, record, ines, ada, job }: Story): Promise<void> {
  await record.meanwhile(
    'seven months without a sign-in (set in the database)',
    `UPDATE nest_auth_users SET (created_at, activated_at, last_login_at) =
       (created_at - interval '7 months', activated_at - interval '7 months', last_login_at - interval '7 months')
     WHERE id = $1`,
  );
  // The job sets itself as the actor.
  await record.step({ title: JOB, by: job, state: 'inactive', leaves: 'user.deactivated' }, () =>
    app.get(NestAuthScheduler).runNow(JOB, 'npm run demo'),
  );
  await record.step({ title: 'comes back', by: ines, state: 'active', leaves: 'user.reactivated' }, () =>
    lifecycle.reactivateById(ada.id),
  );
  await record.step({ title: 'is disabled', by: ines, state: 'disabled', leaves: 'user.disabled' }, () =>
    lifecycle.disableById(ada.id),
  );
  await record.step({ title: 'is soft-deleted', by: ines, state: 'soft-deleted', leaves: 'user.soft_deleted' }, () =>
    lifecycle.softDeleteById(ada.id),
  );
}

async function comeBack({ portal, lifecycle, record, member, ines, ada }: Story): Promise<void> {
  const bob = await record.step(
    { title: 'somebody else, Bob, takes the email', by: ines, state: 'soft-deleted', leaves: 'user.created' },
    () => portal.createPortalUser({ ...member, email: NEW_EMAIL, displayName: 'Bob' }),
  );
  const restore = () => lifecycle.restoreById(ada.id);
  await record.step({ title: 'restore', by: ines, leaves: 'EMAIL_ALREADY_EXISTS' }, restore);
  await record.step({ title: 'Bob takes another one', by: ines, state: 'soft-deleted', leaves: 'user.updated' }, () =>
    portal.updateUser(bob.authUserId, { email: 'bob@example.com' }),
  );
  await record.step({ title: 'is restored', by: ines, state: 'disabled', leaves: 'user.restored' }, restore);
}

async function end({ portal, lifecycle, record, ines, ada }: Story): Promise<void> {
  const softDelete = () => lifecycle.softDeleteById(ada.id);
  const erase = () => portal.deleteForGood(ada.id);
  await record.step(
    { title: 'a legal hold is set', by: ines, state: 'disabled, held', leaves: 'user.legal_hold_set' },
    () => lifecycle.setLegalHold(ada.id, 'Case 4711'),
  );
  await record.step({ title: 'soft-delete', by: ines, leaves: 'USER_ON_LEGAL_HOLD' }, softDelete);
  await record.step({ title: 'delete', by: ines, leaves: 'USER_ON_LEGAL_HOLD' }, erase);
  await record.step(
    { title: 'the hold is released', by: ines, state: 'disabled', leaves: 'user.legal_hold_released' },
    () => lifecycle.releaseLegalHold(ada.id),
  );
  await record.step(
    { title: 'is soft-deleted', by: ines, state: 'soft-deleted', leaves: 'user.soft_deleted' },
    softDelete,
  );
  await record.step(
    { title: 'deletion is scheduled', by: ines, state: 'scheduled', leaves: 'user.deletion_scheduled' },
    () => lifecycle.scheduleForDeletionById(ada.id),
  );
  await record.step({ title: 'delete', by: ines, leaves: 'SCHEDULED_DELETION_NOT_REACHED' }, erase);
  await record.meanwhile(
    'the date passes (set in the database)',
    `UPDATE nest_auth_users SET scheduled_deletion_at = now() - interval '1 minute' WHERE id = $1`,
  );
  await record.step({ title: 'is deleted', by: ines, state: 'gone', leaves: 'user.deleted' }, erase);
}

function person(name: string, id: string, ip: string): Doer & { readonly id: string } {
  return { name, id, ip, actor: { type: ActorTypeEnum.USER, id } };
}

function roleOf({ roleIds }: Setting, name: string): string {
  return roleIds.get(name) ?? '';
}
