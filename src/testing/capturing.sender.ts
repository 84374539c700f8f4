import type {
  Notification,
  NotificationKind,
  NotificationOf,
  NotificationSender,
} from '../delivery/notification.types.js';

export interface WaitForOptions {
  /** Only a message to this address. */
  readonly to?: string;
  /** @default 10000 */
  readonly timeoutMs?: number;
}

interface Waiting {
  readonly wants: (notification: Notification) => boolean;
  readonly take: (notification: Notification) => void;
}

/**
 * Keeps messages instead of sending them, for tests: `delivery: { sender: new CapturingSender(), … }`. They hold tokens
 * and codes, so it writes them nowhere.
 */
export class CapturingSender implements NotificationSender {
  readonly #sent: Notification[] = [];
  readonly #taken = new Set<Notification>();
  readonly #waiting = new Set<Waiting>();

  /** Every message, oldest first; a repeated one once. */
  get sent(): readonly Notification[] {
    return [...this.#sent];
  }

  async send(notification: Notification): Promise<void> {
    if (this.#sent.some(({ id }) => id === notification.id)) return;
    this.#sent.push(notification);
    for (const waiting of this.#waiting) if (waiting.wants(notification)) return waiting.take(notification);
  }

  /** The oldest message of a kind that no call before has answered; waits until there is one. */
  async waitFor<Kind extends NotificationKind>(
    kind: Kind,
    { to, timeoutMs = 10_000 }: WaitForOptions = {},
  ): Promise<NotificationOf<Kind>> {
    const wants = (one: Notification): boolean =>
      !this.#taken.has(one) && one.kind === kind && (to === undefined || one.to === to);
    const found =
      this.#sent.find(wants) ?? (await this.#next(wants, `${kind}${to === undefined ? '' : ` to ${to}`}`, timeoutMs));
    this.#taken.add(found);
    return found as NotificationOf<Kind>;
  }

  /** Forgets every message. */
  clear(): void {
    this.#sent.length = 0;
    this.#taken.clear();
  }

  #next(wants: Waiting['wants'], what: string, timeoutMs: number): Promise<Notification> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(waiting);
      };
      const timer = setTimeout(() => {
        end();
        const others = this.#sent.map(({ kind, to }) => `${kind} to ${to}`).join(', ') || 'nothing';
        reject(new Error(`No message came: ${what}. What came: ${others}`));
      }, timeoutMs);
      const waiting: Waiting = {
        wants,
        take: (notification) => {
          end();
          this.#taken.add(notification);
          resolve(notification);
        },
      };
      this.#waiting.add(waiting);
    });
  }
}
