import { describe, expect, it } from '@jest/globals';
import { Client } from 'pg';

import { createTestDatabase, useDatabase, withClient } from '../support/database.js';

const database = useDatabase();

describe('the test database', () => {
  it('has the tables of the migrations and no rows', async () => {
    await withClient(database.url, async (client) => {
      const { rows } = await client.query('SELECT count(*)::int AS users FROM nest_auth_users');
      expect(rows).toEqual([{ users: 0 }]);
    });
  });

  it('keeps what one clone writes from every other clone', async () => {
    const other = await createTestDatabase();
    await withClient(database.url, (client) => client.query('CREATE TABLE mine (id int)'));
    const seen = await withClient(other.url, (client) => client.query("SELECT to_regclass('mine') AS mine"));
    expect(seen.rows).toEqual([{ mine: null }]);
    await other.drop();
  });

  it('is gone after drop, even with a connection open', async () => {
    const other = await createTestDatabase();
    const client = new Client({ connectionString: other.url });
    const disconnected = new Promise<void>((resolve) => client.once('end', resolve));
    client.on('error', () => {});
    await client.connect();
    await other.drop();
    await disconnected;
    await expect(withClient(other.url, (late) => late.query('SELECT 1'))).rejects.toMatchObject({ code: '3D000' });
  });

  it('is without our schema when an empty one is asked for', async () => {
    const empty = await createTestDatabase({ empty: true });
    const seen = await withClient(empty.url, (client) =>
      client.query("SELECT to_regclass('nest_auth_users') AS users"),
    );
    expect(seen.rows).toEqual([{ users: null }]);
    await empty.drop();
  });
});
