import type { Socket } from 'node:net';
import type { Client, Notification } from 'pg';
import { v4 as uuidv4 } from 'uuid';
import type { News } from './stale-bound.js';

/** The channel of the triggers; a notification is a tag. */
const CHANNEL = 'nest_auth_revoked';
/** What this process sends itself to see that it is heard. */
const ECHO = 'echo:';
/** Says nothing; the answer proves that all that was told before has arrived. */
const HEARTBEAT = `select 'nest_auth_heartbeat'`;

/** Whether there is anybody to tell: on a cluster the triggers are gone, and with an older schema not there yet. */
const TELLS = `select exists (select 1 from pg_trigger where tgrelid = to_regclass('nest_auth_users')
  and tgname = 'nest_auth_users_revoked_update' and tgenabled in ('O', 'A')) as tells`;

/** Milliseconds until a new connection has to stand, and until a heartbeat that nobody answered ends one. */
const PATIENCE_MS = 5_000;
const GOODBYE_MS = 500;
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5_000;

export interface ListenerGround {
  /** Makes an unconnected client of `pg` with the settings of the DataSource. A host has no types of the driver to name it by. */
  connect(): object;
  /** Notifies over another connection. */
  notify(channel: string, payload: string): Promise<unknown>;
  report(message: string, error: unknown): void;
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
}

export interface ListenerEvents {
  told(tag: string): void;
  /** Something may have been told that nobody heard. */
  missed(): void;
}

/**
 * Hears what other processes change, on a connection outside of the pool.
 *
 * It counts as listening only where there are triggers that tell, and after it has heard itself over another
 * connection: a pooler in between may take LISTEN and deliver nothing. Heartbeats on the same connection then prove that it still works. When one is overdue what was
 * read before is no longer trusted, and after some seconds the connection is given up and made anew.
 */
export class RevocationListener implements News {
  listeningSince: number | undefined;
  provenAt = 0;
  #events: ListenerEvents | undefined;
  #client: Client | undefined;
  #timer: NodeJS.Timeout | undefined;
  #patience: NodeJS.Timeout | undefined;
  #echo: { readonly payload: string; readonly heard: () => void } | undefined;
  #failures = 0;
  #isStopped = true;

  constructor(
    private readonly ground: ListenerGround,
    private readonly maxStaleMs: number,
  ) {}

  start(events: ListenerEvents): void {
    this.#events = events;
    this.#isStopped = false;
    void this.#listen();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    const client = this.#client;
    this.#forget();
    if (client === undefined) return;
    // Saying goodbye to a network that is silent would take for ever.
    const silent = setTimeout(() => cut(client), GOODBYE_MS);
    await client.end().catch(() => undefined);
    clearTimeout(silent);
  }

  async #listen(): Promise<void> {
    const client = this.ground.connect() as Client;
    this.#client = client;
    const lost = (error: unknown): void => this.#lost(client, error);
    client.on('notification', (notification) => this.#heard(client, notification));
    client.on('error', lost);
    client.on('end', () => lost(new Error('the connection has ended')));
    this.#expect(client, 'a connection that delivers');
    try {
      await client.connect();
      await client.query(`LISTEN ${CHANNEL}`);
      const { rows } = await client.query<{ tells: boolean }>(TELLS);
      if (rows[0]?.tells !== true) throw new Error('the triggers of nest_auth_revoked are missing or disabled');
      await this.#hearItself();
      if (this.#client !== client) return;
      clearTimeout(this.#patience);
      this.listeningSince = this.provenAt = this.ground.now();
      this.#failures = 0;
      this.#beatLater(client, this.listeningSince);
    } catch (error) {
      lost(error);
    }
  }

  async #hearItself(): Promise<void> {
    const payload = `${ECHO}${uuidv4()}`;
    const heard = new Promise<void>((resolve) => (this.#echo = { payload, heard: resolve }));
    await this.ground.notify(CHANNEL, payload);
    await heard;
    this.#echo = undefined;
  }

  #heard(client: Client, { channel, payload = '' }: Notification): void {
    if (channel !== CHANNEL || this.#client !== client) return;
    if (!payload.startsWith(ECHO)) this.#events?.told(payload);
    else if (payload === this.#echo?.payload) this.#echo.heard();
  }

  /** Three in the time for which one is good. */
  #beatLater(client: Client, sentAt: number): void {
    const dueIn = sentAt + this.maxStaleMs / 3 - this.ground.now();
    this.#timer = setTimeout(() => void this.#beat(client), Math.max(0, dueIn));
  }

  async #beat(client: Client): Promise<void> {
    const sentAt = this.ground.now();
    this.#expect(client, 'the answer to a heartbeat');
    try {
      await client.query(HEARTBEAT);
      if (this.#client !== client) return;
      clearTimeout(this.#patience);
      this.provenAt = sentAt;
      this.#beatLater(client, sentAt);
    } catch (error) {
      this.#lost(client, error);
    }
  }

  #expect(client: Client, what: string): void {
    this.#patience = setTimeout(() => this.#lost(client, new Error(`${what} did not come`)), PATIENCE_MS);
  }

  /** Once a client. */
  #lost(client: Client, error: unknown): void {
    if (this.#client !== client || this.#isStopped) return;
    this.#forget();
    this.#events?.missed();
    // A silent one is cut, or it would be waited for.
    cut(client);
    if (this.#failures === 0) {
      const message = `LISTEN does not work at the moment; what other processes take away is seen after ${this.maxStaleMs} ms`;
      this.ground.report(message, error);
    }
    const waitMs = Math.min(FIRST_RETRY_MS * 2 ** this.#failures, LAST_RETRY_MS);
    this.#failures += 1;
    this.#timer = setTimeout(() => void this.#listen(), waitMs);
  }

  #forget(): void {
    this.#client = undefined;
    this.#echo = undefined;
    this.listeningSince = undefined;
    clearTimeout(this.#timer);
    clearTimeout(this.#patience);
  }
}

function cut(client: Client): void {
  (client as unknown as { connection: { stream: Socket } }).connection.stream.destroy();
}
