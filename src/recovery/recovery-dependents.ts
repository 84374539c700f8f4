import type { EntityManager } from 'typeorm';

/** Something that was given to somebody under the old password, and does not end with it by itself. */
export interface RecoveryDependent {
  /** Ends it for the user, in the transaction of the reset. */
  end(manager: EntityManager, userId: string): Promise<void>;
}

/**
 * What ends when somebody comes back to an account by a password reset: whoever was in it until then may have made it.
 * Rooms register it; recovery knows none of them.
 */
export class RecoveryDependents {
  readonly #registered: RecoveryDependent[] = [];

  register(dependent: RecoveryDependent): void {
    this.#registered.push(dependent);
  }

  /** One after another: they share a connection. */
  async end(manager: EntityManager, userId: string): Promise<void> {
    for (const dependent of this.#registered) await dependent.end(manager, userId);
  }
}
