import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';

import {
  ApiKeyService,
  type IssuedApiKey,
  type NestAuthServiceAccount,
  ServiceAccountService,
} from '../../src/index.js';
import type { NestAppFixture } from '../support/nest-app.js';
import type { Row, Stage } from './rows.js';

const nobody = uuidv7();
const keys = ({ context }: NestAppFixture): ApiKeyService => context.get(ApiKeyService);
const accounts = ({ context }: NestAppFixture): ServiceAccountService => context.get(ServiceAccountService);

async function keyOf(app: NestAppFixture, { user, tenantId }: Stage, m?: EntityManager): Promise<IssuedApiKey> {
  const scopes = await app.access.getPermissions(user.id, tenantId, m);
  return keys(app).createApiKey({ owner: { userId: user.id, tenantId }, name: 'a key', scopes }, m);
}

/** A name of its own for each: a row is called more than once on one stage. */
function account(app: NestAppFixture, { tenantId }: Stage, m?: EntityManager): Promise<NestAuthServiceAccount> {
  return accounts(app).create({ tenantId, name: `robot-${uuidv7()}` }, m);
}

const NOTED: Row = { call: () => Promise.resolve(), elsewhere: 'its use is noted apart: the tests of API keys' };

const missing = (call: Row['call'], code: string) => ({ call, code });

/** The rows of `ApiKeyService`. */
export const API_KEY_ROWS: Readonly<Record<string, Row>> = {
  createApiKey: {
    writes: true,
    call: keyOf,
    foreign: missing(
      (app, { user, unusedTenantId }, m) =>
        keys(app).createApiKey(
          { owner: { userId: user.id, tenantId: unusedTenantId }, name: 'a key', scopes: ['x'] },
          m,
        ),
      'ACCESS_NOT_FOUND',
    ),
  },
  listApiKeys: {
    call: (app, { user }, m) => keys(app).listApiKeys({ userId: user.id }, {}, m),
    foreign: {
      call: async (app, _, m) => (await keys(app).listApiKeys({ userId: nobody }, {}, m)).items,
      answers: [],
    },
  },
  revokeApiKey: {
    writes: true,
    call: async (app, stage, m) => {
      const { apiKey } = await keyOf(app, stage, m);
      await keys(app).revokeApiKey({ userId: stage.user.id }, apiKey.id, m);
    },
    foreign: missing((app, { user }, m) => keys(app).revokeApiKey({ userId: user.id }, nobody, m), 'API_KEY_NOT_FOUND'),
  },
  revokeAllApiKeys: {
    writes: true,
    call: async (app, stage, m) => {
      await keyOf(app, stage, m);
      await keys(app).revokeAllApiKeys({ userId: stage.user.id, tenantId: stage.tenantId }, m);
    },
    foreign: {
      call: (app, { user, unusedTenantId }, m) =>
        keys(app).revokeAllApiKeys({ userId: user.id, tenantId: unusedTenantId }, m),
      answers: 0,
    },
  },
  rotateApiKey: {
    writes: true,
    call: async (app, stage, m) => {
      const { apiKey } = await keyOf(app, stage, m);
      await keys(app).rotateApiKey({ userId: stage.user.id }, apiKey.id, {}, m);
    },
    foreign: missing(
      (app, { user }, m) => keys(app).rotateApiKey({ userId: user.id }, nobody, {}, m),
      'API_KEY_NOT_FOUND',
    ),
  },
  authenticateApiKey: NOTED,
};

/** The rows of `ServiceAccountService`. */
export const SERVICE_ACCOUNT_ROWS: Readonly<Record<string, Row>> = {
  create: {
    writes: true,
    call: account,
    foreign: missing((app, _, m) => accounts(app).create({ tenantId: nobody, name: 'x' }, m), 'TENANT_NOT_FOUND'),
  },
  list: {
    call: (app, { tenantId }, m) => accounts(app).list({ tenantId }, m),
    foreign: {
      call: async (app, _, m) => (await accounts(app).list({ tenantId: nobody }, m)).items,
      answers: [],
    },
  },
  get: {
    call: (app, { tenantId }, m) => accounts(app).get(nobody, tenantId, m),
    foreign: { call: (app, { unusedTenantId }, m) => accounts(app).get(nobody, unusedTenantId, m), answers: null },
  },
  disable: {
    writes: true,
    call: async (app, stage, m) => accounts(app).disable((await account(app, stage, m)).id, stage.tenantId, m),
    foreign: missing((app, { tenantId }, m) => accounts(app).disable(nobody, tenantId, m), 'SERVICE_ACCOUNT_NOT_FOUND'),
  },
  enable: {
    writes: true,
    call: async (app, stage, m) => {
      const { id } = await account(app, stage, m);
      await accounts(app).disable(id, stage.tenantId, m);
      await accounts(app).enable(id, stage.tenantId, m);
    },
    foreign: missing((app, { tenantId }, m) => accounts(app).enable(nobody, tenantId, m), 'SERVICE_ACCOUNT_NOT_FOUND'),
  },
  delete: {
    writes: true,
    call: async (app, stage, m) => accounts(app).delete((await account(app, stage, m)).id, stage.tenantId, m),
    foreign: missing((app, { tenantId }, m) => accounts(app).delete(nobody, tenantId, m), 'SERVICE_ACCOUNT_NOT_FOUND'),
  },
};
