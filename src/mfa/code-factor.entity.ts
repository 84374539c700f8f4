import { Check, Column, Entity, JoinColumn, ManyToOne, PrimaryColumn, type Relation } from 'typeorm';
import { NestAuthBaseEntity } from '../transaction/base.entity.js';
import { NestAuthSecondFactorChallenge } from './second-factor.entities.js';

const PRIMARY_KEY = 'nest_auth_second_factor_codes_pk';
const CHALLENGE_KEY = 'nest_auth_second_factor_codes_challenge_fk';

/** The code that was sent last to somebody who signs in; it goes with the challenge that it is for. For reading. */
@Entity({ name: 'nest_auth_second_factor_codes' })
@Check('nest_auth_second_factor_codes_kind_ck', `kind IN ('email', 'sms')`)
export class NestAuthSecondFactorCode extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'user_id', type: 'uuid', primaryKeyConstraintName: PRIMARY_KEY })
  userId!: string;

  @PrimaryColumn({ name: 'challenge_hash', type: 'bytea', primaryKeyConstraintName: PRIMARY_KEY })
  challengeHash!: Buffer;

  /** Of this issue: another one replaces it. */
  @Column({ name: 'id', type: 'uuid', update: false })
  id!: string;

  @Column({ name: 'realm_id', type: 'uuid', update: false })
  realmId!: string;

  @Column({ name: 'kind', type: 'text', update: false })
  kind!: 'email' | 'sms';

  /** Where it went: good only as long as that is the user's verified one. */
  @Column({ name: 'address', type: 'text', update: false })
  address!: string;

  /** The key of `secrets.keys` by which it was derived from the salt. */
  @Column({ name: 'key_id', type: 'text', update: false })
  keyId!: string;

  @Column({ name: 'salt', type: 'bytea', select: false, insert: false, update: false })
  salt?: Buffer;

  /** By that key too: a plain hash of six digits would be no secret. */
  @Column({ name: 'code_hash', type: 'bytea', select: false, insert: false, update: false })
  codeHash?: Buffer;

  @Column({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;

  @ManyToOne(() => NestAuthSecondFactorChallenge, { onDelete: 'CASCADE' })
  @JoinColumn([
    { name: 'user_id', referencedColumnName: 'userId', foreignKeyConstraintName: CHALLENGE_KEY },
    { name: 'challenge_hash', referencedColumnName: 'tokenHash', foreignKeyConstraintName: CHALLENGE_KEY },
  ])
  challenge?: Relation<NestAuthSecondFactorChallenge>;
}
