import { type TenantTableOptions, tenantTableSql } from '../isolation/tenant-table.js';

/** A file to write, or to print. */
export interface GeneratedFile {
  readonly name: string;
  readonly text: string;
}

/** The migration and the test of one table of tenants. `timestamp` orders the migration among the host's own. */
export function generateTenantTable(options: TenantTableOptions, entity: string, timestamp: number): GeneratedFile[] {
  return [migrationFile(options, timestamp), testFile(options.table, entity)];
}

/** The entity that a table is probably mapped by: `app_documents` becomes `AppDocument`. */
export function entityNameOf(table: string): string {
  const name = table
    .split('_')
    .filter((part) => part !== '')
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join('');
  return name.replace(/ies$/, 'y').replace(/([^s])s$/, '$1');
}

function migrationFile(options: TenantTableOptions, timestamp: number): GeneratedFile {
  const { up, down } = tenantTableSql(options);
  const className = `Protect${entityNameOf(options.table)}${timestamp}`;
  const calls = (statements: readonly string[]): string =>
    statements.map((sql) => `    await runner.query(\`${sql}\`);`).join('\n');
  const text = `import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Keeps the tenants of ${options.table} apart: row-level security, and foreign keys that carry the tenant. */
export class ${className} implements MigrationInterface {
  name = '${className}';

  async up(runner: QueryRunner): Promise<void> {
${calls(up)}
  }

  async down(runner: QueryRunner): Promise<void> {
${calls(down)}
  }
}
`;
  return { name: `${timestamp}-protect-${options.table.replaceAll('_', '-')}.ts`, text };
}

function testFile(table: string, entity: string): GeneratedFile {
  const file = table.replaceAll('_', '-');
  const text = `import { expectTenantIsolation } from 'nest-auth-identity/testing';
import type { DataSource } from 'typeorm';
// Adjust: your entity, and your application's DataSource with rows of two tenants in ${table}.
import { ${entity} } from './${file}.entity.js';
import { startApplication } from './start-application.js';

describe('${table}', () => {
  let dataSource: DataSource;

  beforeAll(async () => {
    dataSource = await startApplication();
  });

  it('keeps its tenants apart', async () => {
    await expectTenantIsolation(dataSource, [${entity}]);
  });
});
`;
  return { name: `${file}.isolation.test.ts`, text };
}
