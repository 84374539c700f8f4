import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { NestAuthBaseEntity } from '../transaction/base.entity.js';

const FAILURES_KEY = 'nest_auth_sign_in_failures_pk';

/** What was tried against an account from one network since somebody came in from there. For reading. */
@Entity({ name: 'nest_auth_sign_in_failures' })
@Index('nest_auth_sign_in_failures_since_ix', ['since'])
export class NestAuthSignInFailure extends NestAuthBaseEntity {
  /** Id of the user; for a login that nobody has an id made of it. */
  @PrimaryColumn({ name: 'subject', type: 'uuid', primaryKeyConstraintName: FAILURES_KEY })
  subject!: string;

  /** An IPv4 address or an IPv6 /64; `0.0.0.0/32` where no address was given. */
  @PrimaryColumn({ name: 'network', type: 'cidr', primaryKeyConstraintName: FAILURES_KEY })
  network!: string;

  @Column({ name: 'failures', type: 'integer', update: false })
  failures!: number;

  @Column({ name: 'since', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  since!: Date;

  @Column({ name: 'last_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  lastAt!: Date;

  /** So long after the last one nobody is let in from there. */
  @Column({ name: 'wait_seconds', type: 'integer', default: 0, update: false })
  waitSeconds!: number;
}

/** What was tried against an account from all networks together, in one span of time. For reading. */
@Entity({ name: 'nest_auth_sign_in_totals' })
@Index('nest_auth_sign_in_totals_since_ix', ['since'])
export class NestAuthSignInTotal extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'subject', type: 'uuid', primaryKeyConstraintName: 'nest_auth_sign_in_totals_pk' })
  subject!: string;

  @Column({ name: 'failures', type: 'integer', update: false })
  failures!: number;

  @Column({ name: 'since', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  since!: Date;
}
