// What the processes of a deployment begin with that the tests start beside their own; the other end is racing-processes.ts.
import { type INestApplicationContext, Module, type ModuleMetadata } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { TypeOrmModule } from '@nestjs/typeorm';

import { NestAuthEntities, NestAuthModule, type NestAuthModuleOptions } from '../../src/index.js';
import { PREPARED } from './connection-mode.js';

@Module({})
class Deployment {}

/** The application of a process, ready for calls. */
export function startProcessApp(
  url: string,
  auth: NestAuthModuleOptions = {},
  { pool = 10, imports = [], providers = [] }: Pick<ModuleMetadata, 'imports' | 'providers'> & { pool?: number } = {},
): Promise<INestApplicationContext> {
  const deployment = {
    module: Deployment,
    imports: [
      EventEmitterModule.forRoot(),
      TypeOrmModule.forRoot({
        type: 'postgres',
        url,
        poolSize: pool,
        entities: [...NestAuthEntities],
        retryAttempts: 0,
      }),
      NestAuthModule.forRoot({ statements: { prepared: PREPARED }, ...auth }),
      ...imports,
    ],
    providers,
  };
  return NestFactory.createApplicationContext(deployment, { logger: false });
}

/** Says that it is ready, makes all the calls as soon as it is told to, prints what became of them, and ends. */
export function answerWhenTold(app: INestApplicationContext, calls: () => unknown): void {
  console.log('ready');
  process.stdin.once('data', () => {
    void Promise.resolve(calls()).then(async (answer) => {
      console.log(JSON.stringify(answer));
      await app.close();
      process.exit();
    });
  });
}

/** What each call answered, or the code it was refused with; all of them are under way already. */
export function answersOf<T, Refusal>(
  calls: readonly Promise<T>[],
  refused: (code: string) => Refusal,
): Promise<(T | Refusal)[]> {
  return Promise.all(calls.map((call) => call.catch((error: { code?: string }) => refused(error.code ?? 'failed'))));
}

/** Says that it is ready, and stays until it is asked to end. */
export function stayUntilTerminated(app: INestApplicationContext): void {
  console.log('ready');
  process.on('SIGTERM', () => void app.close().then(() => process.exit()));
}
