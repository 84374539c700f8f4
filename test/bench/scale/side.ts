import { NIL_UUID, type GetUsersOptions } from '../../../src/index.js';
import type { Environment } from '../environment.js';
import { Floor, type Handwritten, type PortalUser } from '../floor.js';
import { type NewPortalUser, Portal } from '../portal.js';
import { inTurn } from '../scenarios/scenario.js';
import { freshLogin, seededEmail } from '../seed.js';
import { addUsers, type Seeded, seedByCopy } from './seed.js';
import * as shape from './shape.js';

/** One database of one size, with the package and the hand-written code on it. */
export interface Side {
  readonly portal: Portal;
  readonly operations: readonly Operation[];
  readonly seeded: Seeded;
  close(): Promise<void>;
}

/** Something that is done to a database, by the package and by hand. */
export interface Operation {
  readonly name: string;
  readonly ours: () => Promise<unknown>;
  readonly byHand: () => Promise<unknown>;
  /** Makes what rounds use up. */
  readonly prepare?: () => Promise<void>;
  readonly isUsedUp?: () => boolean;
}

const PAGE_SIZE = 20;
/** The largest page that a list gives. */
const STRIDE = 200;
/** Tenants whose members are listed, in turn; the first has a tenth of all users. */
const LISTED_TENANTS = 20;
const SOME_USERS = 4_096;

const COLUMNS = `u.id, u.realm_id, u.email, u.email_verified_at, u.phone, u.phone_verified_at, u.status, u.is_active,
  u.metadata, u.version, u.created_at, u.updated_at, u.deleted_at`;
const LIVE = 'u.deleted_at is null';

const BY_EMAIL = byHand(
  'by_email',
  `select ${COLUMNS} from nest_auth_users u where u.realm_id = $1 and u.email_norm = $2 and ${LIVE}`,
);
const UPDATE = byHand(
  'update_user',
  `update nest_auth_users u set metadata = u.metadata || $2::jsonb, version = u.version + 1, updated_at = now()
   where u.id = $1 and ${LIVE} returning ${COLUMNS}`,
);
const DELETE = byHand('delete_user', 'delete from nest_auth_users where id = $1');
const ADD_PERMISSION = byHand(
  'add_permission',
  `insert into nest_auth_role_permissions (role_id, permission_id, guard)
   select $1, id, guard from nest_auth_permissions where guard = 'portal' and name = $2 on conflict do nothing`,
);
const REMOVE_PERMISSION = byHand(
  'remove_permission',
  `delete from nest_auth_role_permissions where role_id = $1
   and permission_id = (select id from nest_auth_permissions where guard = 'portal' and name = $2)`,
);
const COUNT_ROLE = byHand(
  'count_role',
  'update nest_auth_roles set version = version + 1, updated_at = now() where id = $1',
);
// Lists without a name, as one would write them: their plans depend on the values.
const MEMBERS = byHand(
  '',
  `select ${COLUMNS} from nest_auth_user_accesses a join nest_auth_users u on u.id = a.user_id
   where a.tenant_id = $1 and ${LIVE} order by a.user_id limit $2`,
);
const SEARCH = byHand(
  '',
  `select ${COLUMNS} from nest_auth_users u where u.email_norm like $1 and ${LIVE} order by u.id limit $2`,
);
const PAGE = byHand('', `select ${COLUMNS} from nest_auth_users u where u.id > $1 and ${LIVE} order by u.id limit $2`);

/** Makes a database with so many users, and everything that is measured on it. */
export async function openSide(environment: Environment, users: number, reserve: number): Promise<Side> {
  const url = await environment.createDatabase();
  const of = shape.shapeOf(users);
  const seeded = await seedByCopy(url, of);
  const [portal, floor] = [await Portal.open(url), new Floor(url)];
  const make = new Operations(url, of, portal, floor, reserve);
  return {
    portal,
    seeded,
    operations: [
      make.signIn(),
      make.can(),
      make.memberList(),
      make.search(),
      make.firstPage(),
      await make.farPage(),
      make.update(),
      make.roleChange(),
      await make.create(),
      make.remove(),
    ],
    close: async () => void (await Promise.all([portal.close(), floor.close()])),
  };
}

export function farPageOf(users: number): number {
  // Fewer users have no ten thousand pages.
  return Math.max(2, Math.min(10_000, Math.floor(users / PAGE_SIZE / 2)));
}

class Operations {
  /** Some users from all over the table, in an order that no cache likes. */
  private readonly user: () => number;

  constructor(
    private readonly url: string,
    private readonly of: shape.Shape,
    private readonly portal: Portal,
    private readonly floor: Floor,
    private readonly reserve: number,
  ) {
    this.user = inTurn(Array.from({ length: SOME_USERS }, (_, n) => 1 + ((n * 7_919_717 + 13) % of.users)));
  }

  signIn(): Operation {
    const email = () => seededEmail(this.user());
    return {
      name: 'sign-in look-up',
      ours: () => this.portal.users.getUserByEmail(email()),
      byHand: () => this.floor.ask(BY_EMAIL, [NIL_UUID, email()]),
    };
  }

  can(): Operation {
    const question = (): [string, string, string] => {
      const user = this.user();
      const [permission = 0] = shape.permissionsOf(shape.roleOf(user));
      return [shape.userId(user), shape.tenantId(shape.homeOf(user, this.of)), shape.permissionName(permission)];
    };
    return {
      name: 'can',
      ours: () => this.portal.access.can(...question()),
      byHand: () => this.floor.can(...question()),
    };
  }

  memberList(): Operation {
    const tenant = inTurn(
      Array.from({ length: Math.min(LISTED_TENANTS, this.of.tenants) }, (_, n) => shape.tenantId(n)),
    );
    return {
      name: 'member list',
      ours: () => this.portal.users.getUsersPage({ tenantId: tenant(), limit: PAGE_SIZE }),
      byHand: () => this.floor.ask(MEMBERS, [tenant(), PAGE_SIZE + 1]),
    };
  }

  search(): Operation {
    const beginning = () => seededEmail(this.user()).replace(/@.*/, '');
    return {
      name: 'search',
      ours: () => this.portal.users.getUsersPage({ search: beginning(), limit: PAGE_SIZE }),
      byHand: () => this.floor.ask(SEARCH, [`${beginning()}%`, PAGE_SIZE + 1]),
    };
  }

  firstPage(): Operation {
    return {
      name: 'page 1',
      ours: () => this.portal.users.getUsersPage({ limit: PAGE_SIZE }),
      byHand: () => this.floor.ask(PAGE, [NIL_UUID, PAGE_SIZE + 1]),
    };
  }

  async farPage(): Promise<Operation> {
    const page = farPageOf(this.of.users);
    const { cursor, lastId } = await this.#walk((page - 1) * PAGE_SIZE);
    return {
      name: 'page 10,000',
      ours: () => this.portal.users.getUsersPage({ limit: PAGE_SIZE, after: cursor }),
      byHand: () => this.floor.ask(PAGE, [lastId, PAGE_SIZE + 1]),
    };
  }

  update(): Operation {
    let serial = 0;
    const next = () => ({ id: shape.userId(this.user()), metadata: { seen: (serial += 1) } });
    return {
      name: 'update',
      ours: () => {
        const { id, metadata } = next();
        return this.portal.users.updateUser(id, { metadata });
      },
      byHand: () => {
        const { id, metadata } = next();
        return this.floor.ask(UPDATE, [id, JSON.stringify(metadata)]);
      },
    };
  }

  /** Gives each role each of the spare permissions in turn, and then takes them away again. */
  roleChange(): Operation {
    const next = (serial: number): { role: string; permission: string; adds: boolean } => {
      const round = Math.floor(serial / shape.SHARED_ROLES);
      return {
        role: shape.sharedRoleId(serial % shape.SHARED_ROLES),
        permission: shape.spareName(round % shape.SPARE_PERMISSIONS),
        adds: Math.floor(round / shape.SPARE_PERMISSIONS) % 2 === 0,
      };
    };
    // Both sides change the same roles, so each counts for both.
    let serial = 0;
    const { roles } = this.portal;
    return {
      name: 'role change',
      ours: () => {
        const { role, permission, adds } = next(serial++);
        return adds ? roles.addRolePermissions(role, [permission]) : roles.removeRolePermissions(role, [permission]);
      },
      byHand: () => {
        const { role, permission, adds } = next(serial++);
        return this.floor.inTransaction(async (client) => {
          await this.floor.ask(COUNT_ROLE, [role], client);
          await this.floor.ask(adds ? ADD_PERMISSION : REMOVE_PERMISSION, [role, permission], client);
        });
      },
    };
  }

  async create(): Promise<Operation> {
    const password = await this.portal.passwords.hash('correct horse battery staple');
    const user = (): NewPortalUser & PortalUser => ({
      ...freshLogin(),
      tenantId: shape.tenantId(this.user() % this.of.tenants),
      roleId: shape.sharedRoleId(this.user() % shape.SHARED_ROLES),
      password,
      passwordHash: password.phc,
    });
    return {
      name: 'create',
      ours: () => this.portal.createInOneCall(user()),
      byHand: () => this.floor.createPortalUser(user()),
    };
  }

  remove(): Operation {
    /** Beyond every phone number and email of a creation. */
    let last = 50_000_000;
    const spare: number[] = [];
    const next = (): string => {
      const user = spare.pop();
      if (user === undefined) throw new Error('A round has deleted every user that was made for it');
      return shape.userId(user);
    };
    return {
      name: 'delete',
      prepare: async () => {
        const first = last + 1;
        last += Math.max(0, this.reserve - spare.length);
        if (last < first) return;
        await addUsers(this.url, this.of, first, last);
        for (let user = first; user <= last; user += 1) spare.push(user);
      },
      isUsedUp: () => spare.length === 0,
      ours: () => this.portal.users.deleteUser(next()),
      byHand: () => this.floor.ask(DELETE, [next()]),
    };
  }

  /** Where so many rows have been passed. The cursor fits pages of any size. */
  async #walk(rows: number): Promise<{ cursor: string; lastId: string }> {
    let at: { cursor: string | null; lastId: string } = { cursor: null, lastId: NIL_UUID };
    for (let left = rows; left > 0; left -= STRIDE) {
      const limit = Math.min(STRIDE, left);
      const options: GetUsersOptions = { limit, ...(at.cursor === null ? {} : { after: at.cursor }) };
      const { items, nextCursor } = await this.portal.users.getUsersPage(options);
      at = { cursor: nextCursor, lastId: items.at(-1)?.id ?? '' };
    }
    if (at.cursor === null) throw new Error(`The list has no ${rows} rows`);
    return { cursor: at.cursor, lastId: at.lastId };
  }
}

function byHand(name: string, text: string): Handwritten {
  return { name, text };
}
