import type { EntitySubscriberInterface } from 'typeorm';
import { forgetRow } from '../errors/postgres-errors.js';
import { wireOf } from './registry.js';
import type { TransactionHost } from './transaction-host.js';

/** Feeds the wire's state from the driver's answers. */
export function wireSubscriber(host: TransactionHost): EntitySubscriberInterface {
  return {
    beforeQuery({ queryRunner, query }) {
      const wire = wireOf(queryRunner);
      const refusal = wire.refusalOf(query);
      if (refusal !== undefined) throw refusal;
      wire.statementSent(query);
    },
    afterQuery({ queryRunner, query, success, rawResults, error }) {
      const wire = wireOf(queryRunner);
      if (!success) {
        forgetRow(error);
        return wire.statementFailed(query, error);
      }
      wire.statementSucceeded(query, rawResults);
      // A transaction that the host drives by a runner of its own has no end that we could wait for.
      if (!wire.owned && wire.outcome === 'committed') {
        const callbacks = wire.takeCommitted();
        if (callbacks.length > 0) setImmediate(() => host.flush(callbacks));
      }
      return undefined;
    },
  };
}
