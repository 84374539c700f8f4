import { setTimeout as sleep } from 'node:timers/promises';
import { withClient } from './database.js';
import { heading, mark, print } from './terminal.js';

const LOOK_MS = 20;
const PATIENCE_MS = 30_000;

const WAITING = `SELECT EXISTS (SELECT FROM nest_auth_activities a WHERE a.type = 'nest_auth.user.created'
  AND NOT EXISTS (SELECT FROM app_mails m WHERE m.event_id = a.id)) AS waiting`;

/** Waits until every user that was created has a welcome message. Too long, and it goes on: the report will tell. */
export async function untilWelcomed(url: string): Promise<void> {
  await withClient(url, async (client) => {
    for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await sleep(LOOK_MS)) {
      const { rows } = await client.query<{ waiting: boolean }>(WAITING);
      if (rows[0]?.waiting === false) return;
    }
  });
}

// Users and messages, not the log: the subscriber has read that.
const WELCOMED = `SELECT count(*)::int AS users, (SELECT count(*)::int FROM app_mails) AS messages,
    count(*) FILTER (WHERE (SELECT count(*) FROM app_mails m WHERE m.auth_user_id = u.id) = 1)::int AS once,
    (SELECT count(*)::int FROM app_mails m
      WHERE NOT EXISTS (SELECT FROM nest_auth_users u WHERE u.id = m.auth_user_id)) AS ghosts
  FROM nest_auth_users u`;

interface Welcomed {
  readonly users: number;
  readonly messages: number;
  readonly once: number;
  readonly ghosts: number;
}

/** To be called while nobody has been deleted yet. */
export async function showWelcomes(url: string): Promise<boolean> {
  heading('One welcome message each, by a durable subscriber');
  const started = performance.now();
  await untilWelcomed(url);
  const seconds = ((performance.now() - started) / 1_000).toFixed(1);
  const { rows } = await withClient(url, (client) => client.query<Welcomed>(WELCOMED));
  const { users, messages, once, ghosts } = rows[0] ?? { users: 0, messages: 0, once: 0, ghosts: 0 };
  const ok = users > 0 && once === users && messages === users && ghosts === 0;
  print(
    `${mark(once === users)} ${once} of ${users} users have exactly one message, ${seconds} s after the last of them`,
  );
  print(`${mark(ghosts === 0)} ${messages} messages, ${ghosts} of them to a ghost: a user that was rolled back`);
  return ok;
}
