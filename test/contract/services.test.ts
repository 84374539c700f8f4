import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';

import {
  AccessGate,
  AccessService,
  ActivityService,
  ApiKeyService,
  AuthService,
  ExternalSignInService,
  generateSessionKeys,
  IdentityFeedService,
  InvitationService,
  JobHistoryService,
  NestAuthEvents,
  PasswordRecoveryService,
  PermissionRegistryService,
  PermissionService,
  RateLimitService,
  RoleService,
  ServiceAccountService,
  SessionService,
  TenantService,
  UserLifecycleService,
  UserService,
  UserStatisticsService,
  VerificationService,
  RequiredEnrolmentService,
  SecondFactorCodeService,
  SecretRotationService,
  TrustedDeviceService,
  TwoFactorService,
} from '../../src/index.js';
import { type NestApp, startNestApp, useNestApp } from '../support/nest-app.js';
import { recordStatements } from '../support/wire.js';
import { PAPER } from './external.rows.js';
import { SECRETS } from './recovery.rows.js';
import { type Row, ROWS, setStage } from './rows.js';

const SERVICES = {
  users: UserService,
  tenants: TenantService,
  roles: RoleService,
  permissions: PermissionService,
  registry: PermissionRegistryService,
  access: AccessService,
  activities: ActivityService,
  lifecycle: UserLifecycleService,
  statistics: UserStatisticsService,
  auth: AuthService,
  external: ExternalSignInService,
  invitations: InvitationService,
  apiKeys: ApiKeyService,
  accounts: ServiceAccountService,
  verification: VerificationService,
  recovery: PasswordRecoveryService,
  twoFactor: TwoFactorService,
  devices: TrustedDeviceService,
  factorCodes: SecondFactorCodeService,
  enrolment: RequiredEnrolmentService,
  rotation: SecretRotationService,
  sessions: SessionService,
  limits: RateLimitService,
  gate: AccessGate,
  feed: IdentityFeedService,
  jobs: JobHistoryService,
};

const AUTH = {
  apiKeys: {},
  identityProviders: [PAPER],
  session: { keys: generateSessionKeys(), signUp: 'open' },
  secrets: SECRETS,
  twoFactor: { methods: ['totp', 'email'] },
} as const;
/** Counters of what was tried: they stay although the caller rolls back (SEC-10), and tell of no fact. */
const COUNTERS = ['nest_auth_sign_in_failures', 'nest_auth_sign_in_totals'];

/** An application on a database of its own, so that few rows are looked at, and looks at all of them from outside. */
function useContract() {
  const app = useNestApp({ auth: AUTH });
  let looker: Client;
  let looks: string;

  beforeAll(async () => {
    looker = new Client({ connectionString: app.url });
    // The database is dropped while it is connected.
    looker.on('error', () => undefined);
    await looker.connect();
    const { rows } = await looker.query<{ name: string }>(
      `select table_name as name from information_schema.tables
       where table_schema = 'public' and table_name like any(array['nest_auth_%', 'app_%']) and table_name <> all($1)`,
      [COUNTERS],
    );
    const look = (name: string) =>
      `select '${name}' as name, count(*)::integer as rows,
         count(*) filter (where xmin::text::bigint >= $1)::integer as written from ${name}`;
    looks = rows.map(({ name }) => look(name)).join(' union all ');
  });

  /** Where the activity log stands: what is written from now on comes after it. */
  const position = async (): Promise<string> => {
    const { rows } = await looker.query<{ xid: string }>('select pg_current_xact_id()::text as xid');
    return rows[0]?.xid as string;
  };
  const lookAt = async (since: string) => {
    const { rows } = await looker.query<{ name: string; rows: number; written: number }>(looks, [since]);
    return rows;
  };

  return {
    app,

    /** Begins to watch; the answer tells in which tables rows have come, gone or been written again by then. */
    async watchTables(): Promise<() => Promise<string[]>> {
      const since = await position();
      const before = new Map((await lookAt(since)).map(({ name, rows }) => [name, rows]));
      return async () => {
        const now = await lookAt(since);
        return now
          .filter(({ name, rows, written }) => written > 0 || rows !== before.get(name))
          .map(({ name }) => name);
      };
    },

    position,

    /** Holds what was written since against what was announced since: one activity an event, and none besides. */
    async expectAudited(row: Row, known: string, length: number): Promise<void> {
      const { rows } = await looker.query<{ type: string }>('select type from nest_auth_activities where xid > $1', [
        known,
      ]);
      const written = rows.map(({ type }) => type);
      const announced = app.events.slice(length).map(({ name }) => name);
      // It says the same about the same creation as `user.created` before it.
      const expected = announced.filter((name) => name !== NestAuthEvents.USER_REGISTERED);
      const isDue = row.writes !== undefined && row.unaudited === undefined;
      expect(written.length > 0).toBe(isDue);
      // A change without an event has no name that its activity could be held against.
      const compared = row.writes === 'silently' ? [] : written.toSorted();
      expect(compared).toEqual(isDue ? expected.toSorted() : []);
    },
  };
}

const calls = Object.entries(ROWS).flatMap(([service, methods]) =>
  Object.entries(methods).map(([method, row]) => [`${service}.${method}`, row] as const),
);
const called = calls.filter(([, row]) => row.elsewhere === undefined);
const writing = called.filter(([, row]) => row.writes !== undefined);
const foreign = called.filter(([, row]) => row.foreign !== undefined);

describe('the contract of public methods', () => {
  it.each(Object.entries(SERVICES))(
    'has a row for every method of %s, and none for what is not one',
    (name, service) => {
      const methods = Object.getOwnPropertyNames(service.prototype).filter((method) => method !== 'constructor');
      expect(Object.keys(ROWS[name] ?? {}).toSorted()).toEqual(methods.toSorted());
    },
  );
});

describe('every public method by itself', () => {
  const { app, watchTables, expectAudited, position } = useContract();

  it.each(called)('%s does its work, announces it and leaves an activity for each event', async (_name, row) => {
    const stage = await setStage(app);
    const changed = await watchTables();
    const known = await position();
    const { length } = app.events;
    await row.call(app, stage);
    expect((await changed()).length === 0).toBe(row.writes === undefined);
    expect(app.events.length > length).toBe(row.writes === true);
    await expectAudited(row, known, length);
  });
});

describe('every public method with a manager', () => {
  const { app, watchTables, expectAudited, position } = useContract();

  it.each(called)('%s uses its connection alone, and commits with it', async (_name, row) => {
    const stage = await setStage(app);
    const changed = await watchTables();
    const known = await position();
    const { length } = app.events;
    // A runner of the host's own: nothing is ambient, so that only what was passed can lead there.
    const runner = app.dataSource.createQueryRunner();
    await runner.startTransaction();
    const { connections } = await recordStatements(() => row.call(app, stage, runner.manager));
    expect(app.events).toHaveLength(length);
    await runner.commitTransaction();
    await runner.release();
    await new Promise((resolve) => setImmediate(resolve));
    expect(connections).toBe(row.apart === true ? 2 : 1);
    expect((await changed()).length === 0).toBe(row.writes === undefined);
    expect(app.events.length > length).toBe(row.writes === true);
    await expectAudited(row, known, length);
  });
});

describe('SEC-91 every public method that is rolled back with its caller', () => {
  const { app, watchTables } = useContract();

  const undo = new Error('undo');

  it.each(writing)('%s leaves the tables as they were and announces nothing', async (_name, row) => {
    const stage = await setStage(app);
    const changed = await watchTables();
    const { length } = app.events;
    const runner = app.dataSource.createQueryRunner();
    await runner.startTransaction();
    await row.call(app, stage, runner.manager);
    await runner.rollbackTransaction();
    await runner.release();
    // The same without the manager: the call joins what is running.
    const ambient = app.users.runInTransaction(async () => {
      await row.call(app, stage);
      throw undo;
    });
    await expect(ambient).rejects.toBe(undo);
    const inSavepoint = app.users.runInTransaction(async (manager) => {
      await manager.transaction(() => row.call(app, stage));
      throw undo;
    });
    await expect(inSavepoint).rejects.toBe(undo);
    expect(await changed()).toEqual([]);
    expect(app.events).toHaveLength(length);
  });
});

describe('SEC-61 every public method from another tenant, or about nobody', () => {
  const { app, watchTables } = useContract();

  it.each(foreign)('%s changes nothing, announces nothing and leaves the transaction usable', async (_name, row) => {
    const stage = await setStage(app);
    const changed = await watchTables();
    const { length } = app.events;
    const { code, answers, call } = row.foreign ?? { call: row.call };
    const expected = code ?? { answers };
    const attempt = async (): Promise<void> => expect(await outcomeOf(call(app, stage))).toEqual(expected);
    await attempt();
    await app.users.runInTransaction(async () => {
      await attempt();
      await app.users.getUserById(stage.user.id);
    });
    expect(await changed()).toEqual([]);
    expect(app.events).toHaveLength(length);
  });
});

describe('every public method on a pool of one connection', () => {
  const app = useNestApp({ auth: AUTH });
  let narrow: NestApp;
  beforeAll(async () => {
    narrow = await startNestApp(app.url, { auth: AUTH, pool: 1 });
  });
  afterAll(() => narrow.close());

  it.each(called)('%s completes by itself and inside a transaction', async (_name, row) => {
    const { url, seed } = app;
    const fixture = { ...narrow, url, seed };
    await row.call(fixture, await setStage(fixture));
    const stage = await setStage(fixture);
    const inside = narrow.users.runInTransaction(() => row.call(fixture, stage).then(() => 'done'));
    // One that needs a second connection cannot have it, and does not wait for it.
    const expected = row.apart === true ? 'CONNECTION_UNAVAILABLE' : { answers: 'done' };
    expect(await outcomeOf(inside)).toEqual(expected);
  });
});

/** What a call answers, or the code it is refused with. */
function outcomeOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    (answers) => ({ answers }),
    (error: { code?: string }) => error.code ?? error,
  );
}
