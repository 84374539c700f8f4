import { Check, Column, Entity, PrimaryColumn } from 'typeorm';
import { NestAuthBaseEntity } from '../transaction/base.entity.js';

/**
 * A link of the chain over the activity log: a digest of the activities that follow those of the seal before it, and a
 * hash over that digest and the hash before. Never changed, and never removed with the activities it is about.
 */
@Entity({ name: 'nest_auth_activity_seals' })
@Check('nest_auth_activity_seals_position_ck', `position > 0`)
@Check('nest_auth_activity_seals_chain_ck', `(position = 1) = (previous_hash IS NULL)`)
export class NestAuthActivitySeal extends NestAuthBaseEntity {
  /** From 1, without a gap. */
  @PrimaryColumn({ name: 'position', type: 'bigint', primaryKeyConstraintName: 'nest_auth_activity_seals_pk' })
  position!: string;

  /** The month, in UTC, of all its activities: what is dropped together. */
  @Column({ name: 'month', type: 'text' })
  month!: string;

  @Column({ name: 'from_xid', type: 'bigint' })
  fromXid!: string;

  @Column({ name: 'from_id', type: 'uuid' })
  fromId!: string;

  @Column({ name: 'to_xid', type: 'bigint' })
  toXid!: string;

  @Column({ name: 'to_id', type: 'uuid' })
  toId!: string;

  /** How many there are. */
  @Column({ name: 'activities', type: 'integer' })
  activities!: number;

  /** SHA-256 over the digests of the activities, in order. */
  @Column({ name: 'digest', type: 'text' })
  digest!: string;

  @Column({ name: 'previous_hash', type: 'text', nullable: true })
  previousHash!: string | null;

  @Column({ name: 'hash', type: 'text' })
  hash!: string;

  /** Whether the hash was made with a key that the database does not know. */
  @Column({ name: 'is_keyed', type: 'boolean' })
  isKeyed!: boolean;

  @Column({ name: 'sealed_at', type: 'timestamptz', precision: 3 })
  sealedAt!: Date;
}
