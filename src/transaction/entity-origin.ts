import type { DataSource, EntityManager } from 'typeorm';
import { dataSourceOf, wireOf } from './registry.js';

interface Origin {
  readonly dataSource: DataSource;
  /** The manager that loaded or made the entity, of use while its transaction is open. */
  readonly manager: WeakRef<EntityManager>;
}

/** Kept beside the entities, not on them: serialization and change detection see nothing of it. */
const origins = new WeakMap<object, Origin>();

/** Remembers where an entity came from, so that its helpers need no manager there. */
export function rememberOrigin<T extends object>(entity: T, manager: EntityManager): T {
  origins.set(entity, { dataSource: dataSourceOf(manager), manager: new WeakRef(manager) });
  return entity;
}

/** The manager an entity's helper uses when none is passed and none is ambient: its own transaction's while that is open. */
export function originOf(entity: object): EntityManager | undefined {
  const origin = origins.get(entity);
  if (origin === undefined) return undefined;
  const manager = origin.manager.deref();
  return manager !== undefined && isOpen(manager) ? manager : origin.dataSource.manager;
}

function isOpen(manager: EntityManager): boolean {
  try {
    const runner = manager.queryRunner;
    return runner !== undefined && wireOf(runner).isOpen;
  } catch {
    // The manager of an ended transaction refuses to name its runner.
    return false;
  }
}
