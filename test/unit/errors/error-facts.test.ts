import { describe, expect, it } from '@jest/globals';
import { QueryFailedError } from 'typeorm';
import { factsOf } from '../../../src/errors/error-facts.js';
import { NestAuthError } from '../../../src/errors/nest-auth.error.js';

const driver = (message: string, fields: object): Error => Object.assign(new Error(message), fields);
const SECRET = 'ann@example.com';

describe('the facts of an error', () => {
  it.each([
    ['a code of ours', new NestAuthError('USER_NOT_FOUND', 'No such user'), 'USER_NOT_FOUND', 'No such user', true],
    ['a fault of ours', new NestAuthError('DATABASE_ERROR', 'Refused'), 'DATABASE_ERROR', 'Refused', false],
    ['a broken constraint', driver('violates "x"', { code: '23505', constraint: 'x' }), '23505', 'violates "x"', false],
    ['a wrong value', driver(`no uuid: ${SECRET}`, { code: '22P02' }), '22P02', 'PostgreSQL answered 22P02', false],
    [
      'a state chosen by RAISE',
      driver(SECRET, { code: '23505', routine: 'exec_stmt_raise' }),
      '23505',
      'PostgreSQL answered 23505',
      false,
    ],
    ['a failure of the system', driver(SECRET, { code: 'ECONNREFUSED' }), 'Error', 'Error (ECONNREFUSED)', false],
    ['an error of the host', new RangeError(SECRET), 'RangeError', 'RangeError', false],
    ['a name that is none', Object.assign(new Error('x'), { name: SECRET }), 'Error', 'Error', false],
    ['what is no error', SECRET, 'string', 'string', false],
    ['nothing', undefined, 'undefined', 'undefined', false],
  ])('of %s are its type and words without values', (_what, error, type, cause, isRefusal) => {
    const facts = factsOf(error);
    expect(facts).toMatchObject({ type, cause, isRefusal });
    expect(JSON.stringify(facts)).not.toContain(SECRET);
  });

  it('are those of the error at the bottom, below wrappers that quote parameters', () => {
    const bottom = driver('violates "app_uq"', { code: '23505', constraint: 'app_uq', detail: SECRET });
    const wrapped = new QueryFailedError(`insert '${SECRET}'`, [SECRET], bottom);
    const error = new NestAuthError('TRANSACTION_ABORTED', 'Swallowed', { cause: wrapped });
    expect(factsOf(error)).toEqual({
      type: 'TRANSACTION_ABORTED',
      code: 'TRANSACTION_ABORTED',
      sqlState: '23505',
      constraint: 'app_uq',
      cause: 'violates "app_uq"',
      isRefusal: false,
    });
  });

  it('come to an end where the causes go in a circle', () => {
    const error = new Error('a');
    error.cause = new Error('b', { cause: error });
    expect(factsOf(error).type).toBe('Error');
  });
});
