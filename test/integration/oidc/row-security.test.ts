import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { paperCallback, paperProvider, somebodyElsewhere } from '../../support/paper-provider.js';
import { type RlsApp, seedTenants, startRlsApp } from '../../support/rls-app.js';
import { createRlsDatabase, type RlsDatabase } from '../../support/rls-database.js';
import { dumpTables } from '../../support/tables.js';
import { auth, PASSWORD, person } from '../session/fixture.js';
import { byProviders, external } from './fixture.js';

let database: RlsDatabase;
let app: RlsApp;

beforeAll(async () => {
  database = await createRlsDatabase();
  const paper = paperProvider('paper', { signUp: true, trustsEmail: true });
  const started = await startRlsApp(database, { auth: byProviders([paper]) });
  app = { ...started, ...(await seedTenants(started)) };
});
afterAll(async () => {
  await app.close();
  await database.drop();
});

describe('with row-level security', () => {
  it('one signs up and in by a provider without any tenant to run in, and links an account', async () => {
    const who = somebodyElsewhere('anna', { email: 'anna@elsewhere.example', emailVerified: true });
    const come = async () => {
      const flow = await external(app).beginSignIn('paper');
      const answer = { provider: 'paper', url: paperCallback(flow, who), flowToken: flow.flowToken };
      return external(app).completeSignIn(answer);
    };
    const { userId } = await come();
    await expect(come()).resolves.toMatchObject({ account: 'known', userId });
    const { email } = await app.tenant.withoutTenant('seed', () => person(app, app.a.id));
    const session = await auth(app).signIn({ email, password: PASSWORD, tenantId: app.a.id });
    const flow = await external(app).beginLink('paper', session);
    const url = paperCallback(flow, somebodyElsewhere('bob'));
    await external(app).completeLink({ provider: 'paper', url, flowToken: flow.flowToken }, session);
    await app.tenant.run(app.a.id, async () => {
      expect(await external(app).getLinkedIdentities(session.userId)).toHaveLength(1);
      // Of somebody who is no member there, a tenant learns nothing.
      expect(await external(app).getLinkedIdentities(userId)).toEqual([]);
      await expect(external(app).unlink(userId, 'paper', 'x')).rejects.toMatchObject({ code: 'USER_NOT_FOUND' });
    });
    expect(await external(app).removeExpiredFlows()).toBe(0);
  });

  it.each([
    'select provider from nest_auth_external_flows',
    `insert into nest_auth_external_flows (token_hash, purpose, provider, sealed, expires_at) values ('x', 'sign_in', 'paper', 'x', now())`,
    `update nest_auth_external_flows set expires_at = now() + interval '1 day' returning provider`,
    'delete from nest_auth_external_flows returning provider',
  ])('a tenant gets nothing by: %s', async (sql) => {
    await external(app).beginSignIn('paper');
    const before = await dumpTables(database.url);
    const answer: unknown = await app.tenant
      .run(app.a.id, () => app.dataSource.query(sql))
      .catch((error: { driverError?: { code?: string } }) => error.driverError?.code);
    expect([[], [[], 0], '42501']).toContainEqual(answer);
    expect(await dumpTables(database.url)).toEqual(before);
  });
});
