// Run after `npm install`: node test/support/complete-lock.mjs
//
// A registry mirror may lack the builds of a native tool for platforms nobody there uses. `npm install` then leaves
// them out of package-lock.json, and `npm ci` refuses the lock ("Missing: … from lock file"). This adds one entry per
// optional package that is missing, with the version its parent pins, so that the lock is complete on every platform.
import { readFileSync, writeFileSync } from 'node:fs';

const file = new URL('../../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(file, 'utf8'));
const packages = lock.packages;

/** Node's own lookup: the nearest node_modules from the parent upwards. */
function isResolvable(parent, name) {
  for (let at = parent; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    if (packages[at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`]) return true;
    if (at === '') return false;
  }
}

/** `@swc/core-linux-arm64-gnu` says it all: that is how native packages are named. */
function platformOf(name) {
  const os = /android|darwin|freebsd|linux|openharmony|win32/.exec(name)?.[0];
  const cpu = /arm64|arm|x64|ia32|ppc64|riscv64|s390x|loong64/.exec(name.slice(name.indexOf(os)))?.[0];
  if (!os || !cpu) throw new Error(`cannot tell the platform of ${name}: add its lock entry by hand`);
  const libc = /gnu|musl/.exec(name)?.[0].replace('gnu', 'glibc');
  return { os: [os], cpu: [cpu], libc: libc && [libc] };
}

let added = 0;
for (const [parent, entry] of Object.entries(packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (isResolvable(parent, name)) continue;
    const { os, cpu, libc } = platformOf(name);
    // In npm's own order, so that its next write changes nothing. What is undefined is left out.
    packages[`node_modules/${name}`] = { version, cpu, dev: entry.dev, libc, optional: true, os };
    added += 1;
  }
}

lock.packages = Object.fromEntries(Object.entries(packages).toSorted(([a], [b]) => a.localeCompare(b, 'en')));
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`package-lock.json: ${added} optional packages added`);
