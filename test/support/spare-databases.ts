import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { clone } from './template.js';

/** As many as the suite takes, about; whoever comes later makes one and waits for the replica. */
const COUNT = 360;

/**
 * Makes databases before there is a replica, so that it knows them from the beginning: of a new one it would hear only
 * after its delay, which every test file would wait for.
 */
export async function makeSpares(serverUrl: string, template: string): Promise<void> {
  for (let number = 0; number < COUNT; number += 1) await clone(serverUrl, template, spareName(template, number));
}

/** From now on `takeSpare` hands them out. @returns ends that */
export async function offerSpares(template: string): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), 'nest-auth-spares-'));
  process.env['NEST_AUTH_TEST_SPARES'] = JSON.stringify({ directory, template } satisfies Offer);
  return () => rm(directory, { recursive: true, force: true });
}

/** A database that nobody else gets, whichever process asks; undefined when there is none, or none is left. */
export async function takeSpare(): Promise<string | undefined> {
  const offered = process.env['NEST_AUTH_TEST_SPARES'];
  if (offered === undefined) return undefined;
  const { directory, template } = JSON.parse(offered) as Offer;
  for (let number = 0; number < COUNT; number += 1) {
    if (await isMine(join(directory, String(number)))) return spareName(template, number);
  }
  return undefined;
}

interface Offer {
  readonly directory: string;
  readonly template: string;
}

function spareName(template: string, number: number): string {
  return `${template}_spare_${number}`;
}

/** Of all processes one makes the directory. */
async function isMine(directory: string): Promise<boolean> {
  return mkdir(directory).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return false;
      throw error;
    },
  );
}
