import type { EntityManager } from 'typeorm';
import type { SealedValue } from '../secret/sealed-value.js';
import { execute, returnsRows, type Statement } from '../transaction/statement.js';
import type { SealedKind, StaleSecret } from './rotation.types.js';
import { seedOwner } from './seed.policy.js';

interface StaleRow {
  readonly user_id: string;
  readonly key_id: string;
  readonly sealed: Buffer;
}

const STALE: Statement<StaleRow> = {
  text: `select user_id, key_id, sealed from nest_auth_second_factors
    where kind = 'totp' and key_id <> $1 and user_id > $2 order by user_id limit $3`,
};

const REPLACE: Statement<{ user_id: string }> = {
  text: `update nest_auth_second_factors set key_id = $4, sealed = $5
    where user_id = $1 and kind = 'totp' and key_id = $2 and sealed = $3 returning user_id`,
  changes: returnsRows,
};

/** The seeds of authenticators, those that wait for their first code too. */
export const TOTP_SEEDS: SealedKind = {
  ownerOf: seedOwner,

  async findStale(manager: EntityManager, keyId: string, after: string, limit: number): Promise<StaleSecret[]> {
    const rows = await execute(manager, STALE, [keyId, after, limit]);
    return rows.map((row) => ({ userId: row.user_id, value: { keyId: row.key_id, sealed: row.sealed } }));
  },

  async replace(manager: EntityManager, userId: string, from: SealedValue, to: SealedValue): Promise<boolean> {
    const rows = await execute(manager, REPLACE, [userId, from.keyId, from.sealed, to.keyId, to.sealed]);
    return rows.length > 0;
  },
};
