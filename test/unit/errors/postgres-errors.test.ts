import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { QueryFailedError } from 'typeorm';

import {
  forgetRow,
  isConnectionLoss,
  isRetryable,
  sqlStateOf,
  toNestAuthError,
} from '../../../src/errors/postgres-errors.js';
import { CommitOutcomeUnknownError, isNestAuthError, NEST_AUTH_ERRORS, NestAuthError } from '../../../src/index.js';

const driverError = (fields: object) => Object.assign(new Error('said by the driver'), fields);
const queryFailed = (fields: object) => new QueryFailedError('insert', ['$argon2id$secret'], driverError(fields));

const migrations = readdirSync('migrations')
  .filter((file) => file.endsWith('.ts'))
  .map((file) => readFileSync(join('migrations', file), 'utf8'))
  .join('\n');
const declared = new Set(
  [...migrations.matchAll(/\b(?:CONSTRAINT\s*=?|CREATE (?:UNIQUE )?INDEX)\s+'?(nest_auth_\w+)/gi)].map(
    ([, name]) => name as string,
  ),
);
const mapped = [
  ...readFileSync('src/errors/postgres-errors.ts', 'utf8').matchAll(/^\s+(nest_auth_\w+): '(\w+)'/gm),
].map(([, constraint, code]) => ({ constraint: constraint as string, code: code as string }));

describe('the names of constraints', () => {
  it('are found', () => {
    expect(declared.size).toBeGreaterThan(30);
    expect(mapped.length).toBeGreaterThan(15);
  });

  it.each(mapped)('$constraint exists in the migrations and means $code', ({ constraint, code }) => {
    expect(declared).toContain(constraint);
    expect(toNestAuthError(queryFailed({ code: '23505', constraint }))).toMatchObject({
      code,
      details: { constraint },
    });
  });
});

describe('a failure of PostgreSQL', () => {
  it.each([
    ['25P02', 'TRANSACTION_ABORTED'],
    ['40001', 'TRANSACTION_CONFLICT'],
    ['40P01', 'TRANSACTION_CONFLICT'],
    ['55P03', 'LOCK_TIMEOUT'],
    ['57014', 'STATEMENT_TIMEOUT'],
    ['53300', 'CONNECTION_UNAVAILABLE'],
    ['57P03', 'CONNECTION_UNAVAILABLE'],
    ['57P01', 'CONNECTION_LOST'],
    ['57P02', 'CONNECTION_LOST'],
    ['25P03', 'CONNECTION_LOST'],
    ['08006', 'CONNECTION_LOST'],
    ['ECONNRESET', 'CONNECTION_LOST'],
    ['23505', 'DATABASE_ERROR'],
    ['22P02', 'DATABASE_ERROR'],
    ['53100', 'DATABASE_ERROR'],
    ['XX000', 'DATABASE_ERROR'],
  ])('with %s is %s', (state, code) => {
    const error = toNestAuthError(queryFailed({ code: state }));
    expect(error.code).toBe(code);
    expect(Object.keys(NEST_AUTH_ERRORS)).toContain(error.code);
  });

  it('keeps the driver’s error as the cause, and the parameters nowhere', () => {
    const error = toNestAuthError(
      queryFailed({ code: '23505', constraint: 'nest_auth_users_realm_email_uq', table: 't' }),
    );
    expect(error.cause).toMatchObject({ code: '23505' });
    expect(error.cause).not.toBeInstanceOf(QueryFailedError);
    expect(JSON.stringify([error, error.cause, error.details, error.message])).not.toContain('secret');
  });

  it('of a shard of a Citus cluster means what it means on one machine', () => {
    const failure = { constraint: 'nest_auth_identities_pk_102041', table: 'nest_auth_identities_102041' };
    expect(toNestAuthError(queryFailed({ code: '23505', ...failure }))).toMatchObject({
      code: 'IDENTITY_ALREADY_EXISTS',
      details: { constraint: 'nest_auth_identities_pk', table: 'nest_auth_identities' },
    });
    const row = driverError({
      code: '23514',
      table: 'nest_auth_users_102009',
      detail: 'Failing row: $argon2id$secret',
    });
    forgetRow(row);
    expect(row).not.toHaveProperty('detail');
  });

  it('that is ours already stays what it is, also wrapped by the ORM', () => {
    const ours = new NestAuthError('TRANSACTION_ENDED', 'over');
    expect(toNestAuthError(ours)).toBe(ours);
    expect(toNestAuthError(new QueryFailedError('select', [], ours))).toBe(ours);
  });

  it('has an SQLSTATE only when its code is one', () => {
    expect(sqlStateOf(queryFailed({ code: '40001' }))).toBe('40001');
    expect(sqlStateOf(driverError({ code: 'ECONNRESET' }))).toBeUndefined();
    expect(sqlStateOf(driverError({}))).toBeUndefined();
    expect(sqlStateOf('40001')).toBeUndefined();
  });
});

describe('running the whole transaction again', () => {
  it.each([
    ['a serialization failure', queryFailed({ code: '40001' }), true],
    ['a deadlock', queryFailed({ code: '40P01' }), true],
    ['a connection that was ended by the server', queryFailed({ code: '57P01' }), true],
    ['a connection that was reset', driverError({ code: 'ECONNRESET' }), true],
    ['a typed conflict', toNestAuthError(queryFailed({ code: '40001' })), true],
    ['a typed loss', toNestAuthError(queryFailed({ code: '08006' })), true],
    ['an unknown outcome', new CommitOutcomeUnknownError(async () => 'unknown', driverError({ code: '57P01' })), false],
    ['a unique violation', queryFailed({ code: '23505' }), false],
    ['a lock timeout', queryFailed({ code: '55P03' }), false],
    ['a cancelled statement', queryFailed({ code: '57014' }), false],
    ['an aborted transaction', queryFailed({ code: '25P02' }), false],
    ['a full disk', queryFailed({ code: '53100' }), false],
    ['an internal error', queryFailed({ code: 'XX000' }), false],
    ['an error of the callback', new Error('mine'), false],
    ['something that is no error', '40001', false],
  ])('after %s is safe: %#', (_what, error, safe) => {
    expect(isRetryable(error)).toBe(safe);
  });

  it('is no matter of the outcome of a COMMIT, which is not a mere loss', () => {
    expect(isConnectionLoss(new CommitOutcomeUnknownError(async () => 'unknown', undefined))).toBe(false);
  });
});

describe('isNestAuthError', () => {
  it('knows our errors by name and code, also those of another copy of the package', () => {
    const foreign = Object.assign(new Error('x'), { name: 'NestAuthError', code: 'USER_NOT_FOUND' });
    expect(isNestAuthError(new NestAuthError('USER_NOT_FOUND', 'x'))).toBe(true);
    expect(isNestAuthError(foreign, 'USER_NOT_FOUND')).toBe(true);
    expect(isNestAuthError(foreign, 'ROLE_NOT_FOUND')).toBe(false);
    expect(isNestAuthError(Object.assign(new Error('x'), { code: 'USER_NOT_FOUND' }))).toBe(false);
    expect(isNestAuthError('USER_NOT_FOUND')).toBe(false);
  });
});
