import type { NestAuthErrorCode } from '../errors/nest-auth.error.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import type { LifecycleState } from './lifecycle.types.js';

/** Everything that moves a user, or is decided by where the user stands. */
export type LifecycleCommand =
  | 'activate'
  | 'reactivate'
  | 'deactivate'
  | 'deactivatePending'
  | 'deactivateActive'
  | 'disable'
  | 'disableDeactivated'
  | 'softDelete'
  | 'restore'
  | 'schedule'
  | 'cancel'
  | 'delete'
  | 'setLegalHold'
  | 'releaseLegalHold'
  | 'recordLogin';

/** Where a command leads from a state, or why it leads nowhere. */
export type Edge = LifecycleState | 'deleted' | NestAuthErrorCode;

export interface Transition {
  readonly event: (typeof NestAuthEvents)[keyof typeof NestAuthEvents];
  readonly edges: Readonly<Record<LifecycleState, Edge>>;
  /** The user must be on hold, or must not be; else the code of the refusal. */
  readonly hold?: { readonly must: boolean; readonly else: NestAuthErrorCode };
  /** A period that must be over, from a moment on; else the code of the refusal. */
  readonly grace?: Grace;
}

interface Grace {
  readonly of: 'pendingDays' | 'inactiveMonths' | 'disableMonths';
  readonly unit: 'days' | 'months';
  /** SQL over the user's row `u`. */
  readonly since: string;
  readonly else: NestAuthErrorCode;
}

const SCHEDULED = 'USER_SCHEDULED_FOR_DELETION';
const GONE = { soft_deleted: 'USER_SOFT_DELETED', scheduled_deletion: SCHEDULED } as const;
const NO_HOLD = { must: false, else: 'USER_ON_LEGAL_HOLD' } as const;

/** The whole life of a user: every command from every state. */
export const TRANSITIONS: Readonly<Record<LifecycleCommand, Transition>> = {
  activate: {
    event: NestAuthEvents.USER_ACTIVATED,
    edges: {
      pending: 'active',
      active: 'USER_ALREADY_ACTIVE',
      inactive: 'USER_NOT_PENDING',
      disabled: 'USER_DISABLED',
      ...GONE,
    },
  },
  reactivate: {
    event: NestAuthEvents.USER_REACTIVATED,
    edges: {
      pending: 'USER_NOT_INACTIVE',
      active: 'USER_ALREADY_ACTIVE',
      inactive: 'active',
      disabled: 'USER_DISABLED',
      ...GONE,
    },
  },
  deactivate: {
    event: NestAuthEvents.USER_DEACTIVATED,
    edges: {
      pending: 'USER_NOT_ACTIVE',
      active: 'inactive',
      inactive: 'USER_ALREADY_INACTIVE',
      disabled: 'USER_DISABLED',
      ...GONE,
    },
  },
  deactivatePending: {
    event: NestAuthEvents.USER_DEACTIVATED,
    edges: {
      pending: 'inactive',
      active: 'USER_NOT_PENDING',
      inactive: 'USER_ALREADY_INACTIVE',
      disabled: 'USER_DISABLED',
      ...GONE,
    },
    grace: { of: 'pendingDays', unit: 'days', since: 'u.created_at', else: 'GRACE_PERIOD_NOT_OVER' },
  },
  deactivateActive: {
    event: NestAuthEvents.USER_DEACTIVATED,
    edges: {
      pending: 'USER_NOT_ACTIVE',
      active: 'inactive',
      inactive: 'USER_ALREADY_INACTIVE',
      disabled: 'USER_DISABLED',
      ...GONE,
    },
    grace: {
      of: 'inactiveMonths',
      unit: 'months',
      since: 'greatest(u.last_login_at, u.activated_at)',
      else: 'USER_STILL_ACTIVE',
    },
  },
  disable: {
    event: NestAuthEvents.USER_DISABLED,
    edges: {
      pending: 'disabled',
      active: 'disabled',
      inactive: 'disabled',
      disabled: 'USER_ALREADY_DISABLED',
      ...GONE,
    },
  },
  disableDeactivated: {
    event: NestAuthEvents.USER_DISABLED,
    edges: {
      pending: 'USER_NOT_INACTIVE',
      active: 'USER_NOT_INACTIVE',
      inactive: 'disabled',
      disabled: 'USER_ALREADY_DISABLED',
      ...GONE,
    },
    grace: { of: 'disableMonths', unit: 'months', since: 'u.deactivated_at', else: 'GRACE_PERIOD_NOT_OVER' },
  },
  softDelete: {
    event: NestAuthEvents.USER_SOFT_DELETED,
    edges: {
      pending: 'USER_NOT_DISABLED',
      active: 'USER_NOT_DISABLED',
      inactive: 'USER_NOT_DISABLED',
      disabled: 'soft_deleted',
      ...GONE,
    },
    hold: NO_HOLD,
  },
  restore: {
    event: NestAuthEvents.USER_RESTORED,
    edges: {
      pending: 'USER_NOT_SOFT_DELETED',
      active: 'USER_NOT_SOFT_DELETED',
      inactive: 'USER_NOT_SOFT_DELETED',
      disabled: 'USER_NOT_SOFT_DELETED',
      soft_deleted: 'disabled',
      scheduled_deletion: SCHEDULED,
    },
  },
  schedule: {
    event: NestAuthEvents.USER_DELETION_SCHEDULED,
    edges: {
      pending: 'USER_NOT_SOFT_DELETED',
      active: 'USER_NOT_SOFT_DELETED',
      inactive: 'USER_NOT_SOFT_DELETED',
      disabled: 'USER_NOT_SOFT_DELETED',
      soft_deleted: 'scheduled_deletion',
      scheduled_deletion: SCHEDULED,
    },
    hold: NO_HOLD,
  },
  cancel: {
    event: NestAuthEvents.USER_DELETION_CANCELED,
    edges: {
      pending: 'USER_NOT_SCHEDULED_FOR_DELETION',
      active: 'USER_NOT_SCHEDULED_FOR_DELETION',
      inactive: 'USER_NOT_SCHEDULED_FOR_DELETION',
      disabled: 'USER_NOT_SCHEDULED_FOR_DELETION',
      soft_deleted: 'USER_NOT_SCHEDULED_FOR_DELETION',
      scheduled_deletion: 'soft_deleted',
    },
  },
  // Whoever was soft-deleted was promised a way back for a while: only the schedule ends that.
  delete: {
    event: NestAuthEvents.USER_DELETED,
    edges: {
      pending: 'USER_NOT_DISABLED',
      active: 'USER_NOT_DISABLED',
      inactive: 'USER_NOT_DISABLED',
      disabled: 'deleted',
      soft_deleted: 'USER_NOT_SCHEDULED_FOR_DELETION',
      scheduled_deletion: 'deleted',
    },
    hold: NO_HOLD,
  },
  setLegalHold: {
    event: NestAuthEvents.USER_LEGAL_HOLD_SET,
    edges: everywhere(),
    hold: NO_HOLD,
  },
  releaseLegalHold: {
    event: NestAuthEvents.USER_LEGAL_HOLD_RELEASED,
    edges: everywhere(),
    hold: { must: true, else: 'USER_NOT_ON_LEGAL_HOLD' },
  },
  recordLogin: {
    event: NestAuthEvents.USER_LOGGED_IN,
    edges: {
      pending: 'USER_NOT_ACTIVE',
      active: 'active',
      inactive: 'USER_NOT_ACTIVE',
      disabled: 'USER_DISABLED',
      ...GONE,
    },
  },
};

function everywhere(): Record<LifecycleState, LifecycleState> {
  const states = ['pending', 'active', 'inactive', 'disabled', 'soft_deleted', 'scheduled_deletion'] as const;
  return Object.fromEntries(states.map((state) => [state, state])) as Record<LifecycleState, LifecycleState>;
}

/** Codes are written in capitals, states are not. */
export function isRefusal(edge: Edge): edge is NestAuthErrorCode {
  return edge === edge.toUpperCase();
}

/** Whether the command may take somebody out of the `ACTIVE` state. */
export function leavesActive(command: LifecycleCommand): boolean {
  const edge = TRANSITIONS[command].edges.active;
  return !isRefusal(edge) && edge !== 'active';
}
