// The module hooks behind typescript.mjs. They read the same .swcrc as the tests.
import { fileURLToPath } from 'node:url';

import { transformFile } from '@swc/core';

const root = new URL('../../', import.meta.url);

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
  const { code } = await transformFile(fileURLToPath(url), { swcrc: true });
  return { format: 'module', source: code, shortCircuit: true };
}
