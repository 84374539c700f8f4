import { RoleGuardEnum } from './access.types.js';

/** Whether a user who acts may give only what the user holds. */
export const DELEGATIONS = ['enforced', 'off'] as const;
export type DelegationMode = (typeof DELEGATIONS)[number];

/** What an application has configured about access. */
export class AccessSettings {
  /** The namespaces of roles and permissions; those that every application has come first. */
  readonly guards: readonly string[];

  constructor(
    guards: readonly string[] = [],
    readonly delegation: DelegationMode = 'enforced',
  ) {
    this.guards = [...new Set<string>([RoleGuardEnum.ADMIN, RoleGuardEnum.PORTAL, ...guards])];
  }
}
