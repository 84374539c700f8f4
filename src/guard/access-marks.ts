import 'reflect-metadata';
import { type AccessMark, type AccessPlan, type GuardKind, planOf } from './access-plan.policy.js';

const MARKS = 'nest_auth:access';
/** Where `@UseGuards` keeps its list; a constant of Nest that its entry does not export. */
const GUARDS_METADATA = '__guards__';
const GUARD_KIND = Symbol('nest_auth.guard');

// A class of any kind.
export type Callable = Function;

/** Adds to what stands there already: on a class or method, further decorators and those of a base class add up. */
export function mark(added: AccessMark): ClassDecorator & MethodDecorator {
  return (target: object, key?: string | symbol, descriptor?: { readonly value?: unknown }): void => {
    if (key === undefined) return Reflect.defineMetadata(MARKS, [...read(target), added], target);
    // In both places: a decorator above may put another function there, and a subclass may override the method.
    Reflect.defineMetadata(MARKS, [...read(target, key), added], target, key);
    const method = descriptor?.value;
    if (typeof method === 'function') Reflect.defineMetadata(MARKS, [...read(method), added], method);
  };
}

/** Says of a class of guards what it stands for; its subclasses stand for the same. */
export function guardOf(kind: GuardKind): ClassDecorator {
  return (guard) => void Object.defineProperty(guard, GUARD_KIND, { value: kind });
}

/** What a guard, or its class, stands for; undefined for one that is not ours. */
export function kindOfGuard(guard: unknown): GuardKind | undefined {
  if (guard === null || (typeof guard !== 'object' && typeof guard !== 'function')) return undefined;
  const type = typeof guard === 'function' ? guard : guard.constructor;
  return (type as { [GUARD_KIND]?: GuardKind })[GUARD_KIND];
}

/** The decorators of a method alone. */
export function marksOfMethod(type: Callable, handler: Callable): AccessMark[] {
  const prototype = type.prototype as object;
  const found = keysOf(prototype, handler).flatMap((key) => read(prototype, key));
  return [...new Set([...read(handler), ...found])];
}

export function marksOfClass(type: Callable): readonly AccessMark[] {
  return read(type);
}

/** Kinds of our guards on the class and the method, as `@UseGuards` has them. */
export function guardsOf(type: Callable, handler: Callable): GuardKind[] {
  return [type, handler]
    .flatMap((target) => (Reflect.getMetadata(GUARDS_METADATA, target) as unknown[] | undefined) ?? [])
    .flatMap((guard) => kindOfGuard(guard) ?? []);
}

const plans = new WeakMap<Callable, WeakMap<Callable, Map<GuardKind, AccessPlan>>>();

/** Whom a handler lets in by its decorators, its `@UseGuards` and the guard that asks. Decorators do not change: kept. */
export function planOfHandler(type: Callable, handler: Callable, asking: GuardKind): AccessPlan {
  const ofType = plans.get(type) ?? new WeakMap<Callable, Map<GuardKind, AccessPlan>>();
  const ofHandler = ofType.get(handler) ?? new Map<GuardKind, AccessPlan>();
  const plan = ofHandler.get(asking) ?? planOf(marksOfHandler(type, handler), [...guardsOf(type, handler), asking]);
  plans.set(type, ofType.set(handler, ofHandler.set(asking, plan)));
  return plan;
}

function marksOfHandler(type: Callable, handler: Callable): AccessMark[] {
  return [...marksOfClass(type), ...marksOfMethod(type, handler)];
}

function read(target: object, key?: string | symbol): readonly AccessMark[] {
  const marks: unknown =
    key === undefined ? Reflect.getMetadata(MARKS, target) : Reflect.getMetadata(MARKS, target, key);
  return (marks as readonly AccessMark[] | undefined) ?? [];
}

/** Under which names the class has the method: its own name is not always one of them. */
function keysOf(prototype: object, handler: Callable): (string | symbol)[] {
  const keys = new Set<string | symbol>([handler.name]);
  for (let at: object | null = prototype; at !== null && at !== Object.prototype; at = prototypeOf(at)) {
    for (const key of Reflect.ownKeys(at)) {
      if (Object.getOwnPropertyDescriptor(at, key)?.value === handler) keys.add(key);
    }
  }
  return [...keys];
}

function prototypeOf(object: object): object | null {
  return Object.getPrototypeOf(object) as object | null;
}
