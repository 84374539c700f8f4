import { describe, expect, it } from '@jest/globals';

import { beginStatement } from '../../../src/transaction/transaction-options.js';

describe('the text that opens a transaction', () => {
  it('is TypeORM’s own when nothing is asked for', () => {
    expect(beginStatement({})).toBeUndefined();
    expect(beginStatement({ retries: 3, nested: 'join' })).toBeUndefined();
  });

  it('carries isolation and timeouts, and leaves our own timer to fire before the server’s', () => {
    expect(beginStatement({ isolation: 'SERIALIZABLE', timeoutMs: 500, lockTimeoutMs: 20 })).toBe(
      'START TRANSACTION ISOLATION LEVEL SERIALIZABLE; SET LOCAL statement_timeout = 500; ' +
        'SET LOCAL idle_in_transaction_session_timeout = 1500; SET LOCAL lock_timeout = 20',
    );
  });
});
