import type { Client, Notification } from 'pg';

/** The channel; a notification says nothing but that there may be something to read. */
const CHANNEL = 'nest_auth_feed';

/** Notifications a second at most: each takes a lock in the database that all commits with one share. */
const QUIET_MS = 100;

export interface BridgeGround {
  /** Makes an unconnected client with the settings of the DataSource. */
  connect(): Client;
  notify(channel: string): Promise<unknown>;
  report(message: string, error: unknown): void;
}

/**
 * Rings in other processes when this one has committed something, and here when another one has.
 *
 * Only a hint: whatever fails here is reported, and the workers find the events when they next look.
 */
export class NotifyBridge {
  #client: Client | undefined;
  #quiet: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  #isStopped = true;

  constructor(
    private readonly ground: BridgeGround,
    private readonly retryMs: number,
  ) {}

  start(ring: () => void): void {
    this.#isStopped = false;
    void this.#listen(ring);
  }

  /** Tells the others; what follows within a moment is told with it. */
  tell(): void {
    if (this.#isStopped) return;
    this.#quiet ??= setTimeout(() => {
      this.#quiet = undefined;
      this.ground.notify(CHANNEL).catch((error: unknown) => this.#report(error));
    }, QUIET_MS);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#quiet);
    clearTimeout(this.#retry);
    await this.#client?.end().catch(() => undefined);
  }

  async #listen(ring: () => void): Promise<void> {
    const client = this.ground.connect();
    const again = (error: unknown): void => {
      if (this.#client !== client || this.#isStopped) return;
      this.#client = undefined;
      this.#report(error);
      this.#retry = setTimeout(() => void this.#listen(ring), this.retryMs);
    };
    this.#client = client;
    client.on('notification', ({ channel }: Notification) => channel === CHANNEL && ring());
    client.on('error', again);
    client.on('end', () => again(new Error('the connection has ended')));
    try {
      await client.connect();
      await client.query(`LISTEN ${CHANNEL}`);
      // What was told while nobody listened.
      ring();
    } catch (error) {
      again(error);
      await client.end().catch(() => undefined);
    }
  }

  #report(error: unknown): void {
    this.ground.report('LISTEN/NOTIFY does not work at the moment; events are found by polling', error);
  }
}
