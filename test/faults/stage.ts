import { EventEmitter2 } from '@nestjs/event-emitter';
import { Pool } from 'pg';
import type { DataSourceOptions } from 'typeorm';

import { NestAuthEntities, type NestAuthModuleOptions } from '../../src/index.js';
import { type NestApp, seed, startNestApp } from '../support/nest-app.js';
import type { TcpProxy } from '../support/tcp-proxy.js';
import { type Host, hostOf, SIGN_IN } from './host.js';
import { AppMirror, TABLES } from './mirror.js';

/** An application of a host on a database of its own. */
export interface Stage extends NestApp, Host {
  /** Straight to the server, past any proxy. */
  readonly url: string;
  /** A connection that no code of the package has touched, to look at what is really there. */
  readonly looker: Pool;
  readonly emitter: EventEmitter2;
  readonly proxy?: TcpProxy;
}

export interface StageOptions {
  /** Connections at most. @default 4 */
  readonly pool?: number;
  readonly proxy?: TcpProxy;
  /** Where the application connects instead, for what stands in between. */
  readonly behind?: string;
  readonly dataSource?: object;
  /** @default {@link SIGN_IN} */
  readonly auth?: NestAuthModuleOptions;
}

export async function setStage(url: string, options: StageOptions = {}): Promise<Stage> {
  const looker = new Pool({ connectionString: url, max: 1, idleTimeoutMillis: 0 });
  // Its connection may be lost too; the next look opens another.
  looker.on('error', () => undefined);
  await looker.query(TABLES);
  const app = await startNestApp(options.behind ?? options.proxy?.url ?? url, {
    pool: options.pool ?? 4,
    auth: options.auth ?? SIGN_IN,
    dataSource: { entities: [...NestAuthEntities, AppMirror], ...options.dataSource } as Partial<DataSourceOptions>,
  });
  const roles = await seed(app);
  app.events.length = 0;
  const proxied = options.proxy === undefined ? {} : { proxy: options.proxy };
  const close = async (): Promise<void> => {
    await app.close();
    await looker.end();
  };
  return {
    ...app,
    ...(await hostOf(app.context, roles)),
    url,
    looker,
    emitter: app.context.get(EventEmitter2),
    ...proxied,
    close,
  };
}
