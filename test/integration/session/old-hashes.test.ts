import { describe, expect, it } from '@jest/globals';
import bcrypt from 'bcrypt';

import { NestAuthEvents, PasswordService } from '../../../src/index.js';
import { freshEmail, outcomesOf, times, useNestApp } from '../../support/nest-app.js';
import { activitiesOf, auth, AUTH, CHEAP, query, sessions } from './fixture.js';

const app = useNestApp({ auth: AUTH });

const PASSWORD = 'correct horse';
const OLD: Record<string, () => Promise<string>> = {
  bcrypt: () => bcrypt.hash(PASSWORD, 4),
  'hash and salt': async () =>
    PasswordService.legacy({
      algorithm: 'pbkdf2-sha512',
      hash: '638dcd6d5b0c6f752e589a5bdb47dcdd860d3495ca08623409d0d631cf2c37b4969a8c405ae7c86f19f2cfe9d2cbbca7b3505ad63a17db5d4c9a9b5e0c42dfc3',
      salt: 'a1b2c3d4',
      iterations: 1_000,
    }),
  scrypt: async () =>
    PasswordService.legacy({
      algorithm: 'scrypt',
      hash: '7d659108ac7e445c5d804bec074ae9536fb9463a1b68af58b55d107c546dbe73a3c78f9494d06ad75219e135372e85b9ebd8cdc074c3ac496570a167d261da68',
      salt: 'a1b2c3d4',
    }),
  PBKDF2: async () => 'pbkdf2_sha256$10000$s1w0UXDd00XB$H+FgFXDfFlGC3M20gnQWHT33L/3pPIABymvwLC1ijXs=',
};

async function storedOf(id: string): Promise<string> {
  const [row] = await query<{ h: string }>(app.url, 'select password_hash as h from nest_auth_users where id = $1', [
    id,
  ]);
  return row?.h ?? '';
}

describe('somebody whose password another system has hashed', () => {
  it.each(Object.entries(OLD))('by %s signs in with it, once: then it is one of ours', async (_, make) => {
    const email = freshEmail();
    const stored = await make();
    const { id } = await app.users.createUser({ email, password: await app.passwords.importHash(stored) });
    expect(await storedOf(id)).toBe(stored);
    await expect(auth(app).signIn({ email, password: 'wrong horse' })).rejects.toMatchObject({
      code: 'INVALID_CREDENTIALS',
    });
    expect(await storedOf(id)).toBe(stored);
    const { accessToken } = await auth(app).signIn({ email, password: PASSWORD });
    expect(await storedOf(id)).toContain(`$argon2id$v=19$m=${CHEAP.memoryKiB},t=${CHEAP.iterations}`);
    // The password is the same: the session goes on, and nothing else is told.
    await expect(auth(app).me(accessToken)).resolves.toMatchObject({ user: { id } });
    expect((await activitiesOf(app.url, id)).map(({ type }) => type)).toEqual([
      NestAuthEvents.USER_CREATED,
      NestAuthEvents.USER_LOGIN_FAILED,
      NestAuthEvents.USER_LOGGED_IN,
    ]);
    await expect(auth(app).signIn({ email, password: PASSWORD })).resolves.toMatchObject({ userId: id });
  });

  it('is upgraded once, also when ten sign-ins come at once', async () => {
    const email = freshEmail();
    const password = await app.passwords.importHash(await bcrypt.hash(PASSWORD, 4));
    const { id } = await app.users.createUser({ email, password });
    await query(
      app.url,
      `create table app_upgrades (id serial primary key);
       create function count_upgrade() returns trigger language plpgsql as
         $$ begin if old.password_hash is distinct from new.password_hash then insert into app_upgrades default values;
            end if; return new; end $$;
       create trigger count_upgrade after update on nest_auth_users for each row execute function count_upgrade()`,
    );
    try {
      const { won, codes } = await outcomesOf(times(10, () => auth(app).signIn({ email, password: PASSWORD })));
      expect(codes).toEqual({});
      expect(won).toHaveLength(10);
      expect(await query(app.url, 'select id from app_upgrades')).toHaveLength(1);
      expect(await sessions(app).getSessions(id)).toHaveLength(10);
    } finally {
      await query(app.url, 'drop function count_upgrade cascade; drop table app_upgrades');
    }
  });

  it('SEC-04: beyond 72 bytes, bcrypt takes what the other system took, and after that only the password itself', async () => {
    const email = freshEmail();
    const long = 'x'.repeat(72);
    const password = await app.passwords.importHash(await bcrypt.hash(`${long}a`, 4));
    await app.users.createUser({ email, password });
    await expect(auth(app).signIn({ email, password: `${long}a` })).resolves.toBeDefined();
    await expect(auth(app).signIn({ email, password: `${long}b` })).rejects.toMatchObject({
      code: 'INVALID_CREDENTIALS',
    });
    await expect(auth(app).signIn({ email, password: `${long}a` })).resolves.toBeDefined();
  });

  it('is brought by the hundred, and by setPassword', async () => {
    const stored = await bcrypt.hash(PASSWORD, 4);
    const rows = await Promise.all(
      times(3, async () => ({ email: freshEmail(), password: await app.passwords.importHash(stored) })),
    );
    expect(await app.users.createUsers(rows)).toMatchObject({ created: 3, refused: 0 });
    const user = await app.users.createUser({ email: freshEmail() });
    await user.setPassword(await app.passwords.importHash(stored));
    expect(await user.validatePassword(PASSWORD)).toBe(true);
    expect(await storedOf(user.id)).toContain('$argon2id$');
    for (const { email } of rows) await expect(auth(app).signIn({ email, password: PASSWORD })).resolves.toBeDefined();
  });
});
