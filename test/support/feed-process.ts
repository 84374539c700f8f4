// One process of a deployment with a durable subscriber, which writes down what it gets. Started by the tests of kills.
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';

import { type IdentityEvent, OnIdentityEvent, UserService } from '../../src/index.js';
import { startProcessApp, stayUntilTerminated } from './process-app.js';

/** Where the process dies: right after the COMMIT of a user, or when its handler has done its work. */
type DiesAt = 'never' | 'after-commit' | 'after-handler';

const [url, diesAt, email] = process.argv.slice(2) as [string, DiesAt, string];
const die = (): void => process.kill(process.pid, 'SIGKILL') as unknown as void;

@Injectable()
class Subscriber {
  constructor(private readonly dataSource: DataSource) {}

  @OnIdentityEvent('nest_auth.user.created', { subscriber: 'crm', backoffMs: 10 })
  async take(event: IdentityEvent): Promise<void> {
    await this.dataSource.query('insert into got (event, pid) values ($1, $2)', [event.id, process.pid]);
    if (diesAt === 'after-handler') die();
  }
}

// Whoever dies after COMMIT must not deliver before.
const subscribers = { pollMs: diesAt === 'after-commit' ? 3_600_000 : 20, leaseMs: 600 };
const app = await startProcessApp(url, { subscribers }, { pool: 3, providers: [Subscriber] });
if (email !== undefined) {
  const users = app.get(UserService);
  await users.runInTransaction(() => users.createUser({ email }));
  if (diesAt === 'after-commit') die();
}
stayUntilTerminated(app);
