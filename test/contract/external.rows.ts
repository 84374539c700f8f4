import type { EntityManager } from 'typeorm';
import { v4 as uuidv4, v7 as uuidv7 } from 'uuid';

import { type ExternalFlow, ExternalSignInService, type SessionKeyOf } from '../../src/index.js';
import type { NestAppFixture } from '../support/nest-app.js';
import { paperCallback, paperProvider, somebodyElsewhere } from '../support/paper-provider.js';
import type { Row, Stage } from './rows.js';

/** The provider of these rows; it needs no network. */
export const PAPER = paperProvider('paper', { signUp: true });

const nobody = uuidv7();
const service = ({ context }: NestAppFixture): ExternalSignInService => context.get(ExternalSignInService);
const back = (flow: ExternalFlow) => ({
  provider: 'paper',
  url: paperCallback(flow, somebodyElsewhere(uuidv4())),
  flowToken: flow.flowToken,
});
const NOTHING_BEGUN = { provider: 'paper', url: '/callback?code=x&state=x', flowToken: 'A'.repeat(43) };
const FLOW = {
  writes: 'silently',
  unaudited: 'nobody has done anything yet: the answer of the provider is awaited',
} as const;

type SignIn = (app: NestAppFixture, stage: Stage, manager?: EntityManager) => Promise<SessionKeyOf>;

/** The rows of `ExternalSignInService`; `signIn` opens a session for the user of the stage, by a password. */
export function externalRows(signIn: SignIn, elsewhere: (why: string) => Row): Readonly<Record<string, Row>> {
  return {
    getProviders: elsewhere('it asks nobody: the tests of signing in by providers'),
    beginSignIn: {
      ...FLOW,
      call: (app, _, m) => service(app).beginSignIn('paper', {}, m),
      foreign: { call: (app, _, m) => service(app).beginSignIn('nobody', {}, m), code: 'PROVIDER_NOT_FOUND' },
    },
    completeSignIn: {
      writes: true,
      call: async (app, _, m) =>
        service(app).completeSignIn(back(await service(app).beginSignIn('paper', {}, m)), {}, m),
      foreign: {
        call: (app, _, m) => service(app).completeSignIn(NOTHING_BEGUN, {}, m),
        code: 'EXTERNAL_SIGN_IN_INVALID',
      },
    },
    beginLink: {
      ...FLOW,
      call: (app, { user }, m) => service(app).beginLink('paper', { userId: user.id, sessionId: nobody }, {}, m),
    },
    completeLink: {
      writes: true,
      apart: true,
      call: async (app, stage, m) => {
        const session = await signIn(app, stage, m);
        return service(app).completeLink(back(await service(app).beginLink('paper', session, {}, m)), session, m);
      },
      foreign: {
        call: (app, { user }, m) => service(app).completeLink(NOTHING_BEGUN, { userId: user.id, sessionId: nobody }, m),
        code: 'EXTERNAL_SIGN_IN_INVALID',
      },
    },
    unlink: {
      writes: true,
      apart: true,
      call: async (app, stage, m) => {
        await signIn(app, stage, m);
        await stage.user.findOrCreateIdentity('paper', stage.unique, m);
        return service(app).unlink(stage.user.id, 'paper', stage.unique, m);
      },
      foreign: { call: (app, _, m) => service(app).unlink(nobody, 'paper', 'x', m), code: 'USER_NOT_FOUND' },
    },
    getLinkedIdentities: {
      call: (app, { user }, m) => service(app).getLinkedIdentities(user.id, m),
      foreign: { call: (app, _, m) => service(app).getLinkedIdentities(nobody, m), answers: [] },
    },
    removeExpiredFlows: {
      ...FLOW,
      call: async (app, _, m) => {
        await service(app).beginSignIn('paper', {}, m);
        return service(app).removeExpiredFlows(m);
      },
    },
  };
}
