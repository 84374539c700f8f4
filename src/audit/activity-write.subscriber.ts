import type {
  EntityMetadata,
  EntitySubscriberInterface,
  InsertEvent,
  ObjectLiteral,
  RemoveEvent,
  UpdateEvent,
} from 'typeorm';
import { NestAuthError } from '../errors/nest-auth.error.js';

const INSTEAD: Readonly<Record<string, string>> = {
  nest_auth_activities: 'The activity log is written by ActivityService.logActivity(), and never changed',
  nest_auth_activity_seals: 'Seals are made by ActivityService.sealActivities(), and never changed',
};

/**
 * Refuses to write the log through the ORM, before any SQL: the transaction stays usable. Raw SQL passes this by and
 * meets the triggers.
 */
export class ActivityWriteSubscriber implements EntitySubscriberInterface {
  beforeInsert({ metadata }: InsertEvent<ObjectLiteral>): void {
    refuseWrite(metadata);
  }

  beforeUpdate({ metadata }: UpdateEvent<ObjectLiteral>): void {
    refuseWrite(metadata);
  }

  beforeRemove({ metadata }: RemoveEvent<ObjectLiteral>): void {
    refuseWrite(metadata);
  }
}

function refuseWrite({ tableName }: EntityMetadata): void {
  const message = INSTEAD[tableName];
  if (message !== undefined) throw new NestAuthError('ENTITY_WRITE_REFUSED', message);
}
