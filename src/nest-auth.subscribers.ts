import { Logger, type Provider } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import { EventEmitter2 } from '@nestjs/event-emitter';
import { notificationSubscribers } from './delivery/notification.subscriber.js';
import { NotifyBridge } from './feed/notify-bridge.js';
import { SubscriberRunner } from './feed/subscriber.runner.js';
import { TenantContext } from './isolation/tenant-context.js';
import { NotificationSources } from './nest-auth.delivery.js';
import type { NestAuthSettings } from './nest-auth.settings.js';
import { webhookSubscriber } from './webhook/webhook.subscriber.js';
import { ownConnection } from './transaction/own-connection.js';
import { TransactionHost } from './transaction/transaction-host.js';
import { quietly } from './transaction/transaction-observer.js';

/** The durable subscribers, wired to the application. */
export function subscriberProviders(settings: symbol): Provider[] {
  return [
    {
      provide: SubscriberRunner,
      inject: [
        TransactionHost,
        TenantContext,
        EventEmitter2,
        DiscoveryService,
        MetadataScanner,
        NotificationSources,
        settings,
      ],
      useFactory: makeRunner,
    },
  ];
}

function makeRunner(
  host: TransactionHost,
  context: TenantContext,
  emitter: EventEmitter2,
  discovery: DiscoveryService,
  scanner: MetadataScanner,
  { sources }: NotificationSources,
  { subscribers: settings, webhooks, delivery }: NestAuthSettings,
): SubscriberRunner {
  const logger = new Logger('NestAuthSubscriber');
  // A logger of the host that fails must not end the work of a subscriber.
  const report = (message: string, error: unknown): void =>
    quietly(() => logger.error(message, error instanceof Error ? error.stack : String(error)));
  const query = <T>(fn: (manager: EntityManager) => Promise<T>): Promise<T> =>
    context.asPlatform(() => host.operate(undefined, fn));
  const bridge = settings.listen ? makeBridge(host, settings.pollMs, report) : undefined;
  return new SubscriberRunner(
    {
      discovery,
      scanner,
      emitter,
      bridge,
      report,
      query,
      transaction: (timeoutMs, fn) => context.asPlatform(() => host.run(fn, { timeoutMs })),
      health: host.health,
    },
    settings,
    [...webhooks.map(webhookSubscriber), ...notificationSubscribers(delivery, sources, query)],
  );
}

function makeBridge(
  host: TransactionHost,
  retryMs: number,
  report: (message: string, error: unknown) => void,
): NotifyBridge {
  const { dataSource } = host;
  return new NotifyBridge(
    {
      connect: () => ownConnection(dataSource),
      notify: (channel) =>
        host.operate(dataSource.manager, (manager) => manager.query('select pg_notify($1, $2)', [channel, ''])),
      report,
    },
    retryMs,
  );
}
