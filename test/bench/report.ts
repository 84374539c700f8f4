import type { Fact } from './environment.js';
import { type Comparison, type Measured, percentile, ratioOf, spreadOf } from './measure.js';
import type { Goal } from './scenarios/scenario.js';

/** Everything one run has found. */
export interface Report {
  readonly facts: readonly Fact[];
  readonly comparisons: readonly Comparison[];
  readonly goals: readonly Goal[];
  /** What fits no comparison; before the goals. */
  readonly tables?: readonly Table[];
}

const FORMATS = ['text', 'markdown', 'json'] as const;
export type Format = (typeof FORMATS)[number];

export interface Table {
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

const HEADER = ['', 'ops/s', 'ratio', 'min – max', 'p50 ms', 'p95 ms', 'p99 ms', 'client µs/op', 'server µs/op'];

export function render(report: Report, format: Format): string {
  if (format === 'json') return JSON.stringify(asJson(report), null, 2);
  const renderTable = format === 'markdown' ? asMarkdown : asText;
  return tablesOf(report).map(renderTable).join('\n\n');
}

function tablesOf({ facts, comparisons, goals, tables = [] }: Report): Table[] {
  return [
    { title: 'Machine', header: ['', ''], rows: facts },
    ...comparisons.map((comparison) => ({
      title: `${comparison.title}, ${comparison.atOnce} at once`,
      header: HEADER,
      rows: [comparison.baseline, ...comparison.others].map((measured) => rowOf(measured, comparison.baseline)),
    })),
    ...tables,
    {
      title: 'Goals',
      header: ['', 'wanted', 'reached', ''],
      rows: goals.map(({ text, wanted, reached, isReached }) => [text, wanted, reached, isReached ? 'yes' : 'no']),
    },
  ];
}

function rowOf(measured: Measured, baseline: Measured): string[] {
  const ratio = ratioOf(measured, baseline);
  const { opsPerSecond, clientUs, serverUs } = mediansOf(measured);
  const times = [0.5, 0.95, 0.99].map((share) => percentile(measured.latencies, share).toFixed(2));
  const range = measured === baseline ? '' : `${ratio.min.toFixed(2)} – ${ratio.max.toFixed(2)}`;
  const cpu = [clientUs, serverUs].map((us) => (us === null ? '?' : us.toFixed(0)));
  return [measured.name, opsPerSecond.toFixed(0), ratio.median.toFixed(2), range, ...times, ...cpu];
}

function mediansOf({ rounds }: Measured): { opsPerSecond: number; clientUs: number; serverUs: number | null } {
  const server = rounds.flatMap(({ serverUs }) => (serverUs === null ? [] : [serverUs]));
  return {
    opsPerSecond: spreadOf(rounds.map((round) => round.opsPerSecond)).median,
    clientUs: spreadOf(rounds.map((round) => round.clientUs)).median,
    serverUs: server.length === 0 ? null : spreadOf(server).median,
  };
}

function asMarkdown({ title, header, rows }: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = header.map((_, column) => (column === 0 ? '---' : '---:'));
  return [`**${title}**`, '', line(header), line(rule), ...rows.map(line)].join('\n');
}

function asText({ title, header, rows }: Table): string {
  const lines = header.every((cell) => cell === '') ? rows : [header, ...rows];
  const widths = header.map((_, column) => Math.max(...lines.map((cells) => cells[column]?.length ?? 0)));
  const pad = (cell: string, column: number): string => {
    const width = widths[column] ?? 0;
    return column === 0 || header.length === 2 ? cell.padEnd(width) : cell.padStart(width);
  };
  return [title, ...lines.map((cells) => `  ${cells.map(pad).join('  ')}`.trimEnd())].join('\n');
}

function asJson({ facts, comparisons, goals, tables = [] }: Report): unknown {
  const subjectOf = (measured: Measured, baseline: Measured) => ({
    name: measured.name,
    ...mediansOf(measured),
    ratio: ratioOf(measured, baseline),
    p50: percentile(measured.latencies, 0.5),
    p95: percentile(measured.latencies, 0.95),
    p99: percentile(measured.latencies, 0.99),
    operations: measured.latencies.length,
    rounds: measured.rounds,
  });
  return {
    facts: Object.fromEntries(facts),
    comparisons: comparisons.map(({ title, atOnce, baseline, others }) => ({
      title,
      atOnce,
      subjects: [baseline, ...others].map((measured) => subjectOf(measured, baseline)),
    })),
    goals,
    tables,
  };
}
