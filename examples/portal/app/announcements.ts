import { Injectable } from '@nestjs/common';
import { OnEvent } from '@nestjs/event-emitter';
import { NestAuthEvents, UserCreatedEvent, UserDeletedEvent } from 'nest-auth-identity';

/** Listens to the package's events in this process, which leave after COMMIT only: no user here was ever rolled back. */
@Injectable()
export class Announcements {
  readonly created: string[] = [];
  readonly deleted: string[] = [];

  @OnEvent(NestAuthEvents.USER_CREATED)
  onCreated({ user }: UserCreatedEvent): void {
    this.created.push(user.id);
  }

  @OnEvent(NestAuthEvents.USER_DELETED)
  onDeleted({ user }: UserDeletedEvent): void {
    this.deleted.push(user.id);
  }
}
