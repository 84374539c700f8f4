// npm run test:hosts
//
// Two host applications, installed from the packed tarball, type-checked and run against a real database:
// NestJS 12 with TypeORM 1.1 as ES modules, and NestJS 11 with TypeORM 0.3 as CommonJS. Their sources are the same.
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { Client } from 'pg';

import { run, withTarball } from './pack.mjs';

const sources = fileURLToPath(new URL('hosts', import.meta.url));
const HOSTS = [
  { name: 'esm', projects: ['tsconfig.json'] },
  { name: 'cjs', projects: ['tsconfig.json', 'tsconfig.node10.json'] },
];

await withTarball(async ({ directory, tarball }) => {
  for (const { name, projects } of HOSTS) install(join(directory, name), name, tarball, projects);

  // The packed code brings up the server, too.
  const entry = join(directory, 'esm/node_modules/nest-auth-identity/dist/src/testing/index.js');
  const { startPostgres } = await import(pathToFileURL(entry).href);
  const server = process.env.DATABASE_URL ? undefined : await startPostgres();
  try {
    const url = server?.url ?? process.env.DATABASE_URL;
    for (const { name } of HOSTS) await boot(join(directory, name), name, url);
  } finally {
    await server?.stop();
  }
});

function install(host, name, tarball, projects) {
  console.log(`host ${name}: install and type-check`);
  mkdirSync(host);
  cpSync(join(sources, name), host, { recursive: true });
  cpSync(join(sources, 'shared'), join(host, 'src'), { recursive: true });
  run(
    'npm',
    ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error', tarball],
    {
      cwd: host,
    },
  );
  for (const project of projects) {
    run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', project], { cwd: host });
  }
}

async function boot(host, name, serverUrl) {
  console.log(`host ${name}: run`);
  const database = `nest_auth_host_${name}_${process.pid}`;
  const admin = new Client({ connectionString: serverUrl });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${database} TEMPLATE template0`);
  try {
    const url = new URL(serverUrl);
    url.pathname = `/${database}`;
    run(process.execPath, ['dist/main.js'], { cwd: host, env: { ...process.env, DATABASE_URL: url.href } });
  } finally {
    await admin.query(`DROP DATABASE ${database} WITH (FORCE)`);
    await admin.end();
  }
}
