import {
  type Attributes,
  context,
  createContextKey,
  type MeterProvider,
  metrics,
  type Span,
  SpanStatusCode,
  trace,
  type Tracer,
  type TracerProvider,
} from '@opentelemetry/api';
import { type ErrorFacts, factsOf } from '../errors/error-facts.js';
import {
  type NestAuthObserver,
  type ObservedSource,
  quietly,
  type TransactionAttempt,
  type TransactionEnd,
} from '../transaction/transaction-observer.js';
import { Instruments } from './instruments.js';

export interface OpenTelemetryOptions {
  /** @default the one that is registered globally */
  readonly tracerProvider?: TracerProvider;
  /** @default the one that is registered globally */
  readonly meterProvider?: MeterProvider;
  /**
   * Whether to report the pool as `db.client.connection.*`. Turn it off where an instrumentation of `pg` does so already.
   * @default true
   */
  readonly pool?: boolean;
}

/** Name of the instrumentation scope. */
const SCOPE = 'nest-auth-identity';

/** Which public method the running code was called by. */
const METHOD = createContextKey('nest_auth.method');

const SYSTEM: Attributes = { 'db.system.name': 'postgresql' };

/**
 * Spans and metrics for `NestAuthModule.forRoot({ telemetry: openTelemetry() })`.
 *
 * They hold names, codes and counts: no argument, no result, no parameter of a statement, and no message that could
 * quote one.
 */
export function openTelemetry(options: OpenTelemetryOptions = {}): NestAuthObserver {
  return new OpenTelemetryObserver(options);
}

class OpenTelemetryObserver implements NestAuthObserver {
  readonly #tracer: Tracer;
  readonly #instruments: Instruments;
  readonly #reportsPool: boolean;

  constructor({ tracerProvider, meterProvider, pool = true }: OpenTelemetryOptions) {
    this.#tracer = (tracerProvider ?? trace).getTracer(SCOPE);
    this.#instruments = new Instruments((meterProvider ?? metrics).getMeter(SCOPE));
    this.#reportsPool = pool;
  }

  call<T>(method: string, run: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    const name = `nest_auth.${method.slice(method.indexOf('.') + 1)}`;
    return this.#inSpan(name, { ...SYSTEM, 'code.function.name': method }, method, run, (_span, failure) =>
      this.#instruments.call(method, startedAt, failure),
    );
  }

  attempt<T>(attempt: TransactionAttempt, run: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    const attributes = {
      ...SYSTEM,
      'nest_auth.transaction.opener': attempt.opener,
      'nest_auth.transaction.attempt': attempt.attempt,
    };
    return this.#inSpan('nest_auth.transaction', attributes, this.method(), run, (span, failure) => {
      const { transactionId, statements, outcome } = attempt;
      span?.setAttributes({
        'nest_auth.transaction.statements': statements,
        'nest_auth.transaction.outcome': outcome,
        ...(transactionId === undefined ? {} : { 'nest_auth.transaction.id': transactionId }),
      });
      this.#instruments.attempt(attempt, startedAt, failure);
    });
  }

  retrying(_attempt: TransactionAttempt, error: unknown): void {
    this.#instruments.retrying(error);
  }

  ended(end: TransactionEnd): void {
    this.#instruments.ended(end);
  }

  afterCommitFailed(error: unknown): void {
    this.#instruments.afterCommitFailed(error);
  }

  connected(waitedMs: number): void {
    if (this.#reportsPool) this.#instruments.connected(waitedMs);
  }

  method(): string | undefined {
    return context.active().getValue(METHOD) as string | undefined;
  }

  start(source: ObservedSource): () => void {
    return this.#reportsPool ? this.#instruments.observePool(source) : () => undefined;
  }

  /** Runs `run` with a span of its own as the active one. What the span costs or breaks is not the caller's business. */
  async #inSpan<T>(
    name: string,
    attributes: Attributes,
    method: string | undefined,
    run: () => Promise<T>,
    over: (span: Span | undefined, failure: Attributes) => void,
  ): Promise<T> {
    const span = this.#start(name, attributes);
    const end = (facts: ErrorFacts | undefined): void => {
      quietly(() => over(span, facts === undefined ? {} : { 'error.type': facts.type }));
      if (span === undefined) return;
      if (facts !== undefined) quietly(() => recordFailure(span, facts));
      quietly(() => span.end());
    };
    try {
      const active = context.active().setValue(METHOD, method);
      const result = await context.with(span === undefined ? active : trace.setSpan(active, span), run);
      end(undefined);
      return result;
    } catch (error) {
      end(factsOf(error));
      throw error;
    }
  }

  /** Undefined when the host's tracer fails: what would have been traced still has to be done. */
  #start(name: string, attributes: Attributes): Span | undefined {
    let span: Span | undefined;
    quietly(() => (span = this.#tracer.startSpan(name, { attributes })));
    return span;
  }
}

/** An answer for the caller is told, but is no fault: it leaves the status of the span alone. */
function recordFailure(span: Span, { type, sqlState, constraint, cause, isRefusal }: ErrorFacts): void {
  span.setAttributes({
    'error.type': type,
    ...(sqlState === null ? {} : { 'db.response.status_code': sqlState }),
    ...(constraint === null ? {} : { 'nest_auth.constraint': constraint }),
  });
  span.recordException({ name: type, message: cause });
  if (!isRefusal) span.setStatus({ code: SpanStatusCode.ERROR, message: type });
}
