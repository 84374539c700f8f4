import type { DataSource, QueryRunner, SelectQueryBuilder } from 'typeorm';
import { NestAuthBaseEntity } from './base.entity.js';

/** The part of TypeORM's builder that decides which server a query outside of any transaction is sent to. */
interface Builder {
  readonly queryRunner?: QueryRunner;
  obtainQueryRunner(): QueryRunner;
  clone(): SelectQueryBuilder<object>;
}

/**
 * Keeps reads of our entities on the primary. With `replication` TypeORM sends every finder outside a transaction to a
 * random replica, which may not have heard yet that somebody was locked out, or exists.
 *
 * A runner that was asked for, `dataSource.createQueryRunner('slave')`, is left alone: that is how a host says that an
 * old answer will do.
 */
export function readFromPrimary(dataSource: DataSource): void {
  const createQueryBuilder = dataSource.createQueryBuilder.bind(dataSource) as (...args: unknown[]) => unknown;
  dataSource.createQueryBuilder = ((...args: unknown[]) => {
    const builder = createQueryBuilder(...args) as SelectQueryBuilder<object>;
    return isOurs(dataSource, args[0]) ? onPrimary(dataSource, builder) : builder;
  }) as DataSource['createQueryBuilder'];
}

function isOurs(dataSource: DataSource, target: unknown): boolean {
  const named = typeof target === 'string' && dataSource.hasMetadata(target);
  const entity = named ? dataSource.getMetadata(target).target : target;
  return typeof entity === 'function' && entity.prototype instanceof NestAuthBaseEntity;
}

function onPrimary(dataSource: DataSource, builder: SelectQueryBuilder<object>): SelectQueryBuilder<object> {
  const own = builder as unknown as Builder;
  const clone = own.clone.bind(own);
  own.obtainQueryRunner = () => own.queryRunner ?? dataSource.createQueryRunner('master');
  own.clone = () => onPrimary(dataSource, clone());
  return builder;
}
