import { context } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { AggregationTemporality, InMemoryMetricExporter } from '@opentelemetry/sdk-metrics';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BasicTracerProvider, BatchSpanProcessor, InMemorySpanExporter } from '@opentelemetry/sdk-trace-base';
import { openTelemetry } from '../../../src/telemetry/index.js';
import { compare, type Comparison, type Subject } from '../measure.js';
import { Portal } from '../portal.js';
import { freshLogin, seedWorld } from '../seed.js';
import { AT_ONCE, atLeast, type Bench, type Findings, type Goal } from './scenario.js';

/** Takes every batch and keeps nothing: what is measured is the package and the SDK, not somebody's network. */
class Nowhere extends InMemorySpanExporter {
  override export(_spans: unknown, done: Parameters<InMemorySpanExporter['export']>[1]): void {
    super.export([], done);
  }
}

function recording(): ReturnType<typeof openTelemetry> {
  const tracerProvider = new BasicTracerProvider({ spanProcessors: [new BatchSpanProcessor(new Nowhere())] });
  const reader = new PeriodicExportingMetricReader({
    exporter: new InMemoryMetricExporter(AggregationTemporality.DELTA),
    exportIntervalMillis: 3_600_000,
  });
  return openTelemetry({ tracerProvider, meterProvider: new MeterProvider({ readers: [reader] }) });
}

/** What observing costs: a creation in a transaction with nothing on, with the log, and with telemetry. */
export async function measureTelemetry({ environment, world, plan }: Bench): Promise<Findings> {
  const { serverClock } = environment;
  const url = await environment.createDatabase();
  await seedWorld(url, world);
  const portals = {
    'nothing on': await Portal.open(url, { auth: { log: { failedTransactions: false } } }),
    'log of failures, the default': await Portal.open(url),
    'telemetry without an SDK': await Portal.open(url, { auth: { telemetry: openTelemetry() } }),
    'telemetry that records': await Portal.open(url, { auth: { telemetry: recording() } }),
  };
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const alone = Object.entries(portals).map(([name, { users }]) => ({
    name,
    run: () => users.createUser({ email: freshLogin().email }),
  }));
  const within = Object.entries(portals).map(([name, { users }]) => ({
    name,
    run: () => users.runInTransaction(() => users.createUser({ email: freshLogin().email })),
  }));
  const comparisons: Comparison[] = [];
  const goals: Goal[] = [];
  for (const atOnce of AT_ONCE) {
    for (const [title, subjects] of [
      ['createUser by itself, observed', alone],
      ['createUser in runInTransaction, observed', within],
    ] as const) {
      const compared = await compare({
        title,
        atOnce,
        plan,
        serverClock,
        subjects: subjects as [Subject, ...Subject[]],
      });
      comparisons.push(compared);
      const [log, , records] = compared.others;
      goals.push(
        atLeast(`${title}, ${atOnce} at once: the log, to nothing on`, 0.97, log, compared.baseline),
        atLeast(`${title}, ${atOnce} at once: telemetry that records, to nothing on`, 0.8, records, compared.baseline),
      );
    }
  }
  context.disable();
  await Promise.all(Object.values(portals).map((portal) => portal.close()));
  return { comparisons, goals };
}
