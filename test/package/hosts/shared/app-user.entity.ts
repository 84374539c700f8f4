import { NestAuthUser } from 'nest-auth-identity';
import {
  Column,
  Entity,
  JoinColumn,
  type MigrationInterface,
  OneToOne,
  PrimaryGeneratedColumn,
  type QueryRunner,
  type Relation,
} from 'typeorm';

/** The host's own profile row, created together with the auth user. */
@Entity('app_users')
export class AppUser {
  @PrimaryGeneratedColumn('uuid')
  id!: string;

  @Column({ name: 'auth_user_id', type: 'uuid' })
  authUserId!: string;

  @OneToOne(() => NestAuthUser, { onDelete: 'CASCADE' })
  @JoinColumn({ name: 'auth_user_id', foreignKeyConstraintName: 'app_users_auth_user_fk' })
  authUser!: Relation<NestAuthUser>;

  @Column({ name: 'full_name', type: 'text' })
  fullName!: string;
}

export class CreateAppUsers1800000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE app_users (
        id uuid NOT NULL DEFAULT gen_random_uuid(),
        auth_user_id uuid NOT NULL,
        full_name text NOT NULL,
        PRIMARY KEY (id),
        UNIQUE (auth_user_id),
        CONSTRAINT app_users_auth_user_fk FOREIGN KEY (auth_user_id) REFERENCES nest_auth_users (id) ON DELETE CASCADE
      )
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE app_users');
  }
}
