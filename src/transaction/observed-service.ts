import type { NestAuthObserver } from './transaction-observer.js';

type Method = (...args: unknown[]) => unknown;

/** Returns at once and does nothing that takes time: what it is given is observed when it runs. */
const NOT_OBSERVED = new Set(['afterCommit']);

/**
 * The service as the host gets it: calls from outside are observed, those it makes to itself are not.
 * Without an observer of calls it is the service itself.
 */
export function observed<T extends object>(service: T, observer: NestAuthObserver | undefined): T {
  if (observer?.call === undefined) return service;
  const type = service.constructor.name;
  // In front of the service and not in its place: `this` in its methods stays the one that has the private fields.
  const front = Object.create(service) as T;
  for (const [name, { value }] of methodsOf(service)) {
    if (typeof value !== 'function') continue;
    const call: Method = (...args) => (Reflect.get(service, name) as Method).apply(service, args);
    const wrapped: Method = NOT_OBSERVED.has(name)
      ? call
      : (...args) => observer.call?.(`${type}.${name}`, async () => call(...args));
    Object.defineProperty(front, name, { value: wrapped, writable: true, configurable: true });
  }
  return front;
}

function methodsOf(service: object): [string, PropertyDescriptor][] {
  const prototype = Object.getPrototypeOf(service) as object;
  return Object.entries(Object.getOwnPropertyDescriptors(prototype)).filter(([name]) => name !== 'constructor');
}
