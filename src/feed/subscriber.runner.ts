import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common';
import type { DiscoveryService, MetadataScanner } from '@nestjs/core';
import type { EventEmitter2 } from '@nestjs/event-emitter';
import type { IdentityEventHandler, Subscriber, SubscriberSettings } from './feed.types.js';
import type { HealthReading, HealthSources } from '../transaction/health-sources.js';
import { NotifyBridge } from './notify-bridge.js';
import { marksOf } from './subscriber.decorator.js';
import { assemble, assertDistinct, assertTypes, type Subscribing } from './subscriber.policy.js';
import { lagsOf, register } from './subscription.queries.js';
import { SubscriptionWorker, type WorkerGround } from './subscription.worker.js';
import { WakeUp } from './wake-up.js';

/** What the runner needs of the application. */
export interface RunnerGround extends WorkerGround {
  readonly discovery: DiscoveryService;
  readonly scanner: MetadataScanner;
  readonly emitter: EventEmitter2;
  readonly health: HealthSources;
  /** Connects for LISTEN; see `NotifyBridge`. */
  readonly bridge: NotifyBridge | undefined;
}

/** Finds the methods marked by `@OnIdentityEvent`, and keeps a worker for each subscriber while the application runs. */
export class SubscriberRunner implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #wakeUp = new WakeUp();
  readonly #ring = (): void => this.#wakeUp.ring();
  readonly #tell = (name: string | string[]): void => {
    if (!String(name).startsWith('nest_auth.')) return;
    this.#wakeUp.ring();
    this.ground.bridge?.tell();
  };
  #workers: SubscriptionWorker[] = [];
  #unregister: () => void = () => undefined;

  constructor(
    private readonly ground: RunnerGround,
    private readonly settings: SubscriberSettings,
    private readonly extra: readonly Subscriber[] = [],
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    // Also where nothing is delivered: a mistake in a decorator must not wait for production.
    for (const subscriber of this.extra) assertTypes(subscriber);
    const subscribers = [...assemble(this.#methods()), ...this.extra];
    assertDistinct(subscribers);
    if (!this.settings.enabled || subscribers.length === 0) return;
    for (const { name, startFrom } of subscribers) {
      await this.ground.query((manager) => register(manager, name, startFrom === 'beginning'));
    }
    this.ground.emitter.onAny(this.#tell);
    this.ground.bridge?.start(this.#ring);
    this.#workers = subscribers.map((one) => new SubscriptionWorker(one, this.settings, this.ground, this.#wakeUp));
    for (const worker of this.#workers) worker.start();
    const names = subscribers.map(({ name }) => name);
    this.#unregister = this.ground.health.register({ name: 'subscribers', read: () => this.#readLag(names) });
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#unregister();
    this.ground.emitter.offAny(this.#tell);
    await Promise.all([...this.#workers.map((worker) => worker.stop()), this.ground.bridge?.stop()]);
    this.#workers = [];
  }

  /** How long the next event of each subscriber has been waiting. */
  async #readLag(names: readonly string[]): Promise<HealthReading> {
    const lagMs = await this.ground.query((manager) => lagsOf(manager, names));
    return { healthy: Object.values(lagMs).every((lag) => lag <= this.settings.maxLagMs), lagMs };
  }

  #methods(): Subscribing[] {
    const { discovery, scanner } = this.ground;
    const instances = [...discovery.getProviders(), ...discovery.getControllers()].flatMap(({ instance }) =>
      typeof instance === 'object' && instance !== null ? [instance as object] : [],
    );
    return instances.flatMap((instance) => {
      const prototype = Object.getPrototypeOf(instance) as object | null;
      if (prototype === null) return [];
      return scanner.getAllMethodNames(prototype).flatMap((name) => {
        const method = (instance as Record<string, unknown>)[name];
        return marksOf(method).map(({ types, options }) => ({
          where: `${instance.constructor.name}.${name}`,
          types,
          options,
          handle: (method as IdentityEventHandler).bind(instance),
        }));
      });
    });
  }
}
