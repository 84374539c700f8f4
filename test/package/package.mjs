// npm run test:package [-- --update]
//
// What is published: the files in the tarball, how they are found by every resolver, and the names they export.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';

import { run, withTarball } from './pack.mjs';

const ENTRIES = ['', '/health', '/nodemailer', '/oidc', '/schedule', '/telemetry', '/testing'];
const API = new URL('api.txt', import.meta.url);

await withTarball(async ({ tarball, files }) => {
  const paths = files.map(({ path }) => path);
  const compiled = /^dist\/(src|migrations)\/.+\.(js|js\.map|d\.ts)$/;
  const others = paths.filter((path) => !compiled.test(path)).toSorted();
  assert.deepEqual(others, ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'], 'not what a host is to get');
  run('publint', ['run', tarball, '--strict']);
  run('attw', [tarball, '--profile', 'esm-only']);
  await compareApi();
});

/** A name that disappears breaks hosts, a name that appears is a promise: both have to be seen in a review. */
async function compareApi() {
  const lines = [];
  for (const entry of ENTRIES.map((name) => `nest-auth-identity${name}`)) {
    lines.push(
      entry,
      ...Object.keys(await import(entry))
        .toSorted()
        .map((name) => `  ${name}`),
    );
  }
  if (process.argv.includes('--update')) writeFileSync(API, `${lines.join('\n')}\n`);
  const expected = readFileSync(API, 'utf8').trimEnd().split('\n');
  assert.deepEqual(lines, expected, 'the exported names differ from api.txt; if that is meant, pass --update');
  console.log(`api.txt: ${lines.length} lines agree`);
}
