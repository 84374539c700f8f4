import { mark } from './access-marks.js';
import type { PermissionName, RoleName, ServiceName } from './names.types.js';

type Mark = ClassDecorator & MethodDecorator;

/**
 * Lets everybody in, without asking who it is: the only way around signing in. On a method or a class.
 *
 * Beside a decorator that asks for something, also one of the class, the application does not start.
 */
export function Public(): Mark {
  return mark({ kind: 'public' });
}

/**
 * Lets in whoever has one of these roles of the system: in the tenant of the session, or with `@PlatformOnly` on the
 * platform. A tenant's own role of the same name is another, and lets nobody in.
 *
 * Several decorators add up, those of the class and of its base class too. A role that does not exist keeps the
 * application from starting.
 */
export function Roles(...names: readonly [RoleName, ...RoleName[]]): Mark {
  return mark({ kind: 'roles', names });
}

/**
 * Lets in whoever has all of these permissions, or with `{ any: […] }` one of them: in the tenant of the session, or
 * with `@PlatformOnly` on the platform, or for `@ServiceOnly` those of the service. Otherwise as {@link Roles}.
 */
export function Permissions(...names: readonly [PermissionName, ...PermissionName[]]): Mark;
export function Permissions(names: { readonly any: readonly [PermissionName, ...PermissionName[]] }): Mark;
export function Permissions(...given: readonly (PermissionName | { readonly any: readonly PermissionName[] })[]): Mark {
  const [first] = given;
  return typeof first === 'object' && first !== null
    ? mark({ kind: 'anyPermission', names: first.any })
    : mark({ kind: 'permissions', names: given as readonly PermissionName[] });
}

/** Lets in whoever has active access to the platform, with a role there. No role of a tenant ever does. */
export function PlatformOnly(): Mark {
  return mark({ kind: 'platform' });
}

/** Lets in other programs and no person: those that are named, or all of `guard.services`. */
export function ServiceOnly(...names: readonly ServiceName[]): Mark {
  return mark({ kind: 'service', names });
}

/**
 * Lets in nobody by an API key, also where a permission is asked for: for what a person decides, such as a password, a
 * second factor or a key. Has no use without `guard.apiKeys`.
 */
export function SessionOnly(): Mark {
  return mark({ kind: 'session' });
}

/**
 * Lets in API keys although no permission is asked for, whatever their scopes: for what anybody who is known may do, or
 * what the handler judges itself by `@CurrentAccess`. Has no use without `guard.apiKeys`.
 */
export function AllowApiKeys(): Mark {
  return mark({ kind: 'apiKeys' });
}
