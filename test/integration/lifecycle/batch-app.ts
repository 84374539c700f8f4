import { type INestApplicationContext, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { TypeOrmModule } from '@nestjs/typeorm';

import { NestAuthEntities, NestAuthModule } from '../../../src/index.js';

@Module({})
class BatchModule {}

/** An application of a process of its own, with one connection. */
export function startBatchApp(url: string): Promise<INestApplicationContext> {
  return NestFactory.createApplicationContext(
    {
      module: BatchModule,
      imports: [
        EventEmitterModule.forRoot(),
        TypeOrmModule.forRoot({
          type: 'postgres',
          url,
          poolSize: 1,
          entities: [...NestAuthEntities],
          retryAttempts: 0,
        }),
        NestAuthModule.forRoot(),
      ],
    },
    { logger: ['error'] },
  );
}
