import { randomUUID } from 'node:crypto';
import { type Actor, IdentityContext, isNestAuthError } from 'nest-auth-identity';
import type { Client } from 'pg';
import { mark, paint, table } from './terminal.js';

/** Somebody who does something, by the name that the report uses. */
export interface Doer {
  readonly name: string;
  readonly actor: Actor;
  readonly ip?: string;
}

/** A step, and what must be true after it. */
export interface Step {
  readonly title: string;
  readonly by: Doer;
  /** Where the person stands afterwards; left out for a refusal, which changes nothing. */
  readonly state?: string;
  /** Type of the only activity that it leaves, without `nest_auth.`; or the code with which it is refused. */
  readonly leaves: string;
}

/** An activity of the person that the timeline must show. */
export interface Expected {
  readonly type: string;
  readonly by: Doer;
}

interface Stored {
  readonly state: string;
  readonly email: string | null;
  /** Of the AppUser. */
  readonly mirror: string | null;
  readonly logins: number;
}

interface Left {
  readonly type: string;
  readonly user_id: string;
  readonly actor_type: string;
  readonly actor_id: string | null;
  readonly ip: string | null;
}

const NOBODY: Stored = { state: 'gone', email: null, mirror: null, logins: 0 };
const WITHOUT_LOGINS = ['soft-deleted', 'scheduled', 'gone'];

/** Runs the steps of a life, each by its doer in a request of its own, and looks in the database after each. */
export class LifeRecord {
  readonly expected: Expected[] = [];
  refusals = 0;
  readonly #rows: string[][] = [];
  #personId = '';
  #before = NOBODY;
  #held = true;

  constructor(private readonly client: Client) {}

  /** Whether all that was looked at was as it must be. */
  get held(): boolean {
    return this.#held;
  }

  /** From now on it is this user that is looked at. */
  about(personId: string): void {
    this.#personId = personId;
  }

  /** Something that only happens to the database, such as time. */
  async meanwhile(title: string, sql: string): Promise<void> {
    await this.client.query(sql, [this.#personId]);
    this.#rows.push(['', paint('dim', title)]);
  }

  async step<T>({ title, by, state, leaves }: Step, call: () => Promise<T>): Promise<T> {
    const requestId = randomUUID();
    const activities = await this.#count();
    const facts = { actor: by.actor, requestId, ...(by.ip === undefined ? {} : { ip: by.ip }) };
    const { answer, code } = await attempt(() => IdentityContext.run(facts, call));
    const isRefusal = state === undefined;
    if (isRefusal) this.refusals += 1;
    if (isRefusal !== (code !== undefined)) this.#fail();

    const left = await this.#leftBy(requestId);
    const isWitnessed = isRefusal
      ? left.length === 0 && code === leaves
      : left.length === 1 && left.every((one) => isBy(one, by) && one.type === `nest_auth.${leaves}`);
    // The first step makes the person of whom it tells.
    if (this.#personId === '') this.about(left[0]?.user_id ?? '');
    const stored = await this.#read();
    const isAsExpected = isRefusal ? same(stored, this.#before) : stored.state === state && isConsistent(stored);
    const ok = isWitnessed && isAsExpected && (await this.#count()) - activities === left.length;
    if (!ok) this.#fail();
    for (const { user_id: id, type } of left) if (id === this.#personId) this.expected.push({ type, by });
    this.#before = stored;
    const what = code === undefined ? title : `${title} → ${paint('yellow', code)}`;
    this.#rows.push([mark(ok), what, by.name, stored.state, stored.email ?? '–', `+${left.length}`]);
    return answer as T;
  }

  show(): void {
    table(
      [
        { title: '', width: 1 },
        { title: 'step', width: 54 },
        { title: 'by', width: 4 },
        { title: 'in the database', width: 15 },
        { title: 'email', width: 15 },
        { title: 'log', width: 3, align: 'right' },
      ],
      this.#rows,
    );
  }

  #fail(): void {
    this.#held = false;
  }

  async #count(): Promise<number> {
    const sql = 'SELECT count(*)::int AS activities FROM nest_auth_activities WHERE user_id IS NOT NULL';
    const { rows } = await this.client.query<{ activities: number }>(sql);
    return rows[0]?.activities ?? Number.NaN;
  }

  async #leftBy(requestId: string): Promise<Left[]> {
    const sql = `SELECT type, user_id, actor_type, actor_id, host(ip) AS ip FROM nest_auth_activities WHERE request_id = $1`;
    return (await this.client.query<Left>(sql, [requestId])).rows;
  }

  async #read(): Promise<Stored> {
    const { rows } = await this.client.query<Stored>(STORED, [this.#personId]);
    return rows[0] ?? NOBODY;
  }
}

const STORED = `SELECT u.email, a.email AS mirror,
    CASE WHEN u.status = 'scheduled_deletion' THEN 'scheduled' WHEN u.deleted_at IS NOT NULL THEN 'soft-deleted'
      ELSE u.status END || CASE WHEN u.legal_hold_at IS NULL THEN '' ELSE ', held' END AS state,
    (SELECT count(*)::int FROM nest_auth_identities i WHERE i.user_id = u.id) AS logins
  FROM nest_auth_users u FULL JOIN app_users a ON a.auth_user_id = u.id WHERE coalesce(u.id, a.auth_user_id) = $1`;

/** The mirror says the same, and whoever cannot be found cannot sign in either. */
function isConsistent({ state, email, mirror, logins }: Stored): boolean {
  return email === mirror && logins === (WITHOUT_LOGINS.includes(state) ? 0 : 1);
}

function isBy({ actor_type: type, actor_id: id, ip }: Left, by: Doer): boolean {
  return type === by.actor.type && id === by.actor.id && ip === (by.ip ?? null);
}

const same = (one: Stored, other: Stored): boolean => JSON.stringify(one) === JSON.stringify(other);

/** The code of a refusal; what else goes wrong ends the demo. */
async function attempt<T>(call: () => Promise<T>): Promise<{ answer?: T; code?: string }> {
  try {
    return { answer: await call() };
  } catch (error) {
    if (!isNestAuthError(error)) throw error;
    return { code: error.code };
  }
}
