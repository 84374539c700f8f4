import { afterAll, afterEach, beforeAll, beforeEach, expect } from '@jest/globals';
import { EventEmitter2 } from '@nestjs/event-emitter';
import {
  Column,
  type DataSource,
  type DataSourceOptions,
  DeleteDateColumn,
  Entity,
  type EntitySubscriberInterface,
  PrimaryGeneratedColumn,
} from 'typeorm';

import { NestAuthEntities, type NestAuthModuleOptions } from '../../src/index.js';
import { readSettings } from '../../src/nest-auth.settings.js';
import { NestAuthBaseEntity } from '../../src/transaction/base.entity.js';
import { TransactionHost } from '../../src/transaction/transaction-host.js';
import { PREPARED } from './connection-mode.js';
import { REFERS_TO_USER, useDatabase, withClient } from './database.js';
import { type NestApp, startNestApp } from './nest-app.js';

/** The host's own row; its foreign key restricts, and one value of `balance` is refused at COMMIT only. */
@Entity({ name: 'app_people' })
export class AppPerson {
  @PrimaryGeneratedColumn('uuid')
  id!: string;

  @Column({ type: 'text', unique: true })
  name!: string;

  @Column({ type: 'integer', default: 0 })
  balance!: number;

  @Column({ name: 'auth_user_id', type: 'uuid', nullable: true })
  authUserId!: string | null;
}

/** An active-record entity that can be removed softly, which none of the package's own can. */
@Entity({ name: 'app_notes' })
export class AppNote extends NestAuthBaseEntity {
  @PrimaryGeneratedColumn('uuid')
  id!: string;

  @Column({ type: 'text' })
  text!: string;

  @DeleteDateColumn({ name: 'deleted_at', type: 'timestamptz' })
  deletedAt!: Date | null;
}

const HOST_TABLES = `
  create table if not exists app_people (
    id uuid primary key default gen_random_uuid(),
    name text not null unique,
    balance integer not null default 0,
    auth_user_id uuid ${REFERS_TO_USER}
  );
  create table if not exists app_notes (
    id uuid primary key default gen_random_uuid(),
    text text not null,
    deleted_at timestamptz
  );
  create table if not exists app_unique_at_commit (value integer unique deferrable initially deferred)`;

export interface FixtureOptions {
  readonly auth?: NestAuthModuleOptions;
  /** Connections at most. @default 5 */
  readonly pool?: number;
  readonly dataSource?: Partial<DataSourceOptions>;
}

/** What reached the logger instead of a caller. */
interface Report {
  readonly message: string;
  readonly error: unknown;
}

/** An application whose transaction layer, pools and log can be looked into. */
export interface Fixture extends NestApp {
  readonly url: string;
  readonly host: TransactionHost;
  readonly emitter: EventEmitter2;
  readonly reports: Report[];
}

export async function createFixture(url: string, options: FixtureOptions = {}): Promise<Fixture> {
  await withClient(url, (client) => client.query(HOST_TABLES));
  const app = await startNestApp(url, {
    auth: options.auth ?? {},
    pool: options.pool ?? 5,
    dataSource: {
      entities: [...NestAuthEntities, AppPerson, AppNote],
      ...options.dataSource,
    } as Partial<DataSourceOptions>,
  });
  const reports: Report[] = [];
  const report = (message: string, error: unknown): void => void reports.push({ message, error });
  const { retries, onEscape, operationTimeoutMs, prepared } = readSettings({
    statements: { prepared: PREPARED },
    ...options.auth,
  });
  const host = TransactionHost.attach(app.dataSource, { retries, onEscape, operationTimeoutMs, prepared, report });
  return { ...app, url, host, emitter: app.context.get(EventEmitter2), reports };
}

/**
 * One fixture for the tests of this file. Before each test what was recorded is forgotten; after each one every
 * connection of the pool must be back, and in no transaction.
 */
export function useFixture(options: FixtureOptions = {}): Fixture {
  const database = useDatabase();
  const fixture = {} as Fixture;
  beforeAll(async () => {
    Object.assign(fixture, await createFixture(database.url, options));
  });
  beforeEach(() => {
    fixture.events.length = 0;
    fixture.reports.length = 0;
  });
  afterEach(() => expectCleanPools(fixture.dataSource));
  afterAll(() => fixture.close());
  return fixture;
}

interface PoolInside {
  readonly _clients: readonly PoolClientInside[];
  readonly _idle: readonly { client: PoolClientInside }[];
  readonly waitingCount: number;
}

interface PoolClientInside {
  getTransactionStatus(): string | null;
}

/** Fails unless every connection lies idle in its pool, outside of any transaction. */
export function expectCleanPools(dataSource: DataSource): void {
  for (const pool of poolsOf(dataSource)) {
    const idle = pool._idle.map(({ client }) => client);
    const states = pool._clients.map((client) => (idle.includes(client) ? client.getTransactionStatus() : 'in use'));
    expect({ states, waiting: pool.waitingCount }).toEqual({ states: states.map(() => 'I'), waiting: 0 });
  }
}

/** Connections that the pools hold. */
export function connectionsOf(dataSource: DataSource): number {
  return poolsOf(dataSource).reduce((sum, pool) => sum + pool._clients.length, 0);
}

function poolsOf(dataSource: DataSource): PoolInside[] {
  const { master, slaves } = dataSource.driver as unknown as { master: PoolInside; slaves: readonly PoolInside[] };
  return [master, ...slaves];
}

/** Adds a subscriber of the host for the time of `fn`. */
export async function withSubscriber<T>(
  { dataSource }: Fixture,
  subscriber: EntitySubscriberInterface,
  fn: () => Promise<T>,
): Promise<T> {
  dataSource.subscribers.push(subscriber);
  try {
    return await fn();
  } finally {
    dataSource.subscribers.splice(dataSource.subscribers.indexOf(subscriber), 1);
  }
}

/** Names of the host's rows and emails of the users, read past the package. */
export function committed(url: string): Promise<string[]> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      `select name from app_people union all select email from nest_auth_users union all select text from app_notes
       order by 1`,
    );
    return rows.map(({ name }) => name);
  });
}

/** What `committed` must answer when nothing but `expected` was added to `before`. */
export async function newlyCommitted(url: string, before: readonly string[]): Promise<string[]> {
  return (await committed(url)).filter((name) => !before.includes(name));
}

/** A promise that the test settles itself. */
export function gate<T = void>(): { opened: Promise<T>; open: (value: T) => void } {
  let open!: (value: T) => void;
  const opened = new Promise<T>((resolve) => (open = resolve));
  return { opened, open };
}

/** Looks again until `look` finds something; for what another process does, and no event tells. */
export async function eventually<T>(look: () => Promise<T | undefined | false>): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
