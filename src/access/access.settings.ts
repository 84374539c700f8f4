import { RoleGuardEnum } from './access.types.js';

/** What an application has configured about access. */
export class AccessSettings {
  /** The namespaces of roles and permissions; those that every application has come first. */
  readonly guards: readonly string[];

  constructor(guards: readonly string[] = []) {
    this.guards = [...new Set<string>([RoleGuardEnum.ADMIN, RoleGuardEnum.PORTAL, ...guards])];
  }
}
