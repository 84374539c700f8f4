import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The application's own tables, made after the package's: one refers to `nest_auth_users`. */
export class AppUsers1800000000000 implements MigrationInterface {
  name = 'AppUsers1800000000000';

  async up(runner: QueryRunner): Promise<void> {
    // "In the past" is a check on a clock, which PostgreSQL allows because a date that has passed stays passed.
    await runner.query(`CREATE TABLE app_users (
      id uuid NOT NULL,
      auth_user_id uuid NOT NULL,
      email text,
      phone text,
      display_name text NOT NULL,
      date_of_birth date,
      locale text NOT NULL DEFAULT 'en',
      created_at timestamptz(3) NOT NULL DEFAULT now(),
      CONSTRAINT app_users_pk PRIMARY KEY (id),
      CONSTRAINT app_users_auth_user_uq UNIQUE (auth_user_id),
      CONSTRAINT app_users_auth_user_fk FOREIGN KEY (auth_user_id) REFERENCES nest_auth_users (id) ON DELETE RESTRICT,
      CONSTRAINT app_users_display_name_ck CHECK (char_length(btrim(display_name)) BETWEEN 1 AND 80),
      CONSTRAINT app_users_date_of_birth_ck CHECK (date_of_birth >= DATE '1900-01-01' AND date_of_birth < CURRENT_DATE),
      CONSTRAINT app_users_locale_ck CHECK (
        locale IN ('ar', 'de', 'el', 'en', 'es', 'fr', 'he', 'hi', 'is', 'ja', 'ko', 'pl', 'pt', 'th', 'tr', 'uk', 'vi', 'zh')
      )
    )`);
    await runner.query(`CREATE TABLE app_mails (
      event_id uuid NOT NULL,
      auth_user_id uuid NOT NULL,
      recipient text NOT NULL,
      subject text NOT NULL,
      created_at timestamptz(3) NOT NULL DEFAULT now(),
      CONSTRAINT app_mails_pk PRIMARY KEY (event_id)
    )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE app_mails, app_users');
  }
}
