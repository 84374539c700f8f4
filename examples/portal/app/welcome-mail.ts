import { Injectable } from '@nestjs/common';
import { type DeliveryContext, type IdentityEvent, NestAuthEvents, OnIdentityEvent } from 'nest-auth-identity';
import { Column, CreateDateColumn, Entity, PrimaryColumn } from 'typeorm';

/** Instead of a mail server: what would have been sent. No foreign key: a mail cannot be taken back. */
@Entity('app_mails')
export class AppMail {
  /** The event that it is about. */
  @PrimaryColumn({ name: 'event_id', type: 'uuid', primaryKeyConstraintName: 'app_mails_pk' })
  eventId!: string;

  @Column({ name: 'auth_user_id', type: 'uuid' })
  authUserId!: string;

  /** An email address, or a phone number. */
  @Column({ type: 'text' })
  recipient!: string;

  @Column({ type: 'text' })
  subject!: string;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;
}

/**
 * One message for everybody who was created, whichever way: read from the activity log, which a user that was rolled
 * back is not in, and by which a process that was killed goes on. The message and the position in the log are one
 * transaction, so none is written twice.
 */
@Injectable()
export class WelcomeMail {
  @OnIdentityEvent(NestAuthEvents.USER_CREATED, {
    subscriber: 'welcome-mail',
    startFrom: 'beginning',
    transactional: true,
  })
  async onCreated({ id, userId, after }: IdentityEvent, { manager }: DeliveryContext): Promise<void> {
    const recipient = after?.['email'] ?? after?.['phone'];
    await manager?.query(
      `INSERT INTO app_mails (event_id, auth_user_id, recipient, subject)
       SELECT $1, $2, $3, 'Welcome' || coalesce(', ' || (SELECT display_name FROM app_users WHERE auth_user_id = $2), '')`,
      [id, userId, recipient],
    );
  }
}
