import { stdout } from 'node:process';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { INestApplicationContext } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { ActorTypeEnum, UserLifecycleService, UserService } from 'nest-auth-identity';

import { PortalModule } from '../../../examples/portal/app/portal.module.js';
import { PortalUserService } from '../../../examples/portal/app/portal-user.service.js';
import { LifeRecord } from '../../../examples/portal/demo/life.record.js';
import { showLife } from '../../../examples/portal/demo/life.js';
import { createSetting, type Setting } from '../../../examples/portal/demo/setting.js';
import { showWelcomes, untilWelcomed } from '../../../examples/portal/demo/welcome.js';
import { PREPARED } from '../../support/connection-mode.js';
import { ON_CLUSTER, useDatabase, withClient } from '../../support/database.js';

// Before the database goes, or the subscriber would look for it in vain.
afterAll(() => app.close());

const database = useDatabase({ plain: ON_CLUSTER });
let app: INestApplicationContext;
let setting: Setting;
let printed = '';

beforeAll(async () => {
  app = await Test.createTestingModule({
    imports: [
      PortalModule.connectedTo(database.url, { statements: { prepared: PREPARED }, subscribers: { pollMs: 100 } }),
    ],
  }).compile();
  await app.init();
  setting = await createSetting(app);
});

afterEach(() => {
  jest.restoreAllMocks();
});

function capture(): void {
  printed = '';
  jest.spyOn(stdout, 'write').mockImplementation((text) => (printed += String(text)) !== '');
}

const INES = { name: 'Ines', actor: { type: ActorTypeEnum.SERVICE, id: 'ines' }, ip: '203.0.113.7' };

const newcomer = (email: string, by = app) => {
  const tenantId = setting.tenants.get('alder-school')?.id ?? '';
  return by.get(PortalUserService).createPortalUser({ email, displayName: 'Ada', invite: true, tenantId });
};

// First: later somebody has been deleted.
describe('the report about the welcome messages', () => {
  it('notices a message to a ghost', async () => {
    await newcomer('welcome@example.com');
    capture();
    expect(await showWelcomes(database.url)).toBe(true);
    await withClient(database.url, (client) =>
      client.query(`INSERT INTO app_mails (event_id, auth_user_id, recipient, subject)
        VALUES (gen_random_uuid(), gen_random_uuid(), 'nobody@example.com', 'Welcome')`),
    );
    expect(await showWelcomes(database.url)).toBe(false);
    expect(printed).toContain('1 of them to a ghost');
  });

  it('finds the message to somebody whom another process has created and not told of', async () => {
    const silent = await Test.createTestingModule({
      imports: [PortalModule.connectedTo(database.url, { subscribers: { enabled: false } })],
    }).compile();
    await silent.init();
    const { authUserId } = await newcomer('left.behind@example.com', silent);
    await silent.close();
    await untilWelcomed(database.url);
    const sql = 'SELECT recipient, subject FROM app_mails WHERE auth_user_id = $1';
    const { rows } = await withClient(database.url, (client) => client.query(sql, [authUserId]));
    expect(rows).toEqual([{ recipient: 'left.behind@example.com', subject: 'Welcome, Ada' }]);
  });
});

describe('the life of a user in the demo', () => {
  it('leaves one activity a step and none a refusal, and a log of which a change shows', async () => {
    capture();
    const held = await showLife(app, database.url, setting);
    expect(printed).not.toContain('✗');
    expect(held).toBe(true);
    expect(printed).toContain('15 changes and 15 activities, one each; 4 refusals, no activity');
    expect(printed).toMatch(/ACTIVITIES_CHANGED in seal \d+/);
  });

  it('leaves the trigger of the log as it was', async () => {
    const update = `UPDATE nest_auth_activities SET actor_id = 'x'`;
    await expect(withClient(database.url, (client) => client.query(update))).rejects.toMatchObject({ code: '42501' });
  });

  it.each([
    ['another activity than expected', { state: 'active', leaves: 'user.reactivated' }],
    ['another state than expected', { state: 'inactive', leaves: 'user.activated' }],
    ['no refusal where one is due', { leaves: 'USER_ALREADY_ACTIVE' }],
  ])('is reported as broken by %s', async (_what, expected) => {
    await withClient(database.url, async (client) => {
      const record = new LifeRecord(client);
      const email = `${expected.leaves.toLowerCase()}@example.com`;
      const invitation = { title: 'is invited', by: INES, state: 'pending', leaves: 'user.created' };
      const { authUserId } = await record.step(invitation, () => newcomer(email));
      expect(record.held).toBe(true);
      const step = { title: 'activates', by: INES, ...expected };
      await record.step(step, () => app.get(UserLifecycleService).activateById(authUserId));
      expect(record.held).toBe(false);
    });
  });

  it('is reported as broken when only the auth user gets the new email', async () => {
    await withClient(database.url, async (client) => {
      const record = new LifeRecord(client);
      const invitation = { title: 'is invited', by: INES, state: 'pending', leaves: 'user.created' };
      const { authUserId } = await record.step(invitation, () => newcomer('half@example.com'));
      const half = { title: 'changes the email', by: INES, state: 'pending', leaves: 'user.updated' };
      await record.step(half, () => app.get(UserService).updateUser(authUserId, { email: 'other.half@example.com' }));
      expect(record.held).toBe(false);
    });
  });
});
