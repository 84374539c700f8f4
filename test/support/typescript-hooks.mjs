// The module hooks behind typescript.mjs. They read the same .swcrc as the tests.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const root = new URL('../../', import.meta.url);

/** What was transformed once, by everything that it depends on: a run of the tests starts hundreds of processes. */
const cache = new URL('node_modules/.cache/nest-auth-typescript/', root);
const settings = ['.swcrc', 'node_modules/@swc/core/package.json'].map((path) => readFileSync(new URL(path, root)));

/** The package by its own name would be the last build; the examples are to run the sources. */
const OWN_NAMES = {
  'nest-auth-identity': new URL('src/index.ts', root).href,
  'nest-auth-identity/health': new URL('src/health/index.ts', root).href,
  'nest-auth-identity/nodemailer': new URL('src/nodemailer/index.ts', root).href,
  'nest-auth-identity/schedule': new URL('src/schedule/index.ts', root).href,
  'nest-auth-identity/telemetry': new URL('src/telemetry/index.ts', root).href,
  'nest-auth-identity/testing': new URL('src/testing/index.ts', root).href,
};

export async function resolve(specifier, context, next) {
  const own = OWN_NAMES[specifier];
  if (own) return { url: own, shortCircuit: true };
  // TypeScript's sources name the file that will be emitted.
  const isOurs = context.parentURL?.startsWith(root.href) && !context.parentURL.includes('/node_modules/');
  if (isOurs && specifier.startsWith('.') && specifier.endsWith('.js')) {
    return await next(`${specifier.slice(0, -3)}.ts`, context).catch(() => next(specifier, context));
  }
  return next(specifier, context);
}

export async function load(url, context, next) {
  if (!url.endsWith('.ts')) return next(url, context);
  return { format: 'module', source: await transformed(fileURLToPath(url)), shortCircuit: true };
}

async function transformed(filename) {
  const source = await readFile(filename, 'utf8');
  const hash = createHash('sha256').update(JSON.stringify([filename, source]));
  for (const setting of settings) hash.update(setting);
  const kept = new URL(`${hash.digest('hex')}.js`, cache);
  try {
    return await readFile(kept, 'utf8');
  } catch {
    const { transform } = await import('@swc/core');
    const { code } = await transform(source, { filename, swcrc: true });
    await keep(kept, code).catch(() => {}); // Whoever may not write here transforms again.
    return code;
  }
}

/** Whole or not at all: others read while it is written. */
async function keep(file, code) {
  await mkdir(cache, { recursive: true });
  const unfinished = new URL(`${file.href}.${process.pid}`);
  await writeFile(unfinished, code);
  await rename(unfinished, file);
}
