// The ways of running the integration tests beside the plain one, and what cannot be run in them.
import { spawnSync } from 'node:child_process';

/** Tests of a guard that a cluster cannot keep: a unique index or a foreign key without the distribution column. */
const WITHOUT_GUARDS = [
  'writing users through the ORM is stopped by the constraints where raw SQL passes the ORM by',
  'SHARED tenancy takes one email for one person, whichever the tenant',
  'ISOLATED tenancy cannot be broken by raw SQL',
  'the schema is what the entities say, made by migrations alone',
].map((test) => ({ test, why: 'it is about unique indexes without the distribution column, which Citus cannot keep' }));

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
      {
        test: 'a durable subscriber is woken by another process through LISTEN/NOTIFY, long before it would look by itself',
        why: 'it is about LISTEN, which does not reach a client through PgBouncer in transaction mode',
      },
    ],
  },
  replica: {
    without: [
      ...[
        'a query of the host that leaves the running transaction names the nearest line first, and none of a library',
        "with onEscape: 'warn' an escape by find goes through and is reported once, with its line",
      ].map((test) => ({ test, why: 'it is about the line of the host, before which stands one of this mode' })),
      {
        test: 'the databases of tests on a cluster are made on every node, told of each other, and distributed',
        why: 'it makes databases of its own, of which the replica hears late',
      },
    ],
  },
  // The schema as it is on a cluster, without one: what the statements do when the guards are gone that Citus cannot keep.
  'scale-out': { without: [...WITHOUT_GUARDS] },
  // TEST_ENGINE=citus: a cluster that somebody has.
  citus: { without: [...WITHOUT_GUARDS] },
};

/** Why a mode cannot be run on this machine; undefined when it can. */
export function whyNot(mode) {
  if (mode === 'pgbouncer' && spawnSync('pgbouncer', ['--version']).error !== undefined) {
    return 'PgBouncer is not installed (Debian: apt-get install pgbouncer)';
  }
  if (mode === 'citus' && !process.env.DATABASE_URL) {
    return 'it needs DATABASE_URL: a database of the coordinator, with the extension citus';
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
