import type {
  EntityManager,
  EntityMetadata,
  EntitySubscriberInterface,
  InsertEvent,
  ObjectLiteral,
  RemoveEvent,
  UpdateEvent,
} from 'typeorm';
import { NestAuthError } from '../errors/nest-auth.error.js';
import type { NestAuthEventName } from '../events/nest-auth.events.js';
import { wireOf } from '../transaction/registry.js';
import { execute, type Statement } from '../transaction/statement.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { activity, audited } from './audited-statement.js';
import { changedValues, subjectOf, wholeValues } from './entity-subjects.policy.js';

const NIL_UUID = '00000000-0000-0000-0000-000000000000';

const served = new WeakSet<TransactionHost>();

interface Change {
  readonly name: NestAuthEventName;
  /** Undefined when nobody knows which rows: `manager.update`, `manager.delete` and query builders. */
  readonly row: ObjectLiteral | undefined;
  readonly before: object | null;
  readonly after: object | null;
}

/**
 * Writes the activity of what a host changes through the ORM: `save`, `remove`, `update`, query builders.
 *
 * One statement more, in the transaction of the change. A save tells what it has changed and of whom; a write that only
 * has criteria tells the values it set, and that nobody knows of whom. No event leaves. Raw SQL passes this by.
 */
export class EntityActivitySubscriber implements EntitySubscriberInterface {
  /** Once for each: two modules of one DataSource must not write everything twice. */
  static addTo(host: TransactionHost): void {
    if (served.has(host)) return;
    served.add(host);
    host.addSubscriber(new EntityActivitySubscriber());
  }

  /** TypeORM calls the subscribers for all entities of a save at once, and they share a connection. */
  readonly #queues = new WeakMap<object, Promise<unknown>>();

  async afterInsert({ metadata, entity, manager }: InsertEvent<ObjectLiteral>): Promise<void> {
    const subject = subjectOf(metadata);
    // An INSERT without any row has nothing to tell.
    if (subject === undefined || entity === undefined) return;
    const rows = Array.isArray(entity) ? (entity as ObjectLiteral[]) : [entity];
    for (const row of rows) {
      const change = { name: subject.inserted, row, before: null, after: wholeValues(metadata, row) };
      await this.#write(manager, metadata, change);
    }
  }

  async afterUpdate(event: UpdateEvent<ObjectLiteral>): Promise<void> {
    const { metadata, manager, entity } = event;
    const subject = subjectOf(metadata);
    if (subject === undefined || entity === undefined) return;
    const loaded = event.databaseEntity as ObjectLiteral | undefined;
    const { before, after } = changedValues(metadata, loaded, entity);
    if (loaded !== undefined && Object.keys(after).length === 0) return;
    assertUnraced(metadata, loaded, entity, manager);
    await this.#write(manager, metadata, { name: subject.updated, row: loaded, before, after });
  }

  async afterRemove({ metadata, manager, databaseEntity }: RemoveEvent<ObjectLiteral>): Promise<void> {
    const subject = subjectOf(metadata);
    if (subject === undefined) return;
    const loaded = databaseEntity as ObjectLiteral | undefined;
    const before = loaded === undefined ? null : wholeValues(metadata, loaded);
    await this.#write(manager, metadata, { name: subject.removed, row: loaded, before, after: null });
  }

  /** One after the other: a connection sends one statement at a time. */
  #write(manager: EntityManager, metadata: EntityMetadata, change: Change): Promise<unknown> {
    const key = manager.queryRunner ?? manager;
    const waiting = this.#queues.get(key) ?? Promise.resolve();
    const written = waiting.then(() => insertActivity(manager, metadata, change));
    this.#queues.set(
      key,
      written.catch(() => undefined),
    );
    return written;
  }
}

async function insertActivity(manager: EntityManager, metadata: EntityMetadata, change: Change): Promise<void> {
  const subject = subjectOf(metadata);
  if (subject === undefined) return;
  const idOf = (property: string | undefined): unknown =>
    property === undefined || change.row === undefined ? null : (change.row[property] ?? null);
  const tenantId = idOf(subject.tenant);
  const userId = idOf(subject.user);
  await execute(manager, statementOf(change.name, subject.type), [
    userId,
    subject.tenant === 'realmId' && tenantId === NIL_UUID ? null : tenantId,
    subject.id === undefined ? userId : idOf(subject.id),
    change.before === null ? null : JSON.stringify(change.before),
    change.after === null ? null : JSON.stringify(change.after),
    JSON.stringify({ via: 'orm', ...(change.row === undefined ? { rows: 'unknown' } : {}) }),
  ]);
}

const statements = new Map<string, Statement<{ written: boolean }>>();

function statementOf(name: NestAuthEventName, subjectType: string): Statement<{ written: boolean }> {
  const key = `${name} ${subjectType}`;
  let found = statements.get(key);
  if (found === undefined) {
    const written = activity({
      type: name,
      from: '(select 1) as once',
      userId: '$1::uuid',
      tenantId: '$2::uuid',
      subjectType,
      subjectId: '$3::uuid',
      before: '$4::jsonb',
      after: '$5::jsonb',
      details: '$6::jsonb',
    });
    found = audited(undefined, `with ${written} select true as written`, () => true);
    statements.set(key, found);
  }
  return found;
}

/**
 * TypeORM reads the row before it writes, without a lock. The version that the UPDATE answered tells whether somebody
 * has changed it in between: then what was read is not what was replaced.
 */
function assertUnraced(
  { versionColumn, name }: EntityMetadata,
  loaded: ObjectLiteral | undefined,
  entity: ObjectLiteral,
  manager: EntityManager,
): void {
  if (versionColumn === undefined || loaded === undefined) return;
  const [was, is] = [loaded, entity].map((row) => row[versionColumn.propertyName] as number | undefined);
  if (was === undefined || is === undefined || is === was + 1) return;
  const error = new NestAuthError('STALE_VERSION', `The ${name} has changed since it was read; read it again`);
  // The UPDATE has been sent: a caller that goes on regardless must not keep it.
  if (manager.queryRunner !== undefined) wireOf(manager.queryRunner).markRollbackOnly(error);
  throw error;
}
