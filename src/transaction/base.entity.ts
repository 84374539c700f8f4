import { BaseEntity, type DataSource, type ObjectType, type Repository } from 'typeorm';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { originOf } from './entity-origin.js';
import { currentFrame } from './frame.js';

/**
 * JSON of a row. As `Record<string, unknown>`, but TypeORM's own types accept it, so that a host can insert an entity
 * that refers to one of ours.
 */
// oxlint-disable-next-line typescript/no-generated-empty-object-type -- "anything that is there" is meant
export type StoredMetadata = Record<string, NonNullable<unknown> | null | undefined>;

type EntityClass = typeof NestAuthBaseEntity;

/** TypeORM overwrites the one DataSource of a class; all that were ever named are kept, to notice when it is not one. */
const dataSources = new WeakMap<EntityClass, Set<DataSource>>();

/**
 * Keeps TypeORM's active-record API on our entities and makes it join the running transaction.
 *
 * Outside a transaction the entity's own DataSource is used. A static call that cannot know its DataSource, because
 * several are alive, throws `AMBIGUOUS_DATA_SOURCE` instead of guessing.
 */
export abstract class NestAuthBaseEntity extends BaseEntity {
  static override useDataSource(dataSource: DataSource | null): void {
    super.useDataSource(dataSource);
    if (dataSource === null) return;
    const known = dataSources.get(this) ?? new Set();
    dataSources.set(this, known.add(dataSource));
  }

  override hasId(): boolean {
    return repositoryOf(this).hasId(this);
  }

  override save(options?: Parameters<BaseEntity['save']>[0]): Promise<this> {
    return repositoryOf(this).save(this as never, options as never) as Promise<never>;
  }

  override remove(options?: Parameters<BaseEntity['remove']>[0]): Promise<this> {
    return repositoryOf(this).remove(this as never, options) as Promise<never>;
  }

  override softRemove(options?: Parameters<BaseEntity['softRemove']>[0]): Promise<this> {
    return repositoryOf(this).softRemove(this as never, options as never) as Promise<never>;
  }

  override recover(options?: Parameters<BaseEntity['recover']>[0]): Promise<this> {
    return repositoryOf(this).recover(this as never, options as never) as Promise<never>;
  }

  override async reload(): Promise<void> {
    const repository = repositoryOf(this);
    const id = repository.metadata.getEntityIdMap(this);
    if (id === undefined) throw new NestAuthError('VALIDATION_FAILED', 'An entity without an id cannot be reloaded');
    Object.assign(this, await repository.findOneByOrFail(id));
  }
}

// Every static method of BaseEntity goes through `getRepository`, in both TypeORM majors. It is assigned and not declared
// because its declared type cannot be overridden under `exactOptionalPropertyTypes`.
NestAuthBaseEntity.getRepository = function joinedRepository(this: EntityClass) {
  const target = this as unknown as ObjectType<NestAuthBaseEntity>;
  const frame = currentFrame(({ dataSource }) => dataSource.hasMetadata(target));
  return (frame?.manager ?? onlyDataSourceOf(this)).getRepository(target);
} as typeof BaseEntity.getRepository;

/** The repository an instance saves itself with: the running transaction's, else the one it came from. */
function repositoryOf(entity: NestAuthBaseEntity): Repository<NestAuthBaseEntity> {
  const target = entity.constructor as unknown as ObjectType<NestAuthBaseEntity>;
  const frame = currentFrame(({ dataSource }) => dataSource.hasMetadata(target));
  const manager = frame?.manager ?? originOf(entity);
  if (manager !== undefined) return manager.getRepository(target);
  return onlyDataSourceOf(entity.constructor as unknown as EntityClass).getRepository(target);
}

/** The one DataSource an entity class can mean outside of any transaction. */
export function onlyDataSourceOf(target: EntityClass): DataSource {
  const known = dataSources.get(target) ?? new Set();
  const alive = [...known].filter((dataSource) => dataSource.isInitialized);
  for (const dataSource of known) if (!dataSource.isInitialized) known.delete(dataSource);
  const [only, another] = alive;
  if (only === undefined) {
    throw new NestAuthError('AMBIGUOUS_DATA_SOURCE', `${target.name} is not part of an initialized DataSource`);
  }
  if (another !== undefined) {
    throw new NestAuthError(
      'AMBIGUOUS_DATA_SOURCE',
      `${target.name} belongs to ${alive.length} DataSources; use dataSource.getRepository(${target.name}) or a transaction's manager`,
    );
  }
  return only;
}
