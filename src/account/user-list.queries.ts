import type { EntityManager } from 'typeorm';
import { In } from 'typeorm';
import { assertUuid, InputIssues } from '../errors/input.js';
import {
  cursorKind,
  encodeCursor,
  PAGE_FIELDS,
  readIdCursor,
  readPage,
  startingWith,
  toPage,
} from '../transaction/keyset.js';
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
  'role',
  'platform',
  'search',
  'sortOrder',
  'relations',
] as const satisfies readonly (keyof GetUsersOptions)[];

const SEARCH = { min: 2, max: 100 } as const;

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
  const text = `${query.select(userColumns('u'))} order by ${query.key} ${descending ? 'desc' : 'asc'}
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
  const row = await executeOne<{ count: string }>(manager, { text: query.select('count(*) as count') }, query.values);
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
  readonly #conditions = ['u.deleted_at is null'];

  constructor({ tenantId, status, isActive, role, platform, search }: GetUsersOptions) {
    this.key = tenantId === undefined ? 'u.id' : 'a.user_id';
    this.#from =
      tenantId === undefined
        ? 'nest_auth_users u'
        : 'nest_auth_user_accesses a join nest_auth_users u on u.id = a.user_id';
    const tenant = tenantId === undefined ? undefined : `${this.bind(tenantId)}::uuid`;
    if (tenant !== undefined) this.where(`a.tenant_id = ${tenant}`);
    if (status !== undefined) this.where(`u.status = any(${this.bind([status].flat())}::text[])`);
    if (isActive !== undefined) this.where(`u.is_active = ${this.bind(isActive)}`);
    if (platform === true) {
      this.where('exists (select 1 from nest_auth_platform_accesses p where p.user_id = u.id)');
    }
    if (role !== undefined) this.#whereRole(role, tenant);
    if (search !== undefined) {
      const prefix = this.bind(startingWith(search.trim().toLowerCase()));
      this.where(`(u.email_norm like ${prefix} or u.phone like ${prefix})`);
    }
  }

  bind(value: unknown): string {
    this.values.push(value);
    return `$${this.values.length}`;
  }

  where(condition: string): void {
    this.#conditions.push(condition);
  }

  select(columns: string): string {
    return `select ${columns} from ${this.#from} where ${this.#conditions.join(' and ')}`;
  }

  #whereRole({ name, guard }: { name: string; guard: string }, tenant: string | undefined): void {
    const role = `r.name = ${this.bind(name)} and r.guard = ${this.bind(guard)}`;
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
  const { tenantId, status, isActive, role, search, sortOrder, platform } = options;
  checkRelations(options.relations);
  if ('tenantId' in options) assertUuid('tenantId', tenantId);
  const statuses = Object.values(UserStatusEnum);
  if (status !== undefined && ![status].flat().every((value) => statuses.includes(value))) {
    issues.add('status', `must be among ${statuses.join(', ')}`);
  }
  if (isActive !== undefined) issues.boolean('isActive', isActive);
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
