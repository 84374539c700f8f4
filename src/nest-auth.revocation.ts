import { type InjectionToken, Logger, type Provider } from '@nestjs/common';
import { AccessGrantsReader } from './access/access-grants.reader.js';
import { EventPublisher } from './events/event-publisher.js';
import { TenantContext } from './isolation/tenant-context.js';
import type { NestAuthSettings } from './nest-auth.settings.js';
import { RevocationListener } from './revocation/revocation.listener.js';
import { Revocations } from './revocation/revocations.js';
import { LiveSessionReader } from './session/live-session.reader.js';
import { ownConnection } from './transaction/own-connection.js';
import { TransactionHost } from './transaction/transaction-host.js';

/** What is kept of rights and sessions; `settings` is the token of the module's settings. */
export function revocationProviders(settings: InjectionToken): Provider[] {
  return [
    {
      provide: Revocations,
      inject: [TransactionHost, EventPublisher, TenantContext, settings],
      useFactory: (
        host: TransactionHost,
        events: EventPublisher,
        context: TenantContext,
        { revocation }: NestAuthSettings,
      ) => {
        const listener = revocation.listen ? makeListener(host, context, revocation.maxStaleMs) : undefined;
        return new Revocations(host, events, revocation, listener);
      },
    },
    {
      provide: AccessGrantsReader,
      inject: [TransactionHost, Revocations],
      useFactory: (host: TransactionHost, revocations: Revocations) => new AccessGrantsReader(host, revocations),
    },
    {
      provide: LiveSessionReader,
      inject: [Revocations],
      useFactory: (revocations: Revocations) => new LiveSessionReader(revocations),
    },
  ];
}

function makeListener(host: TransactionHost, context: TenantContext, maxStaleMs: number): RevocationListener {
  const logger = new Logger('NestAuthRevocation');
  return new RevocationListener(
    {
      connect: () => ownConnection(host.dataSource),
      notify: (channel, payload) =>
        context.asPlatform(() =>
          host.operate(undefined, (manager) => manager.query('select pg_notify($1, $2)', [channel, payload])),
        ),
      report: (message, error) => logger.error(message, error instanceof Error ? error.stack : String(error)),
      now: () => performance.now(),
    },
    maxStaleMs,
  );
}
