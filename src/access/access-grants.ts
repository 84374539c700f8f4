import { coveringNames } from './permission-names.policy.js';

/** What is known of an access that grants something. */
export interface GrantedFacts {
  readonly userId: string;
  /** Null for the platform. */
  readonly tenantId: string | null;
  /** Names of the active roles. */
  readonly roles: readonly string[];
  /** Names of the permissions that they grant, wildcards as they are. */
  readonly granted: readonly string[];
  /** Names of the permissions that are denied, whatever grants them. */
  readonly denied: readonly string[];
  /** When the first of all this runs out; null for never. */
  readonly validUntil: Date | null;
}

/** What somebody may do in one tenant, or on the platform, as it was when it was asked for. Never changes. */
export class AccessGrants {
  readonly userId: string;
  readonly tenantId: string | null;
  /** Names of the active roles, sorted. */
  readonly roles: readonly string[];
  readonly validUntil: Date | null;
  readonly #granted: ReadonlySet<string>;
  readonly #denied: ReadonlySet<string>;

  constructor(facts: GrantedFacts) {
    this.userId = facts.userId;
    this.tenantId = facts.tenantId;
    this.roles = Object.freeze([...new Set(facts.roles)].toSorted());
    this.validUntil = facts.validUntil;
    this.#granted = new Set(facts.granted);
    this.#denied = new Set(facts.denied);
  }

  /** Whether the permission is granted and not denied; false for anything unknown. */
  can(permission: string): boolean {
    const names = coveringNames(permission);
    return names.some((name) => this.#granted.has(name)) && !names.some((name) => this.#denied.has(name));
  }

  /** Whether all of them are granted. An empty list asks nothing, and gets no for an answer. */
  canAll(permissions: readonly string[]): boolean {
    return permissions.length > 0 && permissions.every((permission) => this.can(permission));
  }

  canAny(permissions: readonly string[]): boolean {
    return permissions.some((permission) => this.can(permission));
  }

  hasRole(name: string): boolean {
    return this.roles.includes(name);
  }
}
