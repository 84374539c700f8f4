import { DataSource } from 'typeorm';
import { NestAuthEntities, NestAuthMigrations } from './src/index.js';

/** For the migration command line of this repository only; neither imported by the package nor published. */
export default new DataSource({
  type: 'postgres',
  ...(process.env['DATABASE_URL'] === undefined ? {} : { url: process.env['DATABASE_URL'] }),
  entities: [...NestAuthEntities],
  migrations: [...NestAuthMigrations],
  migrationsTransactionMode: 'each',
});
