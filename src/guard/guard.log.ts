import { type ExecutionContext, Logger } from '@nestjs/common';
import { isNestAuthError } from '../errors/nest-auth.error.js';
import type { AccessPlan } from './access-plan.policy.js';
import type { Principal } from './guard.types.js';

/** Tells the log what the caller is not told: who was refused where, and what it takes. Never a token. */
export class GuardLog {
  readonly #logger = new Logger('NestAuthGuard');

  /** `level` is the option `log.refusals`. */
  constructor(private readonly level: 'debug' | 'warn' | 'off') {}

  refused(context: ExecutionContext, plan: AccessPlan, principal: Principal | undefined, error: unknown): void {
    // What is no refusal, such as a database that is away, is reported by whoever answers it.
    if (this.level === 'off' || !isNestAuthError(error)) return;
    const { audience, demand, services } = plan;
    this.#logger[this.level]({
      code: error.code,
      handler: `${context.getClass().name}.${context.getHandler().name}`,
      caller: principal,
      audience,
      ...(audience === 'service' ? { services: services.flat() } : demand),
    });
  }
}
