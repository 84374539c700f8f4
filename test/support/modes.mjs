// The ways of running the integration tests beside the plain one, and what cannot be run in them.
import { spawnSync } from 'node:child_process';

/**
 * A mode names the tests that make no sense in it, each with the reason. They are left out by name, and the run fails
 * when their number is not the number of tests that were left out: a name that no longer exists is noticed.
 */
export const MODES = {
  pgbouncer: {
    without: [
      {
        test: 'what the layer costs names hot statements, and none of the host',
        why: 'it is about statements prepared under a name, which PgBouncer knows from 1.21 on only',
      },
      {
        test: 'the plans of named statements are made a few times and then kept',
        why: 'it is about statements prepared under a name, which PgBouncer knows from 1.21 on only',
      },
    ],
  },
  replica: { without: [] },
};

/** Why a mode cannot be run on this machine; undefined when it can. */
export function whyNot(mode) {
  if (mode === 'pgbouncer' && spawnSync('pgbouncer', ['--version']).error !== undefined) {
    return 'PgBouncer is not installed (Debian: apt-get install pgbouncer)';
  }
  if (mode === 'replica' && process.env.DATABASE_URL) {
    return 'DATABASE_URL names a server that is not ours, which cannot be copied into a replica';
  }
  return undefined;
}

/** Arguments of Jest that leave out what cannot be run in the mode. */
export function withoutArgs(mode) {
  const names = MODES[mode].without.map(({ test }) => test.replaceAll(/[$()*+.?[\\\]^{|}]/g, '\\$&'));
  return names.length === 0 ? [] : ['--testNamePattern', `^(?!(?:${names.join('|')})$)`];
}
