import type { DurableOptions } from './feed.types.js';

/** What a decorated method takes. */
export interface SubscriberMark {
  readonly types: readonly string[];
  readonly options: DurableOptions;
}

const MARKS = Symbol('nest_auth.subscriber');

type Handler = (...args: never[]) => Promise<unknown>;

/**
 * Delivers committed events to this method: at least once, in order, across restarts and processes.
 *
 * The method gets an `IdentityEvent` and a `DeliveryContext`; when it rejects it is called again after a pause, and the
 * events behind it wait. Several methods with the same `subscriber` share one position, and must agree on its options.
 *
 * @param types - Names of events, such as `nest_auth.user.created`; `*` for all that no other method of the subscriber takes.
 */
export function OnIdentityEvent(types: string | readonly string[], options: DurableOptions) {
  return (
    _target: object,
    _name: string | symbol,
    descriptor: TypedPropertyDescriptor<Handler> | TypedPropertyDescriptor<(...args: never[]) => Promise<void>>,
  ): void => {
    const method = descriptor.value as Handler & { [MARKS]?: SubscriberMark[] };
    method[MARKS] = [...(method[MARKS] ?? []), { types: typeof types === 'string' ? [types] : [...types], options }];
  };
}

/** What {@link OnIdentityEvent} has left on a method. */
export function marksOf(method: unknown): readonly SubscriberMark[] {
  return typeof method === 'function' ? ((method as { [MARKS]?: SubscriberMark[] })[MARKS] ?? []) : [];
}
