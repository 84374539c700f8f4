import { NestAuthUser } from 'nest-auth-identity';
import { Check, Column, CreateDateColumn, Entity, JoinColumn, OneToOne, PrimaryColumn, type Relation } from 'typeorm';

/** The languages that the portal speaks. */
const LOCALES = 'ar de el en es fr he hi is ja ko pl pt th tr uk vi zh'.split(' ');

/**
 * What the application itself knows about somebody who can sign in.
 *
 * The foreign key is `RESTRICT`: whoever deletes an auth user without its AppUser, or the other rows that a real
 * application hangs on it, is stopped by the database instead of losing them. `PortalUserService.deleteUser` deletes
 * both in the right order. `CASCADE` would be right for a table that is worth nothing by itself.
 */
@Entity('app_users')
@Check('app_users_display_name_ck', 'char_length(btrim(display_name)) BETWEEN 1 AND 80')
@Check('app_users_date_of_birth_ck', `date_of_birth >= DATE '1900-01-01' AND date_of_birth < CURRENT_DATE`)
@Check('app_users_locale_ck', `locale IN ('${LOCALES.join(`', '`)}')`)
export class AppUser {
  @PrimaryColumn({ type: 'uuid', primaryKeyConstraintName: 'app_users_pk' })
  id!: string;

  @Column({ name: 'auth_user_id', type: 'uuid', update: false })
  authUserId!: string;

  @OneToOne(() => NestAuthUser, { onDelete: 'RESTRICT' })
  @JoinColumn({ name: 'auth_user_id', foreignKeyConstraintName: 'app_users_auth_user_fk' })
  authUser?: Relation<NestAuthUser>;

  /** Mirrors of the auth user's, changed in the same transaction: reports and searches of the application need no join. */
  @Column({ type: 'text', nullable: true })
  email!: string | null;

  @Column({ type: 'text', nullable: true })
  phone!: string | null;

  /** 1 to 80 characters: `app_users_display_name_ck`. */
  @Column({ name: 'display_name', type: 'text' })
  displayName!: string;

  /** `YYYY-MM-DD`, from 1900 to yesterday: `app_users_date_of_birth_ck`. */
  @Column({ name: 'date_of_birth', type: 'date', nullable: true })
  dateOfBirth!: string | null;

  /** One of a short list: `app_users_locale_ck`. */
  @Column({ type: 'text', default: 'en' })
  locale!: string;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;
}
