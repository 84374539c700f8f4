import { setTimeout as sleep } from 'node:timers/promises';
import { type ActivityService, type SealHead, SealProblemEnum, type VerifyActivitiesResult } from 'nest-auth-identity';
import { type Client, DatabaseError } from 'pg';
import { heading, mark, paint, print } from './terminal.js';

const TRIGGER = 'nest_auth_activities_append_only';
const BLAME = `UPDATE nest_auth_activities SET actor_id = $2 WHERE user_id = $1 AND type = 'nest_auth.user.legal_hold_released'
  RETURNING (SELECT o.actor_id FROM nest_auth_activities o WHERE o.id = nest_auth_activities.id) AS actor_id`;

const LOOK_MS = 50;
const PATIENCE_MS = 20_000;
const COUNTS = `SELECT (SELECT count(*)::int FROM nest_auth_activities) AS written,
  (SELECT coalesce(sum(activities), 0)::int FROM nest_auth_activity_seals) AS sealed`;

interface Sealing {
  /** Of the activities that the owner of the tables will change. */
  readonly user: string;
  readonly headBefore: SealHead | null;
}

/** Seals the log, verifies it, changes an activity as only the owner of the tables can, and shows that it is noticed. */
export async function showSeals(
  activities: ActivityService,
  client: Client,
  { user, headBefore }: Sealing,
): Promise<boolean> {
  heading('Whether the log can be believed');
  const { head, activities: sealed } = await sealAll(activities, client);
  const verify = () => activities.verifyActivities(head === null ? {} : { expectedHead: head });
  const intact = await verify();
  const proofs = [
    say(sealed > 0 && head !== null, `${sealed} activities of this chapter sealed; the head is ${shorten(head)}`),
    say(holds(intact), `verifyActivities: intact, ${intact.activities} activities in ${intact.seals} seals`),
  ];
  const refused = await blame(client, user, 'somebody else').catch(codeOf);
  proofs.push(say(refused === '42501', `UPDATE of an activity: ${refused} insufficient_privilege, for its owner too`));

  await client.query(`ALTER TABLE nest_auth_activities DISABLE TRIGGER ${TRIGGER}`);
  try {
    const truth = await blame(client, user, 'somebody else');
    const { isIntact, problem } = await verify();
    const isNamed =
      !isIntact &&
      problem?.kind === SealProblemEnum.ACTIVITIES_CHANGED &&
      problem.position > (headBefore?.position ?? 0);
    print(paint('dim', 'The owner of the table disables the trigger and writes another name under one activity.'));
    const found = `${problem?.kind} in seal ${problem?.position}, ${problem?.month}`;
    proofs.push(say(isNamed, `verifyActivities: ${paint('yellow', found)}`));
    await blame(client, user, truth);
  } finally {
    await client.query(`ALTER TABLE nest_auth_activities ENABLE TRIGGER ${TRIGGER}`);
  }
  proofs.push(say(holds(await verify()), 'With the true name back, and the trigger: intact'));
  return proofs.every(Boolean);
}

/**
 * Seals all that there is. A call leaves out what a transaction that is still running, in any database of the server,
 * may come before.
 */
export async function sealAll(
  activities: ActivityService,
  client: Client,
): Promise<{ readonly head: SealHead | null; readonly activities: number }> {
  let sealed = 0;
  for (const end = performance.now() + PATIENCE_MS; ; await sleep(LOOK_MS)) {
    const { head, activities: added } = await activities.sealActivities();
    sealed += added;
    const { rows } = await client.query<Record<'written' | 'sealed', number>>(COUNTS);
    if (rows[0]?.written === rows[0]?.sealed || performance.now() > end) return { head, activities: sealed };
  }
}

/** Answers who was named until now. */
async function blame(client: Client, user: string, actorId: string): Promise<string> {
  const { rows } = await client.query<{ actor_id: string }>(BLAME, [user, actorId]);
  return rows[0]?.actor_id ?? '';
}

const holds = ({ isIntact, problem }: VerifyActivitiesResult): boolean => isIntact && problem === null;

function say(ok: boolean, claim: string): boolean {
  print(`${mark(ok)} ${claim}`);
  return ok;
}

function shorten(head: SealHead | null): string {
  return head === null ? 'missing' : `seal ${head.position}, ${head.hash.slice(0, 16)}…`;
}

function codeOf(error: unknown): string {
  if (error instanceof DatabaseError && error.code !== undefined) return error.code;
  throw error;
}
