import type { DataSource, EntityManager } from 'typeorm';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { type NestAuthBaseEntity, onlyDataSourceOf } from './base.entity.js';
import { originOf } from './entity-origin.js';
import { currentFrame } from './frame.js';
import { dataSourceOf } from './registry.js';

/** The operations behind the entities' helpers, by DataSource: an entity imports only their types. */
const ports = new WeakMap<DataSource, Map<string, unknown>>();

/** Makes `operations` the ones that entities of this DataSource delegate to under `name`. */
export function registerPort(dataSource: DataSource, name: string, operations: unknown): void {
  const registered = ports.get(dataSource) ?? new Map<string, unknown>();
  ports.set(dataSource, registered.set(name, operations));
}

/**
 * Finds what an entity's helper delegates to, and on which manager: the one passed; else the running transaction's,
 * which the operation finds by itself; else the one of the transaction or DataSource the entity came from.
 */
export function portOf<Port>(
  entity: NestAuthBaseEntity,
  name: string,
  manager: EntityManager | undefined,
): { port: Port; manager: EntityManager | undefined } {
  const target = entity.constructor as typeof NestAuthBaseEntity;
  const ambient = manager === undefined ? currentFrame(({ dataSource }) => dataSource.hasMetadata(target)) : undefined;
  const used = manager ?? (ambient === undefined ? originOf(entity) : undefined);
  const dataSource = used === undefined ? (ambient?.dataSource ?? onlyDataSourceOf(target)) : dataSourceOf(used);
  const port = ports.get(dataSource)?.get(name);
  if (port === undefined) {
    throw new NestAuthError(
      'AMBIGUOUS_DATA_SOURCE',
      `${target.name} was used with a DataSource that NestAuthModule does not serve; pass a manager of the one it was given`,
    );
  }
  return { port: port as Port, manager: used };
}
