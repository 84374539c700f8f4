import { EventEmitter2 } from '@nestjs/event-emitter';
import { Pool } from 'pg';
import type { DataSourceOptions } from 'typeorm';

import { NestAuthEntities, type NestAuthModuleOptions, UserLifecycleService } from '../../src/index.js';
import { type NestApp, type Seed, seed, startNestApp } from '../support/nest-app.js';
import type { TcpProxy } from '../support/tcp-proxy.js';
import { AppMirror, TABLES } from './mirror.js';

/** An application of a host on a database of its own. */
export interface Stage extends NestApp {
  /** Straight to the server, past any proxy. */
  readonly url: string;
  /** A connection that no code of the package has touched, to look at what is really there. */
  readonly looker: Pool;
  readonly seed: Seed;
  readonly emitter: EventEmitter2;
  readonly lifecycle: UserLifecycleService;
  readonly proxy?: TcpProxy;
}

export interface StageOptions {
  /** Connections at most. @default 4 */
  readonly pool?: number;
  readonly proxy?: TcpProxy;
  /** Where the application connects instead, for what stands in between. */
  readonly behind?: string;
  readonly dataSource?: object;
  readonly auth?: NestAuthModuleOptions;
}

export async function setStage(url: string, options: StageOptions = {}): Promise<Stage> {
  const looker = new Pool({ connectionString: url, max: 1, idleTimeoutMillis: 0 });
  // Its connection may be lost too; the next look opens another.
  looker.on('error', () => undefined);
  await looker.query(TABLES);
  const app = await startNestApp(options.behind ?? options.proxy?.url ?? url, {
    pool: options.pool ?? 4,
    auth: options.auth ?? {},
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
    url,
    looker,
    seed: roles,
    emitter: app.context.get(EventEmitter2),
    lifecycle: app.context.get(UserLifecycleService),
    ...proxied,
    close,
  };
}
