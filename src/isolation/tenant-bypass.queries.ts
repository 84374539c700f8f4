import type { EntityManager } from 'typeorm';
import { activity, audited } from '../audit/audited-statement.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { executeOne } from '../transaction/statement.js';
import type { TenantBypass } from './isolation.types.js';

/** In the name of the tenant that was left, so that it can see who did. */
const BYPASSED = audited<{ recorded: boolean }>(
  'tenant_bypassed',
  `with ${activity({
    type: NestAuthEvents.TENANT_BYPASSED,
    from: '(values (1)) as bypass (row)',
    tenantId: '$2::uuid',
    subjectType: 'tenant',
    subjectId: '$2::uuid',
    details: `jsonb_build_object('reason', $1::text)`,
  })}
  select true as recorded`,
  ([row]) => row?.recorded === true,
);

export async function writeBypass(manager: EntityManager, { reason, tenantId }: TenantBypass): Promise<void> {
  await executeOne(manager, BYPASSED, [reason, tenantId]);
}
