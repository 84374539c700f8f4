import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { NestAuthBaseEntity } from '../transaction/base.entity.js';

/** The counters of rate limits, where PostgreSQL keeps them. For reading. */
@Entity({ name: 'nest_auth_rate_limits' })
@Index('nest_auth_rate_limits_expire_ix', ['expire'])
export class NestAuthRateLimit extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'key', type: 'text', primaryKeyConstraintName: 'nest_auth_rate_limits_pk' })
  key!: string;

  @Column({ name: 'points', type: 'integer', default: 0, update: false })
  points!: number;

  /** Milliseconds since 1970. */
  @Column({ name: 'expire', type: 'bigint', nullable: true, update: false })
  expire!: string | null;
}
