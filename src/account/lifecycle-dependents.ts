import type { EntityManager } from 'typeorm';
import { NestAuthError } from '../errors/nest-auth.error.js';

/** Something that only an active user has: sessions, tokens, keys, invitations. */
export interface LifecycleDependent {
  /** Unique among all; for messages. */
  readonly name: string;
  /**
   * Ends it for these users, in the transaction in which they leave the `ACTIVE` state: a few statements for all of
   * them, on `manager` and nothing else. A throw undoes the transition. Called again for the same users it does nothing.
   */
  end(manager: EntityManager, userIds: readonly string[]): Promise<void>;
}

/**
 * What ends when a user leaves the `ACTIVE` state. Rooms and hosts register it; the lifecycle knows none of them.
 *
 * Without any, a transition is one statement; with some, a transaction.
 */
export class LifecycleDependents {
  readonly #registered = new Map<string, LifecycleDependent>();

  get any(): boolean {
    return this.#registered.size > 0;
  }

  /**
   * Adds one, at the start of the application.
   *
   * @returns takes it away again
   * @throws `INVALID_OPTIONS` when the name is taken.
   */
  register(dependent: LifecycleDependent): () => void {
    if (this.#registered.has(dependent.name)) {
      throw new NestAuthError('INVALID_OPTIONS', `Two lifecycle dependents are called ${dependent.name}`, {
        details: { option: dependent.name },
      });
    }
    this.#registered.set(dependent.name, dependent);
    return () => void this.#registered.delete(dependent.name);
  }

  /** Ends everything registered, one after another: they share a connection. */
  async end(manager: EntityManager, userIds: readonly string[]): Promise<void> {
    if (userIds.length === 0) return;
    for (const dependent of this.#registered.values()) await dependent.end(manager, userIds);
  }
}
