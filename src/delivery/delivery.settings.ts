import { NestAuthError } from '../errors/nest-auth.error.js';
import { type DeliveryLinks, type DeliveryOptions, LINK_OPTIONS } from './delivery.types.js';
import { linkIssue } from './link.policy.js';
import type { LinkKind, NotificationSender } from './notification.types.js';

const DEFAULTS = {
  timeoutMs: 30_000,
  maxAttempts: 10,
  backoffMs: 5_000,
  startFrom: 'now',
  enabled: true,
} as const satisfies DeliveryOptions;

export const DELIVERY_FIELDS = [...Object.keys(DEFAULTS), 'sender', 'links'];

const RANGES = { timeoutMs: [100, 600_000], maxAttempts: [1, 1_000], backoffMs: [1, 3_600_000] } as const;
const LINKS: readonly (keyof DeliveryLinks)[] = Object.values(LINK_OPTIONS);

/** How messages are sent, checked and with the defaults. */
export class DeliverySettings {
  readonly sender: NotificationSender | undefined;
  readonly timeoutMs: number;
  readonly maxAttempts: number;
  readonly backoffMs: number;
  readonly startFrom: 'now' | 'beginning';
  readonly enabled: boolean;
  readonly #links: DeliveryLinks;

  /** `makesTokens`: messages with links can be asked for here. */
  constructor(options: DeliveryOptions = {}, makesTokens = false) {
    const { sender, links = {}, ...given } = options;
    const { timeoutMs, maxAttempts, backoffMs, startFrom, enabled } = { ...DEFAULTS, ...given };
    for (const [name, value] of Object.entries({ timeoutMs, maxAttempts, backoffMs })) {
      const [min, max] = RANGES[name as keyof typeof RANGES];
      if (!Number.isInteger(value) || value < min || value > max)
        refuse(name, `must be a whole number, ${min} to ${max}`);
    }
    if (!['now', 'beginning'].includes(startFrom)) refuse('startFrom', "must be 'now' or 'beginning'");
    if (typeof enabled !== 'boolean') refuse('enabled', 'must be true or false');
    if (sender !== undefined && typeof sender?.send !== 'function') refuse('sender', 'must have a method send');
    assertLinks(links, sender !== undefined && makesTokens);
    this.sender = sender;
    this.timeoutMs = timeoutMs;
    this.maxAttempts = maxAttempts;
    this.backoffMs = backoffMs;
    this.startFrom = startFrom;
    this.enabled = enabled;
    this.#links = { ...links };
  }

  /** The template of the link in this kind of message; undefined where there is none. */
  linkOf(kind: LinkKind): string | undefined {
    const template = this.#links[LINK_OPTIONS[kind]];
    return template === false ? undefined : template;
  }
}

function assertLinks(links: DeliveryLinks, areNeeded: boolean): void {
  if (typeof links !== 'object' || links === null) refuse('links', 'must be an object');
  for (const name of Object.keys(links)) {
    if (!LINKS.some((known) => known === name))
      refuse(`links.${name}`, `is not an option; known are ${LINKS.join(', ')}`);
  }
  for (const name of LINKS) {
    const template = links[name];
    if (template === undefined && areNeeded)
      refuse(`links.${name}`, 'is needed with a sender and secrets.keys; false for a message that is never asked for');
    const issue = template === undefined || template === false ? null : linkIssue(template);
    if (issue !== null) refuse(`links.${name}`, issue);
  }
}

function refuse(name: string, message: string): never {
  const option = `delivery.${name}`;
  throw new NestAuthError('INVALID_OPTIONS', `NestAuthModule: ${option} ${message}`, { details: { option } });
}
