import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import type { Observable } from 'rxjs';
import { AccessCalls } from './access-calls.js';

/**
 * Runs the handler as whoever the guard has let in: the activities that it leads to tell the user, tenant and session,
 * and with row-level security it runs in the tenant. A guard cannot do that itself.
 *
 * `NestAuthModule` registers it for the whole application; where no guard of ours has run it does nothing.
 */
@Injectable()
export class AuthInterceptor implements NestInterceptor {
  constructor(private readonly calls: AccessCalls) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> | Promise<Observable<unknown>> {
    const call = this.calls.of(context);
    return call === null ? next.handle() : this.calls.enter(call, () => next.handle());
  }
}
