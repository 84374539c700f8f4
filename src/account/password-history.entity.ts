import { Column, Entity, JoinColumn, ManyToOne, PrimaryColumn, type Relation } from 'typeorm';
import { NestAuthBaseEntity } from '../transaction/base.entity.js';
import { NestAuthUser } from './user.entity.js';

const PRIMARY_KEY = 'nest_auth_password_history_pk';
const USER_KEY = 'nest_auth_password_history_user_fk';

/** A password that a user had before; there is none unless `password.history` is set. For reading. */
@Entity({ name: 'nest_auth_password_history' })
export class NestAuthFormerPassword extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'user_id', type: 'uuid', primaryKeyConstraintName: PRIMARY_KEY })
  userId!: string;

  /** A UUID of version 7: they are in the order in which the passwords were replaced. */
  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: PRIMARY_KEY })
  id!: string;

  @Column({ name: 'realm_id', type: 'uuid', update: false })
  realmId!: string;

  @Column({ name: 'password_hash', type: 'text', select: false, insert: false, update: false })
  passwordHash?: string;

  /** When it was replaced. */
  @Column({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;

  @ManyToOne(() => NestAuthUser, { onDelete: 'CASCADE' })
  @JoinColumn([
    { name: 'user_id', referencedColumnName: 'id', foreignKeyConstraintName: USER_KEY },
    { name: 'realm_id', referencedColumnName: 'realmId', foreignKeyConstraintName: USER_KEY },
  ])
  user?: Relation<NestAuthUser>;
}
