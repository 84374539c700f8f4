// The ways of running the integration tests beside the plain one, and what cannot be run in them.
import { spawnSync } from 'node:child_process';

/** Tests of a guard that a cluster cannot keep: a unique index or a foreign key without the distribution column. */
const WITHOUT_GUARDS = [
  'writing users through the ORM is stopped by the constraints where raw SQL passes the ORM by',
  'SHARED tenancy takes one email for one person, whichever the tenant',
  'ISOLATED tenancy cannot be broken by raw SQL',
  'the schema is what the entities say, made by migrations alone',
].map((test) => ({ test, why: 'it is about unique indexes without the distribution column, which Citus cannot keep' }));

/** Tests that hear what other processes take away, or lead a connection of their own through a relay. */
const LISTENING = [
  'a process that listens has what others change told, and keeps the rest beyond the bound without asking',
  'a process that listens SEC-45 trusts nothing of before when its connection is ended, and listens again',
  'a process that listens SEC-45 refuses within the bound on a network that has gone silent, and listens again',
  'a process that listens ends its connection with the application',
  ...['a role', 'the permission of a role', 'the tenant', 'the user', 'a role, by raw SQL'].map(
    (what) => `SEC-45 what one process takes away is told to the others by LISTEN/NOTIFY takes away ${what}`,
  ),
  ...['a session', 'the user', 'the password, by raw SQL'].map(
    (what) => `SEC-45 what one process takes away is told to the others by LISTEN/NOTIFY ends ${what}`,
  ),
].map((test) => ({
  test,
  why: 'it is about LISTEN, which does not reach a client through PgBouncer in transaction mode',
}));

/** On a cluster, and where a stand-in says that it is one, a batch moves one user a statement. */
const IN_CHUNKS = [
  'the batches move everybody who is due through the whole life, and nobody else',
  'the batches end what depends on the ACTIVE state, a chunk at once',
  'the batches that are killed keep whole chunks, and are simply run again',
].map((test) => ({ test, why: 'it counts the chunks of a batch, which on a cluster are of one user' }));

/**
 * Tests of what only one server has. Those that need it for all they do have a database of one server on a cluster too:
 * `{ plain: ON_CLUSTER }`.
 */
const ON_ONE_SERVER = [
  ...[
    'somebody whose password another system has hashed is upgraded once, also when ten sign-ins come at once',
    'SEC-02: a hash of older parameters stays when it cannot be replaced, and the person is signed in all the same',
  ].map((test) => ({ test, why: 'it has a trigger on users, which Citus does not distribute' })),
  ...['by itself', 'in a transaction of the caller'].map((how) => ({
    test: `the batches do not stop at whoever cannot be changed, ${how}`,
    why: 'it has a trigger on users, and a row of the host that refers to one by a foreign key',
  })),
  {
    test: 'deleteUser is refused by code while a row of the host refers to the user',
    why: 'it is about a foreign key to users from a table that is not spread with them',
  },
  ...[
    'lists of users load relations that are asked for, in the order of the list',
    'a soft-deleted user is in the list of the soft-deleted, and in no other',
  ].map((test) => ({
    test,
    why: 'it asks for the relation `identities`, a join of tables that are on different nodes',
  })),
  ...[
    'after the server has done it: the outcome is unknown, resolves to committed, and nothing runs twice',
    'before the server got it: the outcome is unknown, resolves to aborted, and nothing runs twice',
  ].map((what) => ({
    test: `a connection that is lost around the COMMIT ${what}`,
    why: 'it is about the number of a transaction, which means something on one server only',
  })),
];

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
      ...LISTENING,
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
      {
        test: 'a process that listens SEC-45 trusts nothing of before when the server is started again, and listens again',
        why: 'it starts a server of its own, of which there is no replica',
      },
    ],
  },
  // The schema as it is on a cluster, without one: what the statements do when the guards are gone that Citus cannot keep.
  'scale-out': {
    without: [
      ...WITHOUT_GUARDS,
      ...IN_CHUNKS,
      {
        test: 'transitions at the same moment of deletion and update leave nobody, or nobody changed',
        why: 'a login that came while the deletion waited goes by the foreign key on one server, and on a cluster because each part of a statement sees what is there by then; here is neither',
      },
    ],
  },
  // TEST_ENGINE=citus: a cluster that somebody has.
  citus: { without: [...WITHOUT_GUARDS, ...IN_CHUNKS, ...ON_ONE_SERVER] },
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
