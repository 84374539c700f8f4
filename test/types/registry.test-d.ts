import { expectTypeOf } from 'expect-type';
import { definePermissions, type PermissionOf, type PermissionRegistry, type RoleOf } from 'nest-auth-identity';

const registry = definePermissions({
  guard: 'portal',
  permissions: { 'invoice.read': { description: 'See invoices' }, 'invoice.pay': {} },
  roles: {
    clerk: { permissions: ['invoice.read'] },
    manager: { permissions: ['invoice.pay'], inherits: ['clerk'], isOwner: true },
  },
});

// The names are literal types, which the names of decorators can be taken from.
expectTypeOf<PermissionOf<typeof registry>>().toEqualTypeOf<'invoice.read' | 'invoice.pay'>();
expectTypeOf<RoleOf<typeof registry>>().toEqualTypeOf<'clerk' | 'manager'>();
expectTypeOf(registry).toExtend<PermissionRegistry>();

const bare = definePermissions({ permissions: { a: {} } });
expectTypeOf<PermissionOf<typeof bare>>().toEqualTypeOf<'a'>();
expectTypeOf<RoleOf<typeof bare>>().toEqualTypeOf<never>();

definePermissions({
  permissions: { 'invoice.read': {} },
  // @ts-expect-error a role that names a permission which is not declared
  roles: { clerk: { permissions: ['invoice.raed'] } },
});
definePermissions({
  permissions: { 'invoice.read': {} },
  // @ts-expect-error a role that inherits from one which is not declared
  roles: { clerk: { inherits: ['nobody'] } },
});
definePermissions({
  // @ts-expect-error a field that permissions do not have
  permissions: { 'invoice.read': { descriptoin: 'See invoices' } },
});
