import type { EntityManager } from 'typeorm';

/** Something that only an active member of a tenant has there, such as a session in it. */
export interface AccessDependent {
  /** Unique among all. */
  readonly name: string;
  /** Ends it, on `manager` and nothing else, in the transaction in which the access ends or is suspended. */
  end(manager: EntityManager, userId: string, tenantId: string): Promise<void>;
}

/** What ends with an access. Rooms register it; this one knows none of them. Without any, it ends by one statement. */
export class AccessDependents {
  readonly #registered = new Map<string, AccessDependent>();

  get any(): boolean {
    return this.#registered.size > 0;
  }

  register(dependent: AccessDependent): void {
    this.#registered.set(dependent.name, dependent);
  }

  /** One after another: they share a connection. */
  async end(manager: EntityManager, userId: string, tenantId: string): Promise<void> {
    for (const dependent of this.#registered.values()) await dependent.end(manager, userId, tenantId);
  }
}
