import type { EntityManager } from 'typeorm';
import { In } from 'typeorm';
import { assertUuid, InputIssues } from '../errors/input.js';
import {
  beginningWith,
  cursorKind,
  encodeCursor,
  PAGE_FIELDS,
  readIdCursor,
  readPage,
  toPage,
} from '../transaction/keyset.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { execute, executeOne } from '../transaction/statement.js';
import { withRunner } from '../transaction/with-runner.js';
import { UserStatusEnum } from './account.types.js';
import { NestAuthUser } from './user.entity.js';
import {
  DEFAULT_USERS_PER_PAGE,
  type GetUsersOptions,
  MAX_USERS_PER_PAGE,
  type UserPage,
  type UserRelations,
} from './user-list.types.js';
import { toUser, userColumns, type UserRow } from './user.queries.js';

const FIELDS = [
  ...PAGE_FIELDS,
  'tenantId',
  'status',
  'isActive',
  'softDeleted',
  'role',
  'platform',
  'search',
  'sortOrder',
  'relations',
] as const satisfies readonly (keyof GetUsersOptions)[];

const SEARCH = { min: 2, max: 100 } as const;

const MEMBERS = 'nest_auth_user_accesses a join nest_auth_users u on u.id = a.user_id';

/**
 * One member after the other until the page is full. Left to itself PostgreSQL walks through users and members side by
 * side, which passes everybody who is in other tenants; OFFSET 0 keeps it from that.
 */
const EACH_MEMBER = `nest_auth_user_accesses a cross join lateral (
  select ${userColumns('m')} from nest_auth_users m where m.id = a.user_id offset 0) u`;

/** One page of users, and the cursor of the next. One statement, and one a relation that is asked for. */
export async function listUsers(manager: EntityManager, options: GetUsersOptions): Promise<UserPage> {
  checkFilter(options);
  const window = readPage(options, { defaultLimit: DEFAULT_USERS_PER_PAGE, maxLimit: MAX_USERS_PER_PAGE });
  const kind = cursorKind('users', filterOf(options));
  const query = new UserQuery(options);
  const descending = options.sortOrder === 'desc';
  const after = readIdCursor(kind, window.after);
  if (after !== null) query.where(`${query.key} ${descending ? '<' : '>'} ${query.bind(after)}::uuid`);
  // One row more than asked for tells whether there is a next page.
  const text = `${query.page()} order by ${query.key} ${descending ? 'desc' : 'asc'}
    limit ${query.bind(window.limit + 1)} offset ${query.bind(window.offset)}`;
  const rows = await execute<UserRow>(manager, { text }, query.values);
  const page = toPage(
    rows,
    window.limit,
    (row) => toUser(row, manager),
    ({ id }) => encodeCursor(kind, { id }),
  );
  return { ...page, items: await withRelations(manager, page.items, options.relations) };
}

/** How many users there are; reads them all, so a screen should not ask for it on every page. */
export async function countUsers(manager: EntityManager, options: GetUsersOptions): Promise<number> {
  checkFilter(options);
  const query = new UserQuery(options);
  const row = await executeOne<{ count: string }>(manager, { text: query.count() }, query.values);
  return Number(row.count);
}

/** Loads relations of users that were found by a query of ours; keeps their order. */
export async function withRelations(
  manager: EntityManager,
  users: NestAuthUser[],
  relations: UserRelations | undefined,
): Promise<NestAuthUser[]> {
  checkRelations(relations);
  if (relations === undefined || users.length === 0) return users;
  // On the primary: TypeORM would read from a replica, which may not have these rows yet.
  const loaded = await withRunner(manager, (own) =>
    own.find(NestAuthUser, {
      where: { id: In(users.map(({ id }) => id)) },
      withDeleted: true,
      relations,
    }),
  );
  const byId = new Map(loaded.map((user) => [user.id, user]));
  return users.map((user) => byId.get(user.id) ?? user);
}

/** Collects the conditions of a list. Everything a caller gave is bound; every piece of SQL is ours. */
class UserQuery {
  readonly values: unknown[] = [];
  /** What the list is ordered by: the column of the index that leads into it. */
  readonly key: string;
  readonly #from: string;
  readonly #pageFrom: string;
  readonly #conditions: string[];

  constructor({ tenantId, status, isActive, softDeleted, role, platform, search }: GetUsersOptions) {
    this.#conditions = [`u.deleted_at is ${softDeleted === true ? 'not ' : ''}null`];
    this.key = tenantId === undefined ? 'u.id' : 'a.user_id';
    this.#from = tenantId === undefined ? 'nest_auth_users u' : MEMBERS;
    // What is searched for may be had by an index of its own, and then be looked for among the members.
    this.#pageFrom = tenantId === undefined || search !== undefined ? this.#from : EACH_MEMBER;
    const tenant = tenantId === undefined ? undefined : `${this.bind(tenantId)}::uuid`;
    if (tenant !== undefined) this.where(`a.tenant_id = ${tenant}`);
    if (status !== undefined) this.where(`u.status = any(${this.bind([status].flat())}::text[])`);
    if (isActive !== undefined) this.where(`u.is_active = ${this.bind(isActive)}`);
    if (platform === true) {
      this.where('exists (select 1 from nest_auth_platform_accesses p where p.user_id = u.id)');
    }
    if (role !== undefined) this.#whereRole(role, tenant);
    if (search !== undefined) this.#whereLogin(search.trim().toLowerCase());
  }

  bind(value: unknown): string {
    this.values.push(value);
    return `$${this.values.length}`;
  }

  where(condition: string): void {
    this.#conditions.push(condition);
  }

  /** The rows of a page, up to its order and limit. */
  page(): string {
    return `select ${userColumns('u')} from ${this.#pageFrom} where ${this.#conditions.join(' and ')}`;
  }

  count(): string {
    return `select count(*) as count from ${this.#from} where ${this.#conditions.join(' and ')}`;
  }

  /** Phone numbers are stored with their plus: without one there is nothing to look for among them. */
  #whereLogin(beginning: string): void {
    const [from, to] = beginningWith(beginning).map((value) => this.bind(value));
    const within = (column: string): string => `(${column} ~>=~ ${from} and ${column} ~<~ ${to})`;
    const email = within('u.email_norm');
    this.where(beginning.startsWith('+') ? `(${email} or ${within('u.phone')})` : email);
  }

  #whereRole({ name, guard }: { name: string; guard: string }, tenant: string | undefined): void {
    // What a tenant gives is its own or the system's: the index of roles begins with their owner.
    const owner = tenant === undefined ? '' : `and r.owner_tenant_id in ('${NIL_UUID}', ${tenant})`;
    const role = `r.name = ${this.bind(name)} and r.guard = ${this.bind(guard)} ${owner}`;
    const inTenant = tenant === undefined ? '' : `and g.tenant_id = ${tenant}`;
    const onPlatform = `exists (select 1 from nest_auth_platform_access_roles g
      join nest_auth_roles r on r.id = g.role_id where g.user_id = u.id and ${role})`;
    const onTenant = `exists (select 1 from nest_auth_user_access_roles g
      join nest_auth_roles r on r.id = g.role_id where g.user_id = u.id ${inTenant} and ${role})`;
    this.where(guard === 'admin' ? onPlatform : onTenant);
  }
}

/** What a cursor belongs to: the same filters, in whatever form they were given. */
function filterOf({
  after: _a,
  limit: _l,
  offset: _o,
  replica: _s,
  relations: _r,
  ...filter
}: GetUsersOptions): Record<string, unknown> {
  return filter;
}

/** What {@link UserRelations} names; a type does not stop what comes from a request. */
interface RelationTree {
  readonly [name: string]: RelationTree;
}

const ROLES: RelationTree = { roles: { permissions: {} } };
const RELATIONS: RelationTree = { identities: {}, userAccesses: { tenant: {}, ...ROLES }, platformAccess: ROLES };

function checkRelations(relations: unknown): void {
  if (relations === undefined) return;
  const issues = new InputIssues();
  checkTree(issues, 'relations', relations, RELATIONS);
  issues.refuse('The relations cannot be loaded');
}

function checkTree(issues: InputIssues, path: string, relations: unknown, known: RelationTree): void {
  issues.fields(relations, Object.keys(known));
  for (const [name, value] of Object.entries(relations as object)) {
    const inner = known[name];
    if (inner !== undefined && value !== true) checkTree(issues, `${path}.${name}`, value, inner);
  }
}

function checkFilter(options: GetUsersOptions): void {
  const issues = new InputIssues();
  issues.fields(options, FIELDS);
  const { tenantId, status, isActive, softDeleted, role, search, sortOrder, platform } = options;
  checkRelations(options.relations);
  if ('tenantId' in options) assertUuid('tenantId', tenantId);
  const statuses = Object.values(UserStatusEnum);
  if (status !== undefined && ![status].flat().every((value) => statuses.includes(value))) {
    issues.add('status', `must be among ${statuses.join(', ')}`);
  }
  if (isActive !== undefined) issues.boolean('isActive', isActive);
  if (softDeleted !== undefined) issues.boolean('softDeleted', softDeleted);
  if (platform !== undefined) issues.boolean('platform', platform);
  if (sortOrder !== undefined && sortOrder !== 'asc' && sortOrder !== 'desc') {
    issues.add('sortOrder', 'must be asc or desc');
  }
  if (role !== undefined) {
    issues.text('role.name', role?.name, { max: 100 });
    issues.text('role.guard', role?.guard, { max: 100 });
  }
  if (search !== undefined) issues.text('search', search, SEARCH);
  issues.refuse('The users cannot be listed');
}
