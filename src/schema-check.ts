import type { DataSource } from 'typeorm';
import { NestAuthError } from './errors/nest-auth.error.js';
import { NestAuthEntities } from './nest-auth.entities.js';

/**
 * Refuses a DataSource that our SQL would not fit: another database, missing entities, or settings and naming
 * strategies that give our tables or columns other names than the migrations do.
 */
export function assertSchemaIsOurs(dataSource: DataSource): void {
  const { type } = dataSource.options;
  if (type !== 'postgres') refuse('type', `must be 'postgres', not '${type}'`);
  if (dataSource.options.entityPrefix) refuse('entityPrefix', 'renames the tables that our migrations make; remove it');
  for (const entity of NestAuthEntities) {
    if (!dataSource.hasMetadata(entity)) {
      refuse('entities', `must include ${entity.name}: entities: [...NestAuthEntities, …]`);
    }
    const { tableName, schema, columns } = dataSource.getMetadata(entity);
    if (schema !== undefined) {
      refuse('schema', 'moves the tables that our migrations make; set the search_path of the role instead');
    }
    if (!tableName.startsWith('nest_auth_')) {
      refuse('namingStrategy', `renames a table of ours to ${tableName}; keep names that are given`);
    }
    const renamed = columns.find((column) => column.givenDatabaseName !== column.databaseName);
    if (renamed !== undefined) {
      refuse('namingStrategy', `renames ${tableName}.${renamed.givenDatabaseName ?? ''}; keep names that are given`);
    }
  }
}

function refuse(option: string, message: string): never {
  throw new NestAuthError(
    'INVALID_OPTIONS',
    `NestAuthModule cannot use this DataSource: its option ${option} ${message}`,
    {
      details: { option: `dataSource.${option}` },
    },
  );
}
