import { Client } from 'pg';

import { citusRules } from './citus-rules.js';
import type { Recorded } from './recorded-statements.js';
import { clone, dropDatabase } from './template.js';

interface Known {
  readonly problem: RegExp;
  /** Of the statement. */
  readonly text: RegExp;
  readonly by: Recorded['by'];
  readonly why: string;
}

/** What Citus refuses, and is sent all the same. */
const KNOWN: readonly Known[] = [
  {
    problem: /^(locks|reads|joins)/,
    text: /= any\(\$1::uuid\[\]\).* order by (u\.)?id for (no key )?update/,
    by: 'package',
    why: 'it is for many users at once, and a batch on a cluster sends that for one of them',
  },
  {
    problem: /^joins nest_auth_users with nest_auth_identities/,
    text: /^SELECT .* LEFT JOIN "nest_auth_identities"/,
    by: 'orm',
    why: 'it is the relation `identities`, which docs/scaling.md says not to ask for',
  },
];

/** Nothing that is planned: they change the partitions of the activity log, which is on the coordinator alone. */
const NOT_PLANNED = /^(create|alter|drop|comment|start) /i;

/** What the planner of Citus would refuse of the statements that were recorded, in words. */
export async function judgeForCluster(
  server: string,
  template: string,
  recorded: readonly Recorded[],
): Promise<string[]> {
  const name = `${template}_rules`;
  const client = new Client({ connectionString: await clone(server, template, name) });
  await client.connect();
  try {
    const problemsOf = await citusRules(client);
    const broken: string[] = [];
    for (const { by, text } of recorded) {
      if (NOT_PLANNED.test(text)) continue;
      // What PostgreSQL itself refuses is what some test is about, or fails it.
      for (const problem of await problemsOf(text).catch(() => [])) {
        const isKnown = KNOWN.some((one) => one.by === by && one.problem.test(problem) && one.text.test(text));
        if (!isKnown) broken.push(`Citus: ${problem} (${by}): ${text}`);
      }
    }
    return broken;
  } finally {
    await client.end();
    await dropDatabase(server, name);
  }
}
