import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';

import { InvitationService } from '../../src/index.js';
import { freshEmail, type NestAppFixture } from '../support/nest-app.js';
import type { Row, Stage } from './rows.js';

const nobody = uuidv7();
const NOBODYS_LINK = `${'A'.repeat(22)}.${'A'.repeat(43)}`;
const INVALID = 'INVITATION_INVALID';

const service = ({ context }: NestAppFixture): InvitationService => context.get(InvitationService);

/** An invitation of somebody new to the tenant of the stage. */
async function invite(app: NestAppFixture, { tenantId, member }: Stage, manager?: EntityManager) {
  const sent = await service(app).sendInvitation({ email: freshEmail(), tenantId, roleIds: [member] }, manager);
  return { id: sent.invitation.id, ...sent.reveal() };
}

/** One of the tenant of the stage, asked for from another one. */
const elsewhere =
  (call: (app: NestAppFixture, id: string, tenantId: string, manager?: EntityManager) => Promise<unknown>) =>
  (app: NestAppFixture, { unusedTenantId }: Stage, manager?: EntityManager) =>
    call(app, nobody, unusedTenantId, manager);

export const INVITATION_ROWS: Readonly<Record<string, Row>> = {
  sendInvitation: {
    writes: true,
    call: invite,
    foreign: {
      call: (app, _, m) => service(app).sendInvitation({ email: freshEmail(), tenantId: nobody }, m),
      code: 'TENANT_NOT_FOUND',
    },
  },
  resendInvitation: {
    writes: true,
    call: async (app, stage, m) => {
      const { id } = await invite(app, stage, m);
      return service(app).resendInvitation(id, stage.tenantId, m);
    },
    foreign: {
      call: elsewhere((app, id, tenantId, m) => service(app).resendInvitation(id, tenantId, m)),
      code: 'INVITATION_NOT_FOUND',
    },
  },
  revokeInvitation: {
    writes: true,
    call: async (app, stage, m) => {
      const { id } = await invite(app, stage, m);
      return service(app).revokeInvitation(id, stage.tenantId, m);
    },
    foreign: {
      call: elsewhere((app, id, tenantId, m) => service(app).revokeInvitation(id, tenantId, m)),
      code: 'INVITATION_NOT_FOUND',
    },
  },
  listInvitations: {
    call: (app, { tenantId }, m) => service(app).listInvitations({ tenantId }, m),
    foreign: {
      call: (app, { unusedTenantId }, m) => service(app).listInvitations({ tenantId: unusedTenantId }, m),
      answers: { items: [], nextCursor: null },
    },
  },
  getInvitationByToken: {
    writes: true,
    call: async (app, stage, m) => {
      const { token } = await invite(app, stage, m);
      return service(app).getInvitationByToken(token, m);
    },
    foreign: { call: (app, _, m) => service(app).getInvitationByToken(NOBODYS_LINK, m), code: INVALID },
  },
  acceptInvitation: {
    writes: true,
    call: async (app, stage, m) => {
      const { token } = await invite(app, stage, m);
      return service(app).acceptInvitation({ token }, m);
    },
    foreign: { call: (app, _, m) => service(app).acceptInvitation({ token: NOBODYS_LINK }, m), code: INVALID },
  },
  declineInvitation: {
    writes: true,
    call: async (app, stage, m) => {
      const { token } = await invite(app, stage, m);
      return service(app).declineInvitation({ token }, m);
    },
    foreign: { call: (app, _, m) => service(app).declineInvitation({ token: NOBODYS_LINK }, m), code: INVALID },
  },
  // There is nothing old enough; the tests of invitations make something.
  removeExpiredInvitations: { call: (app, _, m) => service(app).removeExpiredInvitations(m) },
};
