import { afterAll, beforeAll, beforeEach } from '@jest/globals';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { context, type Tracer } from '@opentelemetry/api';
import { MeterProvider, type MetricReader, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { AggregationTemporality, InMemoryMetricExporter } from '@opentelemetry/sdk-metrics';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { openTelemetry, type OpenTelemetryOptions } from '../../../src/telemetry/index.js';
import { PREPARED } from '../../support/connection-mode.js';
import { createTestDatabase } from '../../support/database.js';
import { type NestApp, type NestAppOptions, seed, startNestApp } from '../../support/nest-app.js';

/** What one application told OpenTelemetry. */
export interface Recorder {
  readonly options: OpenTelemetryOptions;
  readonly tracer: Tracer;
  /** Finished spans, in the order of their beginning. */
  spans(): ReadableSpan[];
  /** The spans as a tree, one line each: name and, in brackets, the attributes asked for. */
  tree(...attributes: string[]): string[];
  /** Every point of a metric, as `value attribute=value …`; of a histogram the value is the count. */
  points(metric: string): Promise<string[]>;
  /** Everything that was recorded, as text. */
  dump(): Promise<string>;
  forget(): void;
}

let isContextSet = false;

export function makeRecorder(): Recorder {
  // Once a test file: the API refuses a second one.
  if (!isContextSet) context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  isContextSet = true;
  const exporter = new InMemorySpanExporter();
  const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  const reader: MetricReader = new PeriodicExportingMetricReader({
    exporter: new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE),
    exportIntervalMillis: 3_600_000,
  });
  const meterProvider = new MeterProvider({ readers: [reader] });
  const spans = (): ReadableSpan[] =>
    exporter.getFinishedSpans().toSorted((a, b) => seconds(a.startTime) - seconds(b.startTime));
  return {
    options: { tracerProvider, meterProvider },
    tracer: tracerProvider.getTracer('host'),
    spans,
    tree: (...attributes) => treeOf(spans(), attributes),
    async points(metric) {
      const { resourceMetrics } = await reader.collect();
      const found = resourceMetrics.scopeMetrics
        .flatMap(({ metrics }) => metrics)
        .filter(({ descriptor }) => descriptor.name === metric);
      return found
        .flatMap(({ dataPoints }) =>
          dataPoints.map(({ value, attributes }) => {
            const pairs = Object.entries(attributes).map(([name, each]) => `${name}=${String(each)}`);
            const count = typeof value === 'number' ? value : (value as { count: number }).count;
            return [count, ...pairs.toSorted()].join(' ');
          }),
        )
        .toSorted();
    },
    async dump() {
      const { resourceMetrics } = await reader.collect();
      const told = spans().map(({ name, attributes, events, status, links }) => ({
        name,
        attributes,
        events,
        status,
        links,
      }));
      return JSON.stringify([told, resourceMetrics]);
    },
    forget: () => exporter.reset(),
  };
}

function seconds([whole, nano]: readonly [number, number]): number {
  return whole + nano / 1e9;
}

function treeOf(spans: readonly ReadableSpan[], attributes: readonly string[]): string[] {
  const known = new Set(spans.map((span) => span.spanContext().spanId));
  const lines: string[] = [];
  const add = (span: ReadableSpan, depth: number): void => {
    const values = attributes.flatMap((name) => (span.attributes[name] === undefined ? [] : [span.attributes[name]]));
    lines.push(`${'  '.repeat(depth)}${span.name}${values.length === 0 ? '' : ` [${values.join(', ')}]`}`);
    const { spanId } = span.spanContext();
    for (const child of spans) if (child.parentSpanContext?.spanId === spanId) add(child, depth + 1);
  };
  for (const span of spans) if (!known.has(span.parentSpanContext?.spanId ?? '')) add(span, 0);
  return lines;
}

export interface ObservedApp extends NestApp {
  readonly recorder: Recorder;
  readonly url: string;
}

/** An application with telemetry on a database of its own; what was recorded is forgotten before each test. */
export function useObservedApp(options: NestAppOptions = {}): ObservedApp {
  const fixture = {} as ObservedApp & { drop?: () => Promise<void> };
  beforeAll(async () => {
    const { url, drop } = await createTestDatabase();
    const recorder = makeRecorder();
    const telemetry = openTelemetry(recorder.options);
    const auth = { statements: { prepared: PREPARED }, ...options.auth, telemetry };
    const app = await startNestApp(url, { ...options, auth });
    await seed(app);
    Object.assign(fixture, app, { recorder, url, drop });
  });
  beforeEach(() => fixture.recorder.forget());
  afterAll(async () => {
    await fixture.close();
    await fixture.drop?.();
  });
  return fixture;
}

/** Fails with a code of PostgreSQL's, as a statement of the host might. */
export function failing(sqlState: string): string {
  return `do $$ begin raise exception 'failed for %', 'secret@example.com' using errcode = '${sqlState}'; end $$`;
}
