/**
 * What the compiler knows of the host's names: empty, so that every string is one. A host narrows them by merging:
 *
 * ```ts
 * declare module 'nest-auth-identity' {
 *   interface NestAuthNames {
 *     permissions: 'invoice.read' | 'invoice.pay';
 *     roles: 'clerk' | 'manager';
 *     services: 'billing';
 *   }
 * }
 * ```
 */
// It must be an interface, and empty: only that can be merged into.
export interface NestAuthNames {}

/** Those that `Names` has under the key; every string where it has none. */
export type NameIn<Names, Key extends string> =
  Names extends Readonly<Record<Key, infer Name extends string>> ? Name : string;

export type PermissionName = NameIn<NestAuthNames, 'permissions'>;
export type RoleName = NameIn<NestAuthNames, 'roles'>;
export type ServiceName = NameIn<NestAuthNames, 'services'>;

/** At least one: a check that asks for nothing would be passed by everybody. */
export type OneOrMore<Name> = readonly [Name, ...Name[]];
