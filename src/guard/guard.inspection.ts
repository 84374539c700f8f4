import type { OnApplicationBootstrap } from '@nestjs/common';
import { NestAuthError, type ValidationIssue } from '../errors/nest-auth.error.js';
import type { GuardSettings } from './guard.settings.js';
import { findHandlers, type GuardedHandler, type HandlerGround } from './guarded-handlers.js';
import type { UnknownName, WantedName } from './known-names.queries.js';

/** What the inspection needs of the application. */
export interface InspectionGround extends HandlerGround {
  readonly settings: GuardSettings;
  /** Whether anybody could sign in. */
  readonly canSignIn: boolean;
  readonly findUnknown: (wanted: readonly WantedName[]) => Promise<readonly UnknownName[]>;
  readonly warn: (message: string) => void;
}

interface Wanting extends WantedName {
  readonly where: string;
}

/**
 * Keeps an application from starting whose decorators would not hold: they contradict themselves, no guard of ours runs
 * for them, nobody could ever pass, or they name what does not exist.
 */
export class GuardInspection implements OnApplicationBootstrap {
  constructor(private readonly ground: InspectionGround) {}

  async onApplicationBootstrap(): Promise<void> {
    const handlers = findHandlers(this.ground);
    refuse([...handlers.flatMap(problemsOf), ...this.#missing(handlers)]);
    const unknown = await this.#unknownNames(handlers);
    if (this.ground.settings.throwsForUnknownNames) return refuse(unknown);
    for (const { path, message } of unknown) this.ground.warn(`${path} ${message}`);
  }

  /** What the guards in use would need, and the options do not give. */
  #missing(handlers: readonly GuardedHandler[]): ValidationIssue[] {
    const { settings, canSignIn } = this.ground;
    const guarded = handlers.filter(({ guards, plan }) => guards.length > 0 && plan.audience !== 'public');
    const known = settings.services.map(({ name }) => name);
    const forUsers = guarded.find(({ plan }) => plan.audience === 'user');
    return [
      ...(forUsers === undefined || canSignIn
        ? []
        : [{ path: forUsers.where, message: 'needs a signed-in user, and without session.keys nobody can sign in' }]),
      ...guarded.flatMap(({ where, plan }) => {
        if (plan.audience !== 'service') return [];
        if (known.length === 0) return [{ path: where, message: 'is for services, and guard.services names none' }];
        const strange = plan.services.flat().filter((name) => !known.includes(name));
        return strange.map((name) => ({ path: where, message: `is for ${name}, which guard.services does not name` }));
      }),
    ];
  }

  async #unknownNames(handlers: readonly GuardedHandler[]): Promise<ValidationIssue[]> {
    const wanting = [...handlers.flatMap(namesOf), ...this.#namesOfServices()];
    if (wanting.length === 0) return [];
    const unknown = await this.ground.findUnknown(wanting);
    return wanting.flatMap(({ where, ...name }) => {
      const found = unknown.find((one) => one.what === name.what && one.name === name.name && one.place === name.place);
      return found === undefined ? [] : [{ path: where, message: describe(found) }];
    });
  }

  #namesOfServices(): Wanting[] {
    return this.ground.settings.services.flatMap(({ name, permissions }) =>
      permissions
        // A wildcard may be there before what it is about.
        .filter((permission) => !permission.endsWith('*'))
        .map((permission) => ({
          where: `guard.services.${name}`,
          what: 'permission' as const,
          name: permission,
          place: 'anywhere' as const,
        })),
    );
  }
}

function problemsOf({ where, kind, marks, guards, plan }: GuardedHandler): ValidationIssue[] {
  const asks = marks.some((mark) => mark.kind !== 'public');
  const uncovered = asks && guards.length === 0 ? [uncoveredAs(kind)] : [];
  return [...plan.problems, ...uncovered].map((message) => ({ path: where, message }));
}

function uncoveredAs(kind: GuardedHandler['kind']): string {
  if (kind === 'field') return 'has no guard: GraphQL runs them for fields only with fieldResolverEnhancers: [guards]';
  if (kind === 'message') return 'has no guard of its own: use @UseGuards, global ones do not run for every message';
  if (kind === 'none') return 'is not called by anything that guards run for; use AccessGate there';
  return 'has no guard: set guardAllRoutes, or use @UseGuards(AuthGuard)';
}

function namesOf({ where, plan: { audience, demand } }: GuardedHandler): Wanting[] {
  const place = audience === 'service' ? 'anywhere' : demand.platform ? 'platform' : 'tenant';
  const named = (what: WantedName['what'], names: readonly string[]): Wanting[] =>
    names.map((name) => ({ where, what, name, place }));
  return [
    ...named('role', demand.roles.flat()),
    ...named('permission', [...demand.permissions, ...demand.anyPermission.flat()]),
  ];
}

function describe({ what, name, place, nearest }: UnknownName): string {
  const where = place === 'anywhere' ? '' : place === 'platform' ? ' on the platform' : ' in a tenant';
  return `names the ${what} ${name}, which there is not${where}${nearest === null ? '' : `; is it ${nearest}?`}`;
}

function refuse(issues: readonly ValidationIssue[]): void {
  if (issues.length === 0) return;
  const list = issues.map(({ path, message }) => `\n  ${path} ${message}`).join('');
  throw new NestAuthError('GUARD_MISCONFIGURED', `The application does not start as it is guarded:${list}`, {
    details: { issues },
  });
}
