import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Column, DataSource, Entity, ForeignKey, type MigrationInterface, PrimaryColumn } from 'typeorm';

import { NestAuthEntities, NestAuthUserAccess } from '../../../src/index.js';
import { expectTenantIsolation } from '../../../src/testing/index.js';
import { withClient } from '../../support/database.js';
import { AppUser } from '../../support/nest-app.js';
import { useRlsApp } from '../../support/rls-app.js';
import { connectAs } from '../../support/rls-database.js';

@Entity({ name: 'app_folders' })
class AppFolder {
  @PrimaryColumn({ type: 'uuid' })
  id!: string;

  @Column({ name: 'tenant_id', type: 'uuid' })
  tenantId!: string;

  @Column({ type: 'text' })
  name!: string;
}

@Entity({ name: 'app_documents' })
@ForeignKey(() => AppFolder, ['folderId', 'tenantId'], ['id', 'tenantId'])
@ForeignKey(() => NestAuthUserAccess, ['ownerId', 'tenantId'], ['userId', 'tenantId'])
class AppDocument {
  @PrimaryColumn({ type: 'uuid' })
  id!: string;

  @Column({ name: 'tenant_id', type: 'uuid' })
  tenantId!: string;

  @Column({ name: 'owner_id', type: 'uuid' })
  ownerId!: string;

  @Column({ name: 'folder_id', type: 'uuid', nullable: true })
  folderId!: string | null;

  @Column({ type: 'text' })
  title!: string;
}

const TABLES = `
  create table app_folders (id uuid primary key, tenant_id uuid not null, name text not null);
  create table app_documents (
    id uuid primary key, tenant_id uuid not null, owner_id uuid not null, folder_id uuid, title text not null)`;

const app = useRlsApp({
  tables: TABLES,
  dataSource: { entities: [...NestAuthEntities, AppUser, AppFolder, AppDocument] } as never,
});

const HERE = resolve('test/integration/isolation');
let directory = '';

/** Runs the command as a host would, from the sources. */
function cli(...args: string[]): Promise<{ stdout: string }> {
  const command = ['--import', resolve('test/support/typescript.mjs'), resolve('src/cli/main.ts'), ...args];
  return promisify(execFile)(process.execPath, command);
}

async function generate(...args: string[]): Promise<new () => MigrationInterface> {
  const { app: appRole, platform } = app.database.roles;
  const roles = ['--app-role', appRole, '--platform-role', platform];
  const { stdout } = await cli('rls', 'generate', ...args, ...roles, '--out', directory);
  const path = stdout.split('\n').find((line) => line.includes('-protect-')) ?? '';
  const migration = (await import(path)) as Record<string, new () => MigrationInterface>;
  return Object.values(migration)[0] as new () => MigrationInterface;
}

async function withOwner(fn: (dataSource: DataSource) => Promise<unknown>): Promise<void> {
  const dataSource = await new DataSource(connectAs(app.database.ownerUrl)).initialize();
  try {
    await fn(dataSource);
  } finally {
    await dataSource.destroy();
  }
}

const sql = (text: string): Promise<unknown> => withClient(app.database.ownerUrl, (client) => client.query(text));

beforeAll(async () => {
  directory = mkdtempSync(join(HERE, '.generated-'));
  const migrations = [
    await generate('--table', 'app_folders'),
    await generate('--table', 'app_documents', '--owner-fk', 'owner_id', '--parent', 'folder_id=app_folders'),
  ];
  await withOwner(async (dataSource) => {
    const runner = dataSource.createQueryRunner();
    for (const Migration of migrations) await new Migration().up(runner);
    for (const Migration of migrations.toReversed()) await new Migration().down(runner);
    for (const Migration of migrations) await new Migration().up(runner);
    await runner.release();
  });
  for (const tenant of [app.a, app.b]) {
    await app.tenant.run(tenant.id, async () => {
      const folder = await app.dataSource
        .getRepository(AppFolder)
        .save({ id: crypto.randomUUID(), tenantId: tenant.id, name: 'Inbox' });
      await app.dataSource.getRepository(AppDocument).save([
        { id: crypto.randomUUID(), tenantId: tenant.id, ownerId: tenant.users[0], folderId: folder.id, title: 'One' },
        { id: crypto.randomUUID(), tenantId: tenant.id, ownerId: tenant.users[1], folderId: null, title: 'Two' },
      ] as AppDocument[]);
    });
  }
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe("a host's own tables, protected by what the command writes", () => {
  it('keep their tenants apart', async () => {
    const report = await expectTenantIsolation(app.dataSource, [AppFolder, AppDocument, NestAuthUserAccess]);
    expect(report.entities).toEqual(['AppFolder', 'AppDocument', 'NestAuthUserAccess']);
  });

  it('show each tenant its own rows', async () => {
    for (const { id } of [app.a, app.b]) {
      const rows = await app.tenant.run(id, () => app.dataSource.getRepository(AppDocument).find());
      expect(rows.map(({ tenantId }) => tenantId)).toEqual([id, id]);
    }
    expect(await app.dataSource.getRepository(AppDocument).find()).toEqual([]);
    const all = await app.tenant.withoutTenant('count', () => app.dataSource.getRepository(AppDocument).count());
    expect(all).toBe(4);
  });

  it('are found leaking by a foreign key that leaves the tenant out', async () => {
    await sql(`alter table app_documents drop constraint app_documents_folder_id_fk;
      alter table app_documents add constraint plain_fk foreign key (folder_id) references app_folders (id)`);
    await expect(expectTenantIsolation(app.dataSource, [AppFolder, AppDocument])).rejects.toMatchObject({
      name: 'IsolationError',
      leaks: expect.arrayContaining([
        expect.objectContaining({ entity: 'AppFolder', attempt: expect.stringContaining('AppDocument') }),
      ]),
    });
    await sql(`alter table app_documents drop constraint plain_fk;
      alter table app_documents add constraint app_documents_folder_id_fk
        foreign key (folder_id, tenant_id) references app_folders (id, tenant_id)`);
  });

  it('are found leaking without row-level security, each kind of attempt by name', async () => {
    await sql('alter table app_documents disable row level security');
    const failure = await expectTenantIsolation(app.dataSource, [AppDocument]).catch((error: unknown) => error);
    await sql('alter table app_documents enable row level security');
    const attempts = (failure as { leaks: { attempt: string }[] }).leaks.map(({ attempt }) => attempt);
    const kinds = [
      'find by key',
      'exists',
      'count',
      'query builder with OR TRUE',
      'raw SELECT by key',
      'SELECT FOR UPDATE',
    ];
    const writes = ['UPDATE of title', 'DELETE by key', 'DELETE of everything', 'delete by the repository'];
    expect(attempts).toEqual(
      expect.arrayContaining([...kinds, ...writes, 'INSERT of a row of the owner’s', 'INSERT over the row']),
    );
  });

  it('show no more through a view of their owner', async () => {
    await sql(`create view app_titles as select id, tenant_id, title from app_documents;
      grant select on app_titles to ${app.database.roles.app}`);
    const rows = await app.tenant.run(app.a.id, () => app.dataSource.query('select tenant_id from app_titles'));
    // The owner is forced too, and the tenant is the transaction's: such a view shows no more than the table.
    expect(rows).toHaveLength(2);
    await sql('drop view app_titles');
  });
});

describe('the command', () => {
  it('writes a test beside the migration, and prints both without a directory', async () => {
    const tests = readdirSync(directory).filter((name) => name.endsWith('.isolation.test.ts'));
    expect(tests).toEqual(['app-documents.isolation.test.ts', 'app-folders.isolation.test.ts']);
    expect(readFileSync(join(directory, tests[0] as string), 'utf8')).toContain(
      'expectTenantIsolation(dataSource, [AppDocument])',
    );
    const { stdout } = await cli('rls', 'generate', '--table', 'app_companies');
    expect(stdout).toContain('ProtectAppCompany');
    expect(stdout).toContain('TO nest_auth_platform');
  });

  it.each([
    [['rls', 'generate', '--table', 'x; drop table y']],
    [['rls', 'generate', '--table', 'app_documents', '--owner-fk', 'A B']],
    [['rls', 'generate', '--table', 'app_documents', '--parent', 'folder_id']],
    [['rls', 'generate']],
    [['rls', 'generate', '--table', 'app_documents', '--unknown']],
  ])('refuses %j', async (args) => {
    await expect(cli(...args)).rejects.toMatchObject({ code: 2, stdout: '' });
  });
});
