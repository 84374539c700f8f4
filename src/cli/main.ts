#!/usr/bin/env node
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { TenantTableOptions } from '../isolation/tenant-table.js';
import { entityNameOf, type GeneratedFile, generateTenantTable } from './rls.generate.js';

const USAGE = `nest-auth-identity rls generate --table <name> [options]

Writes a migration (row-level security and composite foreign keys) and a test for a table of yours.

  --table <name>              the table, for example app_documents
  --tenant-column <name>      column with the tenant's id (default tenant_id)
  --user-column <name>        instead of a tenant: column with the id of the user that a row belongs to
  --key-column <name>         the table's key (default id)
  --owner-fk <column>         column with a user's id; only members of the tenant can be named there
  --parent <column>=<table>   column that refers to another table of tenants; may be repeated
  --entity <name>             name of the entity (default from the table: AppDocument)
  --app-role <name>           role of the application (default nest_auth_app)
  --platform-role <name>      role of the platform (default nest_auth_platform)
  --out <directory>           write files there instead of printing them
`;

const OPTIONS = {
  table: { type: 'string' },
  'tenant-column': { type: 'string' },
  'user-column': { type: 'string' },
  'key-column': { type: 'string' },
  'owner-fk': { type: 'string' },
  parent: { type: 'string', multiple: true },
  entity: { type: 'string' },
  'app-role': { type: 'string' },
  'platform-role': { type: 'string' },
  out: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

type Values = ReturnType<typeof parse>['values'];

function parse(): ReturnType<typeof parseArgs<{ options: typeof OPTIONS; allowPositionals: true }>> {
  return parseArgs({ options: OPTIONS, allowPositionals: true });
}

function tableOptions(values: Values): TenantTableOptions {
  const optional = {
    tenantColumn: values['tenant-column'],
    userColumn: values['user-column'],
    keyColumn: values['key-column'],
    ownerColumn: values['owner-fk'],
    appRole: values['app-role'],
    platformRole: values['platform-role'],
  };
  const given = Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined));
  const parents = (values.parent ?? []).map((pair) => {
    const [column = '', table = ''] = pair.split('=');
    return { column, table };
  });
  return { table: values.table ?? '', ...given, parents };
}

function emit(files: readonly GeneratedFile[], directory: string | undefined): void {
  for (const { name, text } of files) {
    if (directory === undefined) {
      process.stdout.write(`// ${name}\n${text}\n`);
    } else {
      mkdirSync(directory, { recursive: true });
      // Never over a file that somebody may have changed.
      writeFileSync(join(directory, name), text, { flag: 'wx' });
      process.stdout.write(`${join(directory, name)}\n`);
    }
  }
}

function run(): number {
  const { values, positionals } = parse();
  if (values.help === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (positionals.join(' ') !== 'rls generate' || values.table === undefined) {
    process.stderr.write(USAGE);
    return 2;
  }
  const entity = values.entity ?? entityNameOf(values.table);
  emit(generateTenantTable(tableOptions(values), entity, Date.now()), values.out);
  return 0;
}

try {
  process.exitCode = run();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}
