import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { INestApplicationContext } from '@nestjs/common';
import { Test } from '@nestjs/testing';

import { PortalModule } from '../../../examples/portal/app/portal.module.js';
import { PortalUserService } from '../../../examples/portal/app/portal-user.service.js';
import {
  type ImportResult,
  importPeople,
  kindOf,
  type PersonRow,
  readPeople,
} from '../../../examples/portal/demo/import.js';
import { countRows, happenedIn, holds, readInvariants } from '../../../examples/portal/demo/invariants.js';
import { createSetting } from '../../../examples/portal/demo/setting.js';
import { untilWelcomed } from '../../../examples/portal/demo/welcome.js';
import { peopleCsv } from '../../../examples/portal/people.generate.js';
import { PREPARED } from '../../support/connection-mode.js';
import { ON_CLUSTER, useDatabase, withClient } from '../../support/database.js';

const CSV = 'examples/portal/people.csv';
const ROWS = 250;

// Before the database goes, or the subscriber would look for it in vain.
afterAll(() => app.close());

const database = useDatabase({ plain: ON_CLUSTER });
let app: INestApplicationContext;
let people: PersonRow[];
let imported: ImportResult;

beforeAll(async () => {
  app = await Test.createTestingModule({
    imports: [
      PortalModule.connectedTo(database.url, {
        statements: { prepared: PREPARED },
        subscribers: { pollMs: 100 },
        log: { failedTransactions: false },
      }),
    ],
  }).compile();
  await app.init();
  people = readPeople(CSV).slice(0, ROWS);
  imported = await importPeople(app.get(PortalUserService), await createSetting(app), people);
});

const count = (kinds: readonly string[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const kind of kinds) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
};

describe('the import of the example', () => {
  it('refuses exactly what was planted, and creates the rest', async () => {
    const planted = people.map((row) => row.planted);
    expect(new Set(planted).size).toBeGreaterThan(6);
    expect(count(imported.outcomes.map(kindOf))).toEqual(count(planted));
    const created = imported.outcomes.filter(({ user }) => user !== undefined);
    expect(await countRows(database.url)).toMatchObject({ users: created.length, AppUsers: created.length });
  });

  it('leaves a database of which every statement of the report is true', async () => {
    await untilWelcomed(database.url);
    const invariants = await readInvariants(database.url, happenedIn(app));
    expect(invariants.filter((invariant) => !holds(invariant))).toEqual([]);
  });

  it('has a report that notices an AppUser that is gone, and messages to a ghost, to nobody and twice', async () => {
    const [somebody, another, third] = imported.outcomes.flatMap(({ user }) => user ?? []);
    await withClient(database.url, async (client) => {
      await client.query('DELETE FROM app_users WHERE id = $1', [somebody?.id]);
      const send = 'UPDATE app_mails SET auth_user_id = $2 WHERE auth_user_id = $1';
      await client.query(send, [somebody?.authUserId, '01900000-0000-7000-8000-000000000000']);
      await client.query(send, [another?.authUserId, third?.authUserId]);
    });
    const invariants = await readInvariants(database.url, happenedIn(app));
    expect(invariants.filter((invariant) => !holds(invariant))).toEqual([
      { claim: 'auth users without an AppUser', expected: 0, found: 1 },
      { claim: 'welcome messages to users that were never committed', expected: 0, found: 1 },
      { claim: 'users without their welcome message', expected: 0, found: 2 },
      { claim: 'users with two welcome messages', expected: 0, found: 1 },
    ]);
  });

  it('reads the people that the committed script writes', () => {
    expect(peopleCsv() === readFileSync(CSV, 'utf8')).toBe(true);
  });
});
