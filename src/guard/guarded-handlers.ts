import 'reflect-metadata';
import type { DiscoveryService, MetadataScanner, ModulesContainer } from '@nestjs/core';
import { type Callable, guardsOf, kindOfGuard, marksOfClass, marksOfMethod } from './access-marks.js';
import { type AccessMark, type AccessPlan, type GuardKind, planOf } from './access-plan.policy.js';

/**
 * How a method is called: by a route or an operation, for which global guards run; as a field of GraphQL, for which
 * none runs unless it is asked for; by a message, which global guards do not reach in every application; or not at all.
 */
type HandlerKind = 'operation' | 'field' | 'message' | 'none';

export interface GuardedHandler {
  /** `InvoiceController.pay` */
  readonly where: string;
  readonly kind: HandlerKind;
  readonly marks: readonly AccessMark[];
  /** Our guards that run for it. */
  readonly guards: readonly GuardKind[];
  readonly plan: AccessPlan;
}

/** What an application has to be looked through with. */
export interface HandlerGround {
  readonly discovery: DiscoveryService;
  readonly scanner: MetadataScanner;
  readonly modules: ModulesContainer;
}

/** How Nest and its transports mark the methods that they call. */
const OPERATIONS = ['method', 'graphql:resolver_type'];
const FIELDS = ['graphql:resolve_property', 'graphql:resolve_reference'];
const MESSAGES = ['microservices:pattern', 'websockets:message_mapping'];
const GRAPHQL_OPTIONS = 'GqlModuleOptions';
const APP_GUARD = 'APP_GUARD';

/** Every handler of the application, and every method that a decorator of ours stands on without being one. */
export function findHandlers(ground: HandlerGround): GuardedHandler[] {
  const { discovery, scanner, modules } = ground;
  const globals = globalGuardsOf(modules);
  const fieldsAreGuarded = guardsRunForFields(modules);
  return [...classesOf(discovery)].flatMap((type) => {
    const prototype = type.prototype as Record<string, unknown>;
    const methods = scanner.getAllMethodNames(prototype).flatMap((name) => {
      const handler = prototype[name];
      if (typeof handler !== 'function') return [];
      const kind = kindOf(handler);
      const own = marksOfMethod(type, handler);
      if (kind === 'none' && own.length === 0) return [];
      const marks = [...marksOfClass(type), ...own];
      const byName = guardsOf(type, handler);
      const guards = runningGuards(kind, byName, globals, fieldsAreGuarded);
      return [{ where: `${type.name}.${name}`, kind, marks, guards, plan: planOf(marks, guards) }];
    });
    return methods.some(({ kind }) => kind !== 'none') ? methods : [...methods, ...withoutHandlers(type)];
  });
}

/** A class that is marked and has nothing that could be called. */
function withoutHandlers(type: Callable): GuardedHandler[] {
  const marks = marksOfClass(type);
  return marks.length === 0 ? [] : [{ where: type.name, kind: 'none', marks, guards: [], plan: planOf(marks, []) }];
}

function runningGuards(
  kind: HandlerKind,
  own: readonly GuardKind[],
  globals: readonly GuardKind[],
  fieldsAreGuarded: boolean,
): readonly GuardKind[] {
  if (kind === 'operation') return [...own, ...globals];
  if (kind === 'field') return fieldsAreGuarded ? [...own, ...globals] : [];
  return own;
}

function kindOf(handler: Callable): HandlerKind {
  const has = (key: string): boolean => Reflect.getMetadata(key, handler) !== undefined;
  if (FIELDS.some(has)) return 'field';
  if (OPERATIONS.some(has)) return 'operation';
  return MESSAGES.some(has) ? 'message' : 'none';
}

function classesOf(discovery: DiscoveryService): ReadonlySet<Callable> {
  const found = new Set<Callable>();
  for (const { instance, metatype } of [...discovery.getControllers(), ...discovery.getProviders()]) {
    const made: unknown = instance;
    const type =
      typeof made === 'object' && made !== null
        ? (Object.getPrototypeOf(made) as object | null)?.constructor
        : metatype;
    if (typeof type === 'function' && type.prototype !== undefined && type !== Object) found.add(type);
  }
  return found;
}

/** Those registered as `APP_GUARD`. What `useGlobalGuards` has is in no module, and cannot be seen. */
function globalGuardsOf(modules: ModulesContainer): GuardKind[] {
  return (
    [...modules.values()]
      // Those of a request stand apart from the others.
      .flatMap(({ providers, injectables }) => [...providers.values(), ...injectables.values()])
      .filter(({ token }) => typeof token === 'string' && token.startsWith(APP_GUARD))
      .flatMap(({ instance, metatype }) => kindOfGuard(instance) ?? kindOfGuard(metatype) ?? [])
  );
}

/** Whether every GraphQL schema of the application runs guards for its fields: `fieldResolverEnhancers`. */
function guardsRunForFields(modules: ModulesContainer): boolean {
  const options = [...modules.values()].flatMap(({ providers }) => providers.get(GRAPHQL_OPTIONS)?.instance ?? []);
  return options.length > 0 && options.every((one: FieldOptions) => one.fieldResolverEnhancers?.includes('guards'));
}

interface FieldOptions {
  readonly fieldResolverEnhancers?: readonly string[];
}
