import type { EntityManager } from 'typeorm';
import type { DeliveryContext, IdentityEvent, Subscriber } from '../feed/feed.types.js';
import { isPostponed, isUndeliverable, UndeliverableError } from '../feed/undeliverable.error.js';
import type { DeliverySettings } from './delivery.settings.js';
import { LINK_OPTIONS } from './delivery.types.js';
import { linkTo } from './link.policy.js';
import type {
  DraftedNotification,
  LinkDraft,
  Notification,
  NotificationSender,
  NotificationSource,
} from './notification.types.js';
import { sendFailure } from './send-failure.policy.js';

/** The name of the position in the log. */
export const NOTIFICATIONS = 'nest-auth-notifications';

/** Runs statements for the whole platform, outside of any transaction, and gives the connection back. */
export type PlatformReads = <T>(fn: (manager: EntityManager) => Promise<T>) => Promise<T>;

/** The durable subscriber that sends what the rooms say is to be sent; none where nobody sends. */
export function notificationSubscribers(
  settings: DeliverySettings,
  sources: readonly NotificationSource[],
  read: PlatformReads,
): Subscriber[] {
  const { sender, enabled, timeoutMs, maxAttempts, backoffMs, startFrom } = settings;
  const types = new Set(sources.flatMap((source) => source.types));
  if (sender === undefined || !enabled || types.size === 0) return [];
  const handle = async (event: IdentityEvent, { signal }: DeliveryContext): Promise<void> => {
    const concerned = sources.filter((source) => source.types.some((type) => type === event.type));
    const failures: unknown[] = [];
    for (const source of concerned) {
      signal.throwIfAborted();
      // One that cannot be reached must not keep another from being told.
      await deliver(settings, sender, event, signal, () => read((manager) => source.draft(manager, event))).catch(
        (error: unknown) => failures.push(error),
      );
    }
    if (failures.length > 0) throw gravest(failures);
  };
  const handlers = new Map([...types].map((type) => [type, handle]));
  return [{ name: NOTIFICATIONS, handlers, startFrom, maxAttempts, backoffMs, timeoutMs, transactional: false }];
}

/** Of several the one after which most is tried again. */
function gravest(failures: readonly unknown[]): unknown {
  const isFinal = (failure: unknown): boolean => isUndeliverable(failure) || isPostponed(failure);
  return failures.find((failure) => !isFinal(failure)) ?? failures.find(isPostponed) ?? failures[0];
}

async function deliver(
  settings: DeliverySettings,
  sender: NotificationSender,
  event: IdentityEvent,
  signal: AbortSignal,
  draft: () => Promise<DraftedNotification | null>,
): Promise<void> {
  const drafted = await draft();
  if (drafted === null) return;
  const notification = complete(settings, drafted, event.id);
  try {
    await sender.send(notification, { signal });
  } catch (error) {
    throw sendFailure(notification, error);
  }
}

function complete(settings: DeliverySettings, drafted: DraftedNotification, eventId: string): Notification {
  // An event may be told to several people, in messages of different kinds.
  const id = `${eventId}.${drafted.kind}`;
  return isLink(drafted) ? { ...drafted, id, url: linkFor(settings, drafted) } : { ...drafted, id };
}

function linkFor(settings: DeliverySettings, { kind, token }: LinkDraft): string {
  const template = settings.linkOf(kind);
  if (template !== undefined) return linkTo(template, token);
  throw new UndeliverableError(`There is no page for ${kind}; set the option delivery.links.${LINK_OPTIONS[kind]}`);
}

function isLink(drafted: DraftedNotification): drafted is LinkDraft {
  return 'token' in drafted;
}
