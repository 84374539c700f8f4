import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { isNestAuthError, NestAuthError } from '../errors/nest-auth.error.js';
import { InputIssues } from '../errors/input.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import type { CreateUserInput, CreateUsersOptions, CreateUsersResult, CreateUsersRow } from './account.types.js';
import {
  type BulkRow,
  discardUsers,
  findTakenLogins,
  holdTenant,
  insertUsers,
  loginsOf,
} from './bulk-create.queries.js';
import { type CreateUserOperations, type Creation, madeUser } from './create-user.operations.js';
import { identityCount, type NewUser } from './create-user.queries.js';
import type { IdentityOperations } from './identity.operations.js';
import { aboutUser } from './password-about.policy.js';
import { conflictError, explainRoles, fieldOf } from './login-conflict.queries.js';
import type { NestAuthUser } from './user.entity.js';
import { checkContext } from './user-input.policy.js';
import { lostEveryRace, tenantNotFound } from './user-refusals.policy.js';

type Row = CreateUsersRow<NestAuthUser>;

/** A row that passed validation, with its place in the input. */
interface Planned {
  readonly index: number;
  readonly creation: Creation;
  readonly password: CreateUserInput['password'];
}

const DEFAULT_CHUNK_SIZE = 500;
const MAX_CHUNK_SIZE = 5_000;
const HASHES_AT_ONCE = 4;
const OPTIONS = [
  'tenantId',
  'chunkSize',
  'context',
  'dryRun',
  'onProgress',
] as const satisfies readonly (keyof CreateUsersOptions)[];

/** Carries the outcome of a rehearsal out of the savepoint that is rolled back with it. */
class Rehearsed extends Error {
  constructor(readonly rows: Row[]) {
    super('rehearsed');
  }
}

/** Creates many users, a chunk a statement. */
export class BulkCreateOperations {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly creations: CreateUserOperations,
    private readonly identities: IdentityOperations,
  ) {}

  async create(
    inputs: readonly CreateUserInput[],
    options: CreateUsersOptions,
    manager: EntityManager | undefined,
  ): Promise<CreateUsersResult<NestAuthUser>> {
    const chunkSize = checkOptions(inputs, options);
    const pinned = this.transactions.pin(manager);
    // What is wrong with the whole call is thrown here, not repeated for every row.
    this.creations.scopeOf(options.tenantId);
    const results: Row[] = [];
    const seen = new Map<string, number>();
    for (let start = 0; start < inputs.length; start += chunkSize) {
      const chunk = inputs.slice(start, start + chunkSize);
      const planned = this.#plan(chunk, start, options, seen, results);
      const hashed = await this.#hashed(planned, pinned, results);
      if (hashed.length > 0) results.push(...(await this.#runChunk(pinned, hashed, options.dryRun === true)));
      options.onProgress?.(Math.min(start + chunkSize, inputs.length), inputs.length);
    }
    results.sort((a, b) => a.index - b.index);
    const refused = results.filter(({ error }) => error !== undefined).length;
    return { created: options.dryRun === true ? 0 : results.length - refused, refused, rows: results };
  }

  /** The rows that can be tried; the others, and repetitions of an earlier row's login, are refused into `results`. */
  #plan(
    chunk: readonly CreateUserInput[],
    start: number,
    { tenantId, context = { source: 'import' } }: CreateUsersOptions,
    seen: Map<string, number>,
    results: Row[],
  ): Planned[] {
    const planned: Planned[] = [];
    chunk.forEach((input, offset) => {
      const index = start + offset;
      try {
        const creation = this.creations.plan(input, null, tenantId, context, false);
        const logins = loginsOf(this.creations.newUser(creation, creation.input));
        const repeated = logins
          .filter((login) => seen.has(JSON.stringify(login)))
          .map(([provider]) => fieldOf(provider));
        if (repeated.length > 0) throw conflictError(repeated);
        for (const login of logins) seen.set(JSON.stringify(login), index);
        planned.push({ index, creation, password: input.password });
      } catch (error) {
        if (!(error instanceof NestAuthError)) throw error;
        results.push({ index, error });
      }
    });
    return planned;
  }

  /**
   * Hashes the chunk's passwords, a few at once: an import must not fill the queue that sign-ins wait in. Rows whose
   * password is no good are refused into `results`.
   */
  async #hashed(planned: readonly Planned[], manager: EntityManager | undefined, results: Row[]): Promise<Planned[]> {
    const hashed: (Planned | undefined)[] = [...planned];
    const waiting = planned.entries();
    const work = async (): Promise<void> => {
      for (const [place, row] of waiting) hashed[place] = await this.#hash(row, manager, results);
    };
    await Promise.all(Array.from({ length: HASHES_AT_ONCE }, work));
    return hashed.filter((row) => row !== undefined);
  }

  async #hash(row: Planned, manager: EntityManager | undefined, results: Row[]): Promise<Planned | undefined> {
    try {
      const passwordHash = await this.identities.hashOf(row.password, aboutUser(row.creation.input), manager);
      return { ...row, creation: { ...row.creation, passwordHash } };
    } catch (error) {
      if (!isNestAuthError(error, 'PASSWORD_REFUSED') && !isNestAuthError(error, 'VALIDATION_FAILED')) throw error;
      results.push({ index: row.index, error });
      return undefined;
    }
  }

  async #runChunk(manager: EntityManager | undefined, planned: readonly Planned[], dryRun: boolean): Promise<Row[]> {
    return this.transactions.atomic(manager, async (m) => {
      if (!dryRun) return this.#insert(m, planned);
      try {
        return await m.transaction(async () => {
          throw new Rehearsed(await this.#insert(m, planned));
        });
      } catch (error) {
        if (error instanceof Rehearsed) return error.rows.map(({ user: _never, ...row }) => row);
        throw error;
      }
    });
  }

  async #insert(manager: EntityManager, planned: readonly Planned[]): Promise<Row[]> {
    const wanted: Wanted[] = [];
    const results: Row[] = [];
    const judged = new Map<string, NestAuthError | null>();
    for (const row of planned) {
      const input = await this.creations.beforeCreate(manager, row.creation);
      const user = { ...this.creations.newUser(row.creation, input), id: uuidv7() };
      const refusal = await this.#refusalOf(manager, user, judged);
      if (refusal === null) wanted.push({ row, input, user });
      else results.push({ index: row.index, error: refusal });
    }
    if (wanted.length === 0) return results;
    const users = wanted.map(({ user }) => user);
    const { realmId = '', tenantId = null } = users[0] ?? {};
    if (tenantId !== null && !(await holdTenant(manager, tenantId))) throw tenantNotFound();
    const outcome = new Map((await insertUsers(manager, realmId, tenantId, users)).map((row) => [row.id, row]));
    const refusals = await this.#refusals(manager, realmId, users, outcome);
    for (const { row, user, input } of wanted) {
      const error = refusals.get(user.id);
      const createdAt = outcome.get(user.id)?.created_at;
      if (error !== undefined || createdAt == null) {
        results.push({ index: row.index, error: error ?? lostEveryRace(this.transactions.hidesRows) });
        continue;
      }
      const made = madeUser(user, createdAt, manager);
      await this.creations.afterCreate(manager, made, input, row.creation);
      results.push({ index: row.index, user: made });
    }
    return results;
  }

  /** Whether whoever acts may give the roles of the row; the same ones are usually on many rows. */
  async #refusalOf(
    manager: EntityManager,
    user: NewUser,
    judged: Map<string, NestAuthError | null>,
  ): Promise<NestAuthError | null> {
    const key = `${user.roleIds.join()}/${user.platformRoleIds.join()}`;
    let refusal = judged.get(key);
    if (refusal === undefined) {
      refusal = await this.creations.assertMayGive(manager, user).then(
        () => null,
        (error: unknown) => {
          if (isNestAuthError(error, 'GRANT_NOT_HELD')) return error;
          throw error;
        },
      );
      judged.set(key, refusal);
    }
    return refusal;
  }

  /** Why rows were not made, by id; rows that lost a race half-way are taken back first. */
  async #refusals(
    manager: EntityManager,
    realmId: string,
    users: readonly NewUser[],
    outcome: ReadonlyMap<string, BulkRow>,
  ): Promise<Map<string, NestAuthError>> {
    const short = users.filter((user) => {
      const row = outcome.get(user.id);
      return row !== undefined && row.created_at !== null && row.identities !== identityCount(user);
    });
    if (short.length > 0)
      await discardUsers(
        manager,
        short.map(({ id }) => id),
      );
    const refused = users.filter((user) => outcome.get(user.id)?.created_at == null || short.includes(user));
    const taken = refused.length === 0 ? new Map() : await findTakenLogins(manager, realmId, refused);
    const explained = new Map<string, NestAuthError>();
    const refusals = new Map<string, NestAuthError>();
    for (const user of refused) {
      const error = await this.#explain(manager, user, outcome.get(user.id), taken.get(user.id), explained);
      refusals.set(user.id, error);
    }
    return refusals;
  }

  async #explain(
    manager: EntityManager,
    user: NewUser,
    row: BulkRow | undefined,
    taken: readonly string[] | undefined,
    explained: Map<string, NestAuthError>,
  ): Promise<NestAuthError> {
    if (row?.roles_ok === false || row?.platform_roles_ok === false) {
      const platform = row.roles_ok;
      const roleIds = platform ? user.platformRoleIds : user.roleIds;
      // The same wrong role is usually on many rows.
      const key = roleIds.join();
      const known = explained.get(key) ?? (await explainRoles(manager, roleIds, { tenantId: user.tenantId, platform }));
      explained.set(key, known);
      return known;
    }
    return taken === undefined ? lostEveryRace(this.transactions.hidesRows) : conflictError(taken.map(fieldOf));
  }
}

interface Wanted {
  readonly row: Planned;
  readonly user: NewUser;
  readonly input: Creation['input'];
}

function checkOptions(inputs: readonly CreateUserInput[], options: CreateUsersOptions): number {
  const issues = new InputIssues();
  issues.fields(options, OPTIONS);
  const { chunkSize = DEFAULT_CHUNK_SIZE, dryRun = false } = options;
  if (!Array.isArray(inputs)) issues.add('rows', 'must be an array');
  if (!Number.isInteger(chunkSize) || chunkSize < 1 || chunkSize > MAX_CHUNK_SIZE) {
    issues.add('chunkSize', `must be a whole number, 1 to ${MAX_CHUNK_SIZE}`);
  }
  issues.boolean('dryRun', dryRun);
  if (options.onProgress !== undefined && typeof options.onProgress !== 'function') {
    issues.add('onProgress', 'must be a function');
  }
  issues.refuse('The users cannot be created');
  if (options.context !== undefined) checkContext(options.context);
  return chunkSize;
}
