import type { DataSource, EntityManager, QueryRunner } from 'typeorm';
import { dataSourceOf, wireOf } from './registry.js';

/** Where entities came from; those of one transaction share it. */
export interface Origin {
  readonly dataSource: DataSource;
  /** The manager that loaded or made them, forgotten once its runner is released: an entity may be kept for long. */
  manager: EntityManager | undefined;
}

/**
 * Not enumerable, so that serialization, copies and change detection see nothing of it; and not in a WeakMap, because
 * an entry for every entity of every list costs the garbage collector more than reading them.
 */
const ORIGIN = Symbol('NestAuthOrigin');

/** Remembers where an entity came from, so that its helpers need no manager there. */
export function rememberOrigin<T extends object>(entity: T, manager: EntityManager): T {
  return Object.defineProperty(entity, ORIGIN, { value: originFor(manager), writable: true, configurable: true });
}

/** The manager an entity's helper uses when none is passed and none is ambient: its own transaction's while that is open. */
export function originOf(entity: object & { [ORIGIN]?: Origin }): EntityManager | undefined {
  const origin = entity[ORIGIN];
  if (origin === undefined) return undefined;
  const { manager, dataSource } = origin;
  const runner = manager === undefined ? undefined : runnerOf(manager);
  return runner !== undefined && wireOf(runner).isOpen ? manager : dataSource.manager;
}

function originFor(manager: EntityManager): Origin {
  const dataSource = dataSourceOf(manager);
  const runner = runnerOf(manager);
  if (runner === undefined) return { dataSource, manager: undefined };
  const wire = wireOf(runner);
  if (wire.origin === undefined) {
    const origin: Origin = { dataSource, manager };
    wire.origin = origin;
    wire.onReleased(() => (origin.manager = undefined));
  }
  return wire.origin;
}

function runnerOf(manager: EntityManager): QueryRunner | undefined {
  try {
    return manager.queryRunner;
  } catch {
    // The manager of an ended transaction refuses to name its runner.
    return undefined;
  }
}
