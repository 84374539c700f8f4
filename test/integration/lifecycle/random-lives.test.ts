import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { type LifecycleState, LifecycleStateEnum, UserLifecycleService } from '../../../src/index.js';
import { withClient } from '../../support/database.js';
import { freshEmail, useNestApp } from '../../support/nest-app.js';
import { activityTypes, age, stateOf } from './fixture.js';

const app = useNestApp();
const lifecycle = () => app.context.get(UserLifecycleService);

/** What the model knows of a user. Written from the document, without the table of the package. */
interface Model {
  state: LifecycleState | 'gone';
  held: boolean;
  /** Days since the schedule. */
  waited: number;
}

interface Command {
  run(id: string): Promise<unknown>;
  /** Changes the model, or says that the call is refused. */
  step(model: Model): boolean;
}

const { PENDING, ACTIVE, INACTIVE, DISABLED, SOFT_DELETED, SCHEDULED_DELETION } = LifecycleStateEnum;

const edge =
  (from: readonly LifecycleState[], to: LifecycleState | 'gone', blocked = false) =>
  (model: Model): boolean => {
    if (!from.includes(model.state as LifecycleState) || (blocked && model.held)) return false;
    model.state = to;
    return true;
  };

const COMMANDS: Readonly<Record<string, Command>> = {
  activate: { run: (id) => lifecycle().activateById(id), step: edge([PENDING], ACTIVE) },
  reactivate: { run: (id) => lifecycle().reactivateById(id), step: edge([INACTIVE], ACTIVE) },
  deactivate: { run: (id) => lifecycle().deactivateById(id), step: edge([ACTIVE], INACTIVE) },
  deactivatePending: {
    run: (id) => lifecycle().deactivatePendingUser({ id, gracePeriodInDays: 0 }),
    step: edge([PENDING], INACTIVE),
  },
  disable: { run: (id) => lifecycle().disableById(id), step: edge([PENDING, ACTIVE, INACTIVE], DISABLED) },
  softDelete: { run: (id) => lifecycle().softDeleteById(id), step: edge([DISABLED], SOFT_DELETED, true) },
  restore: { run: (id) => lifecycle().restoreById(id), step: edge([SOFT_DELETED], DISABLED) },
  schedule: {
    run: (id) => lifecycle().scheduleForDeletionById(id),
    step: (model) => edge([SOFT_DELETED], SCHEDULED_DELETION, true)(model) && ((model.waited = 0), true),
  },
  cancel: { run: (id) => lifecycle().cancelDeletionById(id), step: edge([SCHEDULED_DELETION], SOFT_DELETED) },
  wait: { run: (id) => age(app.url, [id], '16 days'), step: (model) => ((model.waited += 16), true) },
  delete: {
    run: (id) => lifecycle().deleteById(id),
    step: (model) => {
      if (model.state === SCHEDULED_DELETION && model.waited < 30) return false;
      return edge([DISABLED, SCHEDULED_DELETION], 'gone', true)(model);
    },
  },
  hold: {
    run: (id) => lifecycle().setLegalHold(id, 'case'),
    step: (model) => model.state !== 'gone' && !model.held && (model.held = true),
  },
  release: {
    run: (id) => lifecycle().releaseLegalHold(id),
    step: (model) => model.held && model.state !== 'gone' && !(model.held = false),
  },
  switchOn: {
    run: (id) => app.users.updateUserStatus(id, true),
    step: (model) => model.state === ACTIVE || edge([PENDING, INACTIVE], ACTIVE)(model),
  },
  switchOff: {
    run: (id) => app.users.updateUserStatus(id, false),
    step: (model) => edge([ACTIVE], INACTIVE)(model) || [PENDING, INACTIVE, DISABLED].includes(model.state as never),
  },
};

const commands = fc.array(fc.constantFrom(...Object.keys(COMMANDS)), { minLength: 1, maxLength: 25 });

/** Rows that no sequence of calls may leave behind, looked for by SQL alone. */
async function contradictions(id: string): Promise<unknown[]> {
  const { rows } = await withClient(app.url, (client) =>
    client.query(
      `select u.* from nest_auth_users u where u.id = $1 and (
         is_active <> (status = 'active')
         or (status = 'pending' and activated_at is not null) or (status = 'active' and activated_at is null)
         or (status = 'active' and deactivated_at is not null) or (status = 'inactive' and deactivated_at is null)
         or (status in ('disabled', 'scheduled_deletion')) <> (disabled_at is not null)
         or (status = 'scheduled_deletion') <> (scheduled_deletion_at is not null)
         or (deleted_at is null) <> exists (select 1 from nest_auth_identities i where i.user_id = u.id))`,
      [id],
    ),
  );
  return rows;
}

describe('a life of random commands', () => {
  it('is that of the model, contradicts itself nowhere, and leaves an activity for each change', async () => {
    await fc.assert(
      fc.asyncProperty(commands, fc.boolean(), async (sequence, isActive) => {
        const { id, version } = await app.users.createUser({ email: freshEmail(), isActive });
        const model: Model = { state: isActive ? ACTIVE : PENDING, held: false, waited: 0 };
        let changes = version;
        for (const name of sequence) {
          const command = COMMANDS[name] as Command;
          const from = JSON.stringify(model);
          const done = await command.run(id).then(
            () => true,
            () => false,
          );
          expect([name, done]).toEqual([name, command.step(model)]);
          expect([name, await stateOf(app.url, id)]).toEqual([name, model.state]);
          if (name !== 'wait' && JSON.stringify(model) !== from) changes += 1;
        }
        expect(await contradictions(id)).toEqual([]);
        expect(await activityTypes(app.url, id)).toHaveLength(changes);
      }),
      { numRuns: 60 },
    );
  });
});
