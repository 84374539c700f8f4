import { describe, expect, it } from '@jest/globals';
import type { QueryRunner } from 'typeorm';

import { NestAuthError } from '../../../src/index.js';
import { WireTransaction } from '../../../src/transaction/wire-transaction.js';

const failure = Object.assign(new Error('boom'), { code: '22012' });

/** A runner that holds its transaction for active, and what the server has answered so far. */
function wireAfter(...answers: [sql: string, tag: string | Error][]): WireTransaction {
  const wire = new WireTransaction({ isTransactionActive: true } as QueryRunner);
  for (const answer of answers) say(wire, ...answer);
  return wire;
}

function say(wire: WireTransaction, sql: string, tag: string | Error): void {
  wire.statementSent(sql);
  if (tag instanceof Error) return wire.statementFailed(sql, tag);
  const tags = tag.split(';');
  wire.statementSucceeded(sql, tags.length === 1 ? { command: tag } : tags.map((command) => ({ command })));
}

const START: [string, string] = ['START TRANSACTION', 'START'];

describe('the state of a transaction', () => {
  it.each([
    ['none before anything', [], 'none'],
    ['none after a statement by itself', [['select 1', 'SELECT']], 'none'],
    ['open after START', [START], 'open'],
    ['open after BEGIN', [['begin', 'BEGIN']], 'open'],
    ['open after START with settings', [['START TRANSACTION; SET LOCAL a = 1', 'START;SET']], 'open'],
    [
      'open after a savepoint was released',
      [START, ['SAVEPOINT a', 'SAVEPOINT'], ['RELEASE SAVEPOINT a', 'RELEASE']],
      'open',
    ],
    [
      'open after a rollback to a savepoint',
      [START, ['SAVEPOINT a', 'SAVEPOINT'], ['ROLLBACK TO a', 'ROLLBACK']],
      'open',
    ],
    ['committed after the tag COMMIT', [START, ['COMMIT', 'COMMIT']], 'committed'],
    ['committed after END', [START, ['END', 'COMMIT']], 'committed'],
    ['rolled back after the tag ROLLBACK', [START, ['ROLLBACK', 'ROLLBACK']], 'rolled-back'],
    ['rolled back when COMMIT was answered by ROLLBACK', [START, ['COMMIT', 'ROLLBACK']], 'rolled-back'],
    ['rolled back when COMMIT was refused', [START, ['COMMIT', failure]], 'rolled-back'],
    ['in doubt when COMMIT failed without an answer', [START, ['COMMIT', new Error('socket')]], 'unknown'],
    ['open when a second BEGIN was only warned of', [START, ['BEGIN', 'BEGIN']], 'open'],
    ['rolled back in one text', [['begin; select 1; rollback', 'BEGIN;SELECT;ROLLBACK']], 'rolled-back'],
  ] as [string, [string, string | Error][], string][])('is %s', (_what, answers, outcome) => {
    expect(wireAfter(...answers).outcome).toBe(outcome);
  });

  it('is rolled back when the connection is lost, and unknown when COMMIT had been sent', () => {
    const early = wireAfter(START);
    early.connectionLost(failure);
    expect(early.outcome).toBe('rolled-back');
    const late = wireAfter(START);
    late.statementSent('COMMIT');
    late.connectionLost(failure);
    expect(late.outcome).toBe('unknown');
    const done = wireAfter(START, ['COMMIT', 'COMMIT']);
    done.connectionLost(failure);
    expect(done.outcome).toBe('committed');
  });
});

describe('what waits for the COMMIT', () => {
  const queued = (wire: WireTransaction, name: string) => wire.afterCommit(() => name);
  const taken = (wire: WireTransaction) => wire.takeCommitted().map((callback) => callback());

  it('is handed out in order, once', () => {
    const wire = wireAfter(START);
    queued(wire, 'a');
    say(wire, 'SAVEPOINT x', 'SAVEPOINT');
    queued(wire, 'b');
    say(wire, 'RELEASE x', 'RELEASE');
    queued(wire, 'c');
    expect(taken(wire)).toEqual([]);
    say(wire, 'COMMIT', 'COMMIT');
    expect([taken(wire), taken(wire)]).toEqual([['a', 'b', 'c'], []]);
  });

  it('is forgotten with the savepoint, the inner released ones included, and with the transaction', () => {
    const wire = wireAfter(START, ['SAVEPOINT x', 'SAVEPOINT'], ['SAVEPOINT y', 'SAVEPOINT']);
    queued(wire, 'inner');
    say(wire, 'RELEASE y', 'RELEASE');
    say(wire, 'ROLLBACK TO SAVEPOINT x', 'ROLLBACK');
    queued(wire, 'after');
    say(wire, 'COMMIT', 'COMMIT');
    expect(taken(wire)).toEqual(['after']);
    const other = wireAfter(START);
    queued(other, 'never');
    say(other, 'COMMIT', 'ROLLBACK');
    expect(taken(other)).toEqual([]);
  });

  it.each([
    ['SAVEPOINT Name', 'ROLLBACK TO name'],
    ['SAVEPOINT "a b"', 'rollback transaction to savepoint "a b"'],
    ['savepoint\n  typeorm_1', 'ROLLBACK TO SAVEPOINT typeorm_1;'],
    ['SAVEPOINT "Quoted"', 'ROLLBACK WORK TO "Quoted"'],
  ])('is forgotten between %p and %p', (set, undo) => {
    const wire = wireAfter(START, [set, 'SAVEPOINT']);
    queued(wire, 'never');
    say(wire, undo, 'ROLLBACK');
    say(wire, 'COMMIT', 'COMMIT');
    expect(taken(wire)).toEqual([]);
  });

  it('stays when a savepoint of a name that differs in case by quotes is undone', () => {
    const wire = wireAfter(START, ['SAVEPOINT "Name"', 'SAVEPOINT']);
    queued(wire, 'kept');
    say(wire, 'ROLLBACK TO name', 'ROLLBACK');
    say(wire, 'COMMIT', 'COMMIT');
    expect(taken(wire)).toEqual(['kept']);
  });
});

describe('a failure', () => {
  it('forbids the COMMIT, with the first one as the cause', () => {
    const wire = wireAfter(START, ['select 1/0', failure], ['select 1', new Error('25P02')]);
    expect(() => wire.assertCommittable()).toThrow(
      expect.objectContaining({ code: 'TRANSACTION_ABORTED', cause: failure }),
    );
  });

  it('forbids nothing outside a transaction, nor in the next one', () => {
    const wire = wireAfter(['select 1/0', failure], START);
    wire.assertCommittable();
    say(wire, 'select 1/0', failure);
    say(wire, 'ROLLBACK', 'ROLLBACK');
    wire.forgetLast();
    say(wire, ...START);
    wire.assertCommittable();
    expect(wire.failure).toBeUndefined();
  });

  it('is undone by a rollback to a savepoint set before it, not by one set after it', () => {
    const undone = wireAfter(
      START,
      ['SAVEPOINT a', 'SAVEPOINT'],
      ['select 1/0', failure],
      ['ROLLBACK TO a', 'ROLLBACK'],
    );
    undone.assertCommittable();
    expect(undone.failure).toBeUndefined();
    const before = wireAfter(START);
    before.markRollbackOnly(failure);
    say(before, 'SAVEPOINT a', 'SAVEPOINT');
    say(before, 'ROLLBACK TO a', 'ROLLBACK');
    expect(before.failure).toBe(failure);
  });

  it('in a released savepoint is undone with the enclosing one', () => {
    const wire = wireAfter(START, ['SAVEPOINT a', 'SAVEPOINT'], ['SAVEPOINT b', 'SAVEPOINT']);
    wire.markRollbackOnly(failure);
    say(wire, 'RELEASE b', 'RELEASE');
    expect(wire.failure).toBe(failure);
    say(wire, 'ROLLBACK TO a', 'ROLLBACK');
    expect(wire.failure).toBeUndefined();
  });

  it('that PostgreSQL would forgive in a new transaction makes the refused COMMIT retryable', () => {
    const wire = wireAfter(START, ['update x', Object.assign(new Error('deadlock'), { code: '40P01' })]);
    expect(() => wire.assertCommittable()).toThrow(expect.objectContaining({ details: { retryable: true } }));
  });
});

describe('changes of ours', () => {
  it('no longer count once a savepoint has undone them', () => {
    const wire = wireAfter(START);
    wire.changes += 1;
    say(wire, 'SAVEPOINT a', 'SAVEPOINT');
    wire.changes += 2;
    say(wire, 'ROLLBACK TO a', 'ROLLBACK');
    expect(wire.changes).toBe(1);
  });
});

describe('a statement', () => {
  const ended = new NestAuthError('TRANSACTION_ENDED', 'over');

  it('is refused after a raw ROLLBACK or COMMIT while the runner thinks that it is in a transaction', () => {
    const rolledBack = wireAfter(START, ['ROLLBACK', 'ROLLBACK']);
    expect(rolledBack.refusalOf('select 1')).toMatchObject({ code: 'TRANSACTION_ABORTED' });
    expect(rolledBack.refusalOf('SAVEPOINT a')).toMatchObject({ code: 'TRANSACTION_ABORTED' });
    expect(rolledBack.refusalOf('ROLLBACK')).toBeUndefined();
    const committed = wireAfter(START, ['COMMIT', 'COMMIT']);
    expect(committed.refusalOf('select 1')).toMatchObject({ code: 'TRANSACTION_ENDED' });
    expect(committed.refusalOf('COMMIT')).toBeUndefined();
  });

  it('is refused while the transaction closes, but for what closes it', async () => {
    const wire = wireAfter(START);
    wire.close(() => ended);
    for (const sql of ['select 1', 'SAVEPOINT a', 'COMMIT', 'ROLLBACK']) expect(wire.refusalOf(sql)).toBe(ended);
    await wire.runEnding(async () => {
      expect(wire.refusalOf('COMMIT')).toBeUndefined();
      expect(wireAfter(START).refusalOf('select 1')).toBeUndefined();
    });
    expect(wire.refusalOf('COMMIT')).toBe(ended);
  });

  it('is refused by the cause of the loss once the connection is gone', () => {
    const wire = wireAfter(START);
    wire.connectionLost(failure);
    expect(wire.refusalOf('ROLLBACK')).toMatchObject({ code: 'CONNECTION_LOST', cause: failure });
  });
});
