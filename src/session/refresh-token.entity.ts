import { Check, Column, Entity, Index, JoinColumn, ManyToOne, PrimaryColumn, type Relation } from 'typeorm';
import { NestAuthBaseEntity } from '../transaction/base.entity.js';
import { NestAuthSession } from './session.entity.js';

const PRIMARY_KEY = 'nest_auth_refresh_tokens_pk';
const SESSION_KEY = 'nest_auth_refresh_tokens_session_fk';

/** One link in the chain of a session's refresh tokens, by its hash: the token itself is nowhere. */
@Entity({ name: 'nest_auth_refresh_tokens' })
@Index('nest_auth_refresh_tokens_session_ix', ['userId', 'sessionId'])
@Check(
  'nest_auth_refresh_tokens_used_ck',
  `(used_at IS NULL) = (successor_seed IS NULL) AND (used_at IS NULL) = (successor_hash IS NULL)`,
)
export class NestAuthRefreshToken extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'user_id', type: 'uuid', primaryKeyConstraintName: PRIMARY_KEY })
  userId!: string;

  /** SHA-256: the token has 256 random bits, so that nothing slower is needed. */
  @PrimaryColumn({ name: 'token_hash', type: 'bytea', primaryKeyConstraintName: PRIMARY_KEY })
  tokenHash!: Buffer;

  @Column({ name: 'session_id', type: 'uuid', update: false })
  sessionId!: string;

  @Column({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;

  @Column({ name: 'used_at', type: 'timestamptz', precision: 3, nullable: true, update: false })
  usedAt!: Date | null;

  /** With the token itself and the application's key it gives the successor; by itself nothing. */
  @Column({ name: 'successor_seed', type: 'bytea', nullable: true, select: false, insert: false, update: false })
  successorSeed?: Buffer | null;

  @Column({ name: 'successor_hash', type: 'bytea', nullable: true, update: false })
  successorHash!: Buffer | null;

  @ManyToOne(() => NestAuthSession, { onDelete: 'CASCADE' })
  @JoinColumn([
    { name: 'user_id', referencedColumnName: 'userId', foreignKeyConstraintName: SESSION_KEY },
    { name: 'session_id', referencedColumnName: 'id', foreignKeyConstraintName: SESSION_KEY },
  ])
  session?: Relation<NestAuthSession>;
}
