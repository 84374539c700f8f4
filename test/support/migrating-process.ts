// One process of a deployment: connects, says `ready`, and migrates when it is told to. Started by migrating-processes.ts.
import { once } from 'node:events';
import { DataSource, type MigrationInterface, type QueryRunner } from 'typeorm';

import { migrate, NestAuthEntities, NestAuthMigrations } from '../../src/index.js';
import './connection-mode.js';

/** The host's own, which knows nothing of other processes. */
class HostTables1900000000000 implements MigrationInterface {
  name = 'HostTables1900000000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE TABLE app_things (user_id uuid NOT NULL REFERENCES nest_auth_users (id))');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE app_things');
  }
}

const [url, way] = process.argv.slice(2) as [string, string];
const dataSource = await new DataSource({
  type: 'postgres',
  url,
  // With one connection a call that needs a second one would hang.
  poolSize: 1,
  entities: [...NestAuthEntities],
  migrations: way === 'migrate' ? [...NestAuthMigrations, HostTables1900000000000] : [...NestAuthMigrations],
}).initialize();
console.log('ready');
await once(process.stdin, 'data');
const ran =
  way === 'migrate'
    ? await migrate(dataSource)
    : (await dataSource.runMigrations({ transaction: 'each' })).map(({ name }) => name);
console.log(`ran ${ran.join(' ')}`);
await dataSource.destroy();
process.exit();
