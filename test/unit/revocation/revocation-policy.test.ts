import { describe, expect, it } from '@jest/globals';

import {
  PermissionUpdatedEvent,
  PlatformAccessChangedEvent,
  RoleDeletedEvent,
  SessionsRevokedEvent,
  TenantDeletedEvent,
  UserAccessDeletedEvent,
  UserDeletedEvent,
  UserLoggedInEvent,
} from '../../../src/index.js';
import { tagOfEvent } from '../../../src/revocation/revocation.policy.js';

const A = '0190A000-0000-7000-8000-00000000000A';
const B = '0190B000-0000-7000-8000-00000000000B';
const user = { id: A } as UserDeletedEvent['user'];
const nothing = { added: [], removed: [] } as unknown as PlatformAccessChangedEvent['roles'];

describe('what an event takes away', () => {
  it.each([
    [new UserDeletedEvent(user), 'user:0190a000-0000-7000-8000-00000000000a'],
    [new SessionsRevokedEvent(A, [B], 'revoked'), 'sessions:0190a000-0000-7000-8000-00000000000a'],
    [
      new UserAccessDeletedEvent(A, B),
      'access:0190a000-0000-7000-8000-00000000000a:0190b000-0000-7000-8000-00000000000b',
    ],
    [new PlatformAccessChangedEvent(A, nothing), 'access:0190a000-0000-7000-8000-00000000000a'],
    [new TenantDeletedEvent(B), 'tenant:0190b000-0000-7000-8000-00000000000b'],
    [new RoleDeletedEvent(B), 'role:0190b000-0000-7000-8000-00000000000b'],
    [new PermissionUpdatedEvent({ id: A } as PermissionUpdatedEvent['permission']), 'roles'],
    [new UserLoggedInEvent(user), null],
  ])('is told as the triggers tell it, whichever case the ids have: %#', (event, tag) => {
    expect(tagOfEvent(event)).toBe(tag);
  });
});
