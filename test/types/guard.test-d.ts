import { expectTypeOf } from 'expect-type';
import {
  type AccessGate,
  type AccessRequirement,
  type AuthPrincipal,
  type PermissionName,
  Permissions,
  PlatformOnly,
  Public,
  type RoleName,
  Roles,
  ServiceOnly,
} from 'nest-auth-identity';
import type { NameIn, NestAuthNames } from '../../src/guard/names.types.js';

declare const gate: AccessGate;
declare const principal: AuthPrincipal;

// Merged into for the whole program, the names of one host would be those of all files here: so it is done by hand. The
// snippets of docs/guards.md are checked with names merged in.
interface Names {
  permissions: 'invoices.read' | 'invoices.pay';
}
expectTypeOf<NameIn<Names, 'permissions'>>().toEqualTypeOf<'invoices.read' | 'invoices.pay'>();
expectTypeOf<NameIn<Names, 'roles'>>().toEqualTypeOf<string>();
expectTypeOf<PermissionName>().toEqualTypeOf<NameIn<NestAuthNames, 'permissions'>>();
expectTypeOf<RoleName>().toEqualTypeOf<NameIn<NestAuthNames, 'roles'>>();
Permissions('invoices.read', 'invoices.pay');
Permissions({ any: ['invoices.read'] });
Roles('clerk', 'manager');
ServiceOnly('billing');
ServiceOnly();

// What asks for nothing would let everybody in.
// @ts-expect-error names no role
Roles();
// @ts-expect-error names no permission
Permissions();
// @ts-expect-error names none of several
Permissions({ any: [] });
expectTypeOf<{ permissions: [] }>().not.toExtend<AccessRequirement>();
// @ts-expect-error is no field of a requirement
void gate.assert(principal, { permission: 'invoices.read' });
void gate.assert(principal, { permissions: ['invoices.read'], platform: true });

// On a class as on a method.
expectTypeOf(Public()).toExtend<ClassDecorator & MethodDecorator>();
expectTypeOf(PlatformOnly()).toExtend<ClassDecorator & MethodDecorator>();
expectTypeOf(gate.authenticate('')).resolves.toEqualTypeOf<AuthPrincipal>();
