import type { DataSource, EntityManager } from 'typeorm';
import type { AccessPort } from '../access/access.port.js';
import type { AccountPort } from '../account/account.port.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { type NestAuthBaseEntity, onlyDataSourceOf } from './base.entity.js';
import { originOf } from './entity-origin.js';
import { currentFrame } from './frame.js';
import { dataSourceOf } from './registry.js';

/** What the helpers of the entities delegate to, by name. */
interface EntityPorts {
  readonly account: AccountPort;
  readonly access: AccessPort;
}

/** The operations behind the entities' helpers, by DataSource: an entity imports only their types. */
const ports = new WeakMap<DataSource, Partial<EntityPorts>>();

/** Makes `operations` the ones that entities of this DataSource delegate to under `name`. */
export function registerPort<Name extends keyof EntityPorts>(
  dataSource: DataSource,
  name: Name,
  operations: EntityPorts[Name],
): void {
  ports.set(dataSource, { ...ports.get(dataSource), [name]: operations });
}

/**
 * Finds what an entity's helper delegates to, and on which manager: the one passed; else the running transaction's,
 * which the operation finds by itself; else the one of the transaction or DataSource the entity came from.
 */
export function portOf<Name extends keyof EntityPorts>(
  entity: NestAuthBaseEntity,
  name: Name,
  manager: EntityManager | undefined,
): { port: EntityPorts[Name]; manager: EntityManager | undefined } {
  const target = entity.constructor as typeof NestAuthBaseEntity;
  const ambient = manager === undefined ? currentFrame(({ dataSource }) => dataSource.hasMetadata(target)) : undefined;
  const used = manager ?? (ambient === undefined ? originOf(entity) : undefined);
  const dataSource = used === undefined ? (ambient?.dataSource ?? onlyDataSourceOf(target)) : dataSourceOf(used);
  const port: EntityPorts[Name] | undefined = ports.get(dataSource)?.[name];
  if (port === undefined) {
    throw new NestAuthError(
      'AMBIGUOUS_DATA_SOURCE',
      `${target.name} was used with a DataSource that NestAuthModule does not serve; pass a manager of the one it was given`,
    );
  }
  return { port, manager: used };
}
