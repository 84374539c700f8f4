import type { CommitOutcome } from '../errors/nest-auth.error.js';
import { runOutsideTransaction } from './frame.js';
import { type Statement, execute } from './statement.js';
import type { TransactionHost } from './transaction-host.js';

/** On a Citus cluster a statement may have reported the number of a transaction on another server: nobody knows then. */
const STATUS: Statement<{ status: string | null }> = {
  text: `select case when not exists (select 1 from pg_extension where extname = 'citus')
    then pg_xact_status($1::xid8) end as status`,
};

/** How long to ask again while the server still works on the COMMIT: 100 × 50 ms. */
const ATTEMPTS = 100;
const PAUSE_MS = 50;

/** Asks PostgreSQL what became of a transaction, by its id. */
export async function resolveCommitOutcome(host: TransactionHost, id: string | undefined): Promise<CommitOutcome> {
  if (id === undefined) return 'unknown';
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const [row] = await runOutsideTransaction(() => execute(host.dataSource.manager, STATUS, [id]));
    if (row?.status === 'committed' || row?.status === 'aborted') return row.status;
    if (row?.status !== 'in progress') return 'unknown';
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  return 'unknown';
}
