import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { problemsOf } from './sql-rules.js';

export interface Recorded {
  /** The package itself, or TypeORM for an entity of ours. */
  readonly by: 'package' | 'orm';
  readonly text: string;
}

/** Fewer than these mean that the recorder has stopped seeing them, not that there are fewer. */
const AT_LEAST = { package: 100, orm: 15 } as const;

/** TypeORM loads the relation `identities` by a join. docs/scaling.md says that it cannot be asked for on Citus. */
const LOGINS_OF_USERS = 'joins logins with users';

/** What the recorders of all workers have written, each text once. */
export function recordedIn(directory: string): Recorded[] {
  const lines = readdirSync(directory).flatMap((file) => readFileSync(join(directory, file), 'utf8').split('\n'));
  const found = lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Recorded);
  return [...new Map(found.map((one) => [one.text, one])).values()];
}

/**
 * What is wrong with the statements that were recorded, in words.
 *
 * @param whole - Whether every test has run, so that there must be many.
 */
export function judge(recorded: readonly Recorded[], whole: boolean): string[] {
  const broken = recorded.flatMap(({ by, text }) =>
    problemsOf(text)
      .filter((problem) => by === 'package' || !problem.startsWith(LOGINS_OF_USERS))
      .map((problem) => `${problem} (${by}): ${text}`),
  );
  if (!whole) return broken;
  const few = (['package', 'orm'] as const).flatMap((by) => {
    const count = recorded.filter((one) => one.by === by).length;
    return count < AT_LEAST[by] ? [`only ${count} statements of the ${by} were recorded, not ${AT_LEAST[by]}`] : [];
  });
  return [...broken, ...few];
}
