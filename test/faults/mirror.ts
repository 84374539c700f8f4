import { Column, Entity, PrimaryColumn } from 'typeorm';

/** The host's own row beside each user: it repeats what it was told, so that a half-made change can be seen. */
@Entity({ name: 'app_mirrors' })
export class AppMirror {
  @PrimaryColumn({ name: 'auth_user_id', type: 'uuid' })
  authUserId!: string;

  @Column({ name: 'email', type: 'text', unique: true })
  email!: string;

  @Column({ name: 'phone', type: 'text', nullable: true })
  phone!: string | null;

  /** The one role the user has, in a tenant or on the platform. */
  @Column({ name: 'role_id', type: 'uuid' })
  roleId!: string;

  /** Where the user stands in their life. */
  @Column({ name: 'state', type: 'text' })
  state!: PersonState;

  /** How many sessions of the user are open; null until the host has begun to count. */
  @Column({ name: 'sessions', type: 'integer', nullable: true })
  sessions!: number | null;

  /** How often a session of the user was refreshed. */
  @Column({ name: 'refreshes', type: 'integer' })
  refreshes!: number;

  /** How often the password was reset. */
  @Column({ name: 'resets', type: 'integer' })
  resets!: number;
}

export type PersonState = 'active' | 'inactive' | 'disabled' | 'soft_deleted';

/** The ledger is what two transactions fight over; the function is what a trigger of a fault calls. */
export const TABLES = `
  create table if not exists app_mirrors (
    auth_user_id uuid primary key references nest_auth_users (id),
    email text not null unique check (email <> 'refused'),
    phone text,
    role_id uuid not null,
    state text not null,
    sessions integer default 0,
    refreshes integer not null default 0,
    resets integer not null default 0
  );
  create table if not exists fault_ledger (id integer primary key, amount integer not null);
  insert into fault_ledger values (1, 0), (2, 0) on conflict do nothing;
  create sequence if not exists fault_shots;
  create or replace function fault_fire() returns trigger language plpgsql as $$
  begin
    -- A sequence is not undone by a rollback: the next attempt goes through.
    if nextval('fault_shots') > 1 then return null; end if;
    if tg_argv[0] = 'sleep' then perform pg_sleep(600);
    else raise exception 'made to fail' using errcode = tg_argv[0]; end if;
    return null;
  end $$`;
