import type { Client, Pool } from 'pg';
import type { DataSource } from 'typeorm';

/** The part of TypeORM's driver that a connection is made from. */
interface PgDriver {
  readonly master: Pool;
  readonly postgres: { readonly Client: new (options: object) => Client };
}

/** An unconnected client of the primary, with the settings of the DataSource and outside of its pool: for LISTEN. */
export function ownConnection(dataSource: DataSource): Client {
  const { master, postgres } = dataSource.driver as unknown as PgDriver;
  return new postgres.Client(master.options);
}
