import { Injectable } from '@nestjs/common';
import { OnEvent } from '@nestjs/event-emitter';
import { NestAuthEvents, UserCreatedEvent, UserDeletedEvent } from 'nest-auth-identity';

export interface Mail {
  readonly authUserId: string;
  readonly to: string;
  readonly subject: string;
  readonly sentAt: string;
}

/** Instead of a mail server: what would have been sent. */
@Injectable()
export class Outbox {
  readonly mails: Mail[] = [];

  sendInvitation({
    authUserId,
    email,
    displayName,
  }: {
    authUserId: string;
    email: string | null;
    displayName: string;
  }): void {
    if (email === null) return;
    this.mails.push({ authUserId, to: email, subject: `Welcome, ${displayName}`, sentAt: new Date().toISOString() });
  }
}

/** Listens to the package's events, which leave after COMMIT only: no user here was ever rolled back. */
@Injectable()
export class ActivityFeed {
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
