import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';
import { CREATE_REVOCATION, DROP_REVOCATION } from './revocation.triggers.js';

/** What is taken from users is told by NOTIFY on the channel `nest_auth_revoked`, whoever writes it. */
export class Revocation1790000000750 implements MigrationInterface {
  name = 'Revocation1790000000750';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `to_regproc('nest_auth_tell_revoked') IS NOT NULL`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      for (const statement of CREATE_REVOCATION) await runner.query(statement);
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      for (const statement of DROP_REVOCATION) await runner.query(statement);
    });
  }
}
