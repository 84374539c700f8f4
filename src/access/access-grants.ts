import { coveringNames, prefixBelow } from './permission-names.policy.js';

/** What is known of an access that grants something. */
export interface GrantedFacts {
  readonly userId: string;
  /** Null for the platform. */
  readonly tenantId: string | null;
  /** Names of the active roles, inherited ones too. */
  readonly roles: readonly string[];
  /** Those of them that are of the system. @default none */
  readonly systemRoles?: readonly string[];
  /** Names of the permissions that they and the access itself grant, wildcards as they are. */
  readonly granted: readonly string[];
  /** Names of the permissions that are denied, whatever grants them. */
  readonly denied: readonly string[];
  /** When the first of all this runs out; null for never. */
  readonly validUntil: Date | null;
  /** As {@link AccessGrants.validForMs}. */
  readonly validForMs?: number | null;
  /** As {@link AccessGrants.roleIds}. */
  readonly roleIds?: readonly string[];
  /** Lists of permissions, and wildcards: beyond each of them nothing is granted. @default none */
  readonly scopes?: readonly (readonly string[])[];
}

/** What somebody may do in one tenant, or on the platform, as it was when it was asked for. Never changes. */
export class AccessGrants {
  readonly userId: string;
  readonly tenantId: string | null;
  /** Names of the active roles, sorted: those of the access, and those from which they inherit. */
  readonly roles: readonly string[];
  /** When something in it changes by itself, because it was granted or denied for a time; null for never. */
  readonly validUntil: Date | null;
  /** How long that was when it was read, in milliseconds by the clock of the database. @internal */
  readonly validForMs: number | null;
  /**
   * Ids of every role that took part: of the access or inherited, and the inactive ones that keep what they inherit from
   * it. A change of any other role changes nothing here. @internal
   */
  readonly roleIds: readonly string[];
  readonly #systemRoles: ReadonlySet<string>;
  readonly #granted: ReadonlySet<string>;
  readonly #denied: ReadonlySet<string>;
  readonly #scopes: readonly ReadonlySet<string>[];

  constructor(facts: GrantedFacts) {
    this.userId = facts.userId;
    this.tenantId = facts.tenantId;
    this.roles = Object.freeze([...new Set(facts.roles)].toSorted());
    this.validUntil = facts.validUntil;
    this.validForMs = facts.validForMs ?? null;
    this.roleIds = Object.freeze([...new Set(facts.roleIds)]);
    this.#systemRoles = new Set(facts.systemRoles);
    this.#granted = new Set(facts.granted);
    this.#denied = new Set(facts.denied);
    this.#scopes = facts.scopes?.map((names) => new Set(names)) ?? [];
  }

  /**
   * Whether the permission, or a wildcard above it, is granted, and neither it nor a wildcard above it is denied. Asked
   * for a wildcard: whether everything below is granted by one, and nothing below is denied.
   */
  can(permission: string): boolean {
    const names = coveringNames(permission);
    return (
      names.some((name) => this.#granted.has(name)) &&
      this.#scopes.every((scopes) => names.some((name) => scopes.has(name))) &&
      !this.#denies(names, prefixBelow(permission))
    );
  }

  /** What is left of it for a key: of the permissions those that its scopes cover, and no role. @internal */
  scopedTo(scopes: readonly string[]): AccessGrants {
    const { userId, tenantId, validUntil, validForMs } = this;
    const [granted, denied] = [[...this.#granted], [...this.#denied]];
    const bounds = [...this.#scopes.map((names) => [...names]), scopes];
    return new AccessGrants({ userId, tenantId, roles: [], granted, denied, validUntil, validForMs, scopes: bounds });
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

  /** Whether it is a role of the system: a tenant may call one of its own by the same name, and give it to anybody. */
  hasSystemRole(name: string): boolean {
    return this.#systemRoles.has(name);
  }

  #denies(names: readonly string[], below: string | null): boolean {
    if (this.#denied.size === 0) return false;
    if (names.some((name) => this.#denied.has(name))) return true;
    return below !== null && [...this.#denied].some((name) => name.startsWith(below));
  }
}
