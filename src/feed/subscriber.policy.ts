import { ACTIVITIES_DROPPED, UserActivityTypeEnum } from '../audit/activity-log.types.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import type { DurableOptions, IdentityEventHandler, Subscriber } from './feed.types.js';

/** A method that wants events. */
export interface Subscribing {
  /** Class and method, for messages. */
  readonly where: string;
  readonly types: readonly string[];
  readonly options: DurableOptions;
  readonly handle: IdentityEventHandler;
}

const DEFAULTS = {
  startFrom: 'now',
  maxAttempts: 10,
  backoffMs: 1000,
  timeoutMs: 60_000,
  transactional: false,
} as const satisfies Omit<Subscriber, 'name' | 'handlers'>;

const NAME = /^[a-z][a-z0-9._:-]{0,99}$/;
const OWN_TYPE = /^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$/;
const KNOWN: ReadonlySet<string> = new Set<string>([
  ...Object.values(NestAuthEvents),
  ...Object.values(UserActivityTypeEnum),
  ACTIVITIES_DROPPED,
]);
const MAX_BACKOFF_MS = 3_600_000;

/** The subscribers that the methods make together. Refuses, naming the method, what would never be delivered. */
export function assemble(methods: readonly Subscribing[]): Subscriber[] {
  const found = new Map<
    string,
    { options: Omit<Subscriber, 'handlers'>; handlers: Map<string, IdentityEventHandler> }
  >();
  for (const { where, types, options, handle } of methods) {
    const settings = checkedOptions(where, options);
    const subscriber = found.get(settings.name) ?? {
      options: settings,
      handlers: new Map<string, IdentityEventHandler>(),
    };
    if (JSON.stringify(subscriber.options) !== JSON.stringify(settings)) {
      refuse(where, `and another method give the subscriber '${settings.name}' different options`);
    }
    for (const type of checkedTypes(where, types)) {
      if (subscriber.handlers.has(type)) refuse(where, `is the second of '${settings.name}' to take ${type}`);
      subscriber.handlers.set(type, handle);
    }
    found.set(settings.name, subscriber);
  }
  return [...found.values()].map(({ options, handlers }) => ({ ...options, handlers }));
}

/** Refuses a subscriber that is made by options and names an event that does not exist. */
export function assertTypes({ name, handlers }: Subscriber): void {
  checkedTypes(name, [...handlers.keys()]);
}

/** Refuses a method that takes the name, and so the position, of a subscriber that is made by options. */
export function assertDistinct(subscribers: readonly Subscriber[]): void {
  const names = subscribers.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) < index);
  if (twice !== undefined) refuse(`the subscriber '${twice}'`, 'has the name of one that the options make');
}

/** The types to read from the log; null for all. */
export function wantedTypes({ handlers }: Subscriber): string[] | null {
  return handlers.has('*') ? null : [...handlers.keys()];
}

/** Milliseconds before the next attempt after `attempts` failed ones. */
export function backoff({ backoffMs }: Subscriber, attempts: number): number {
  return Math.min(MAX_BACKOFF_MS, backoffMs * 2 ** Math.max(0, attempts - 1));
}

function checkedOptions(where: string, { subscriber: name, ...given }: DurableOptions): Omit<Subscriber, 'handlers'> {
  if (typeof name !== 'string' || !NAME.test(name)) {
    refuse(where, "needs `subscriber`: lower-case letters, digits, '-', '_', '.' and ':', at most 100");
  }
  const unknown = Object.keys(given).filter((key) => !(key in DEFAULTS));
  if (unknown.length > 0) refuse(where, `has unknown options: ${unknown.join(', ')}`);
  const options = { ...DEFAULTS, ...given };
  if (!['now', 'beginning'].includes(options.startFrom)) refuse(where, "needs `startFrom`: 'now' or 'beginning'");
  if (typeof options.transactional !== 'boolean') refuse(where, 'needs `transactional`: true or false');
  for (const [key, max] of [
    ['maxAttempts', 1000],
    ['backoffMs', MAX_BACKOFF_MS],
    ['timeoutMs', MAX_BACKOFF_MS],
  ] as const) {
    const value = options[key];
    if (!Number.isInteger(value) || value < 1 || value > max)
      refuse(where, `needs \`${key}\`: a whole number, 1 to ${max}`);
  }
  return { name, ...options };
}

function checkedTypes(where: string, types: readonly string[]): readonly string[] {
  if (types.length === 0) refuse(where, 'names no event');
  for (const type of types) {
    const isOurs = type.startsWith('nest_auth.');
    if (type === '*' || (isOurs ? KNOWN.has(type) : OWN_TYPE.test(type))) continue;
    refuse(where, `names '${type}', which is no event; known are ${[...KNOWN].join(', ')}`);
  }
  return types;
}

function refuse(where: string, message: string): never {
  throw new NestAuthError('INVALID_OPTIONS', `@OnIdentityEvent: ${where} ${message}`, {
    details: { option: 'OnIdentityEvent' },
  });
}
