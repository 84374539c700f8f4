// npm run bench -- [--quick] [--markdown | --json] [--only=<scenario>]
//
// Measures the package against hand-written code for `pg`, side by side on one server: an embedded one, or that of
// DATABASE_URL. It runs the sources: the loader only transforms them while they are loaded, to the same code that the
// build emits. Ratios are what counts; absolute figures say more about the machine.
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { type Environment, openEnvironment } from './environment.js';
import type { Plan } from './measure.js';
import { type Format, render, type Report } from './report.js';
import { measureAudit } from './scenarios/audit.js';
import { measureAuthorization } from './scenarios/authorization.js';
import { measureLifecycle } from './scenarios/lifecycle.js';
import { measurePermissionLoad } from './scenarios/permission-load.js';
import { measurePortalCreate } from './scenarios/portal-create.js';
import { measureScale } from './scenarios/scale.js';
import type { Bench, Findings } from './scenarios/scenario.js';
import { measureSignIn } from './scenarios/sign-in.js';
import { measureTelemetry } from './scenarios/telemetry.js';
import { countStatements } from './scenarios/statement-counts.js';
import { makeWorld } from './seed.js';

const FULL: Pick<Bench, 'plan' | 'manyUsers'> = {
  plan: { warmUpMs: 1_200, rounds: 5, roundMs: 1_000 },
  manyUsers: 1_000_000,
};
const QUICK: Pick<Bench, 'plan' | 'manyUsers'> = {
  plan: { warmUpMs: 300, rounds: 3, roundMs: 250 } satisfies Plan,
  manyUsers: 100_000,
};

const SCENARIOS: Readonly<Record<string, (bench: Bench) => Promise<Findings>>> = {
  statements: async (bench) => ({ comparisons: [], goals: await countStatements(bench) }),
  create: measurePortalCreate,
  permissions: measurePermissionLoad,
  authz: measureAuthorization,
  'sign-in': measureSignIn,
  scale: measureScale,
  lifecycle: measureLifecycle,
  audit: measureAudit,
  telemetry: measureTelemetry,
};

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    markdown: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    only: { type: 'string' },
  },
});

const chosen = values.only?.split(',') ?? Object.keys(SCENARIOS);
const unknown = chosen.filter((name) => SCENARIOS[name] === undefined);
if (unknown.length > 0) {
  throw new Error(`--only knows ${Object.keys(SCENARIOS).join(', ')}, not ${unknown.join(', ')}`);
}
const format: Format = values.json ? 'json' : values.markdown ? 'markdown' : 'text';

const environment = await openEnvironment();
try {
  console.log(render(await runAll(environment, chosen), format));
} finally {
  await environment.stop();
}

async function runAll(on: Environment, names: readonly string[]): Promise<Report> {
  const facts = await on.facts();
  const bench: Bench = { environment: on, world: makeWorld(), ...(values.quick ? QUICK : FULL) };
  const findings: Findings[] = [];
  for (const name of names) {
    process.stderr.write(`${name}\n`);
    const measure = SCENARIOS[name];
    if (measure !== undefined) findings.push(await measure(bench));
  }
  return {
    facts: [...facts, ['Load after', (loadavg()[0] ?? 0).toFixed(2)]],
    comparisons: findings.flatMap(({ comparisons }) => comparisons),
    goals: findings.flatMap(({ goals }) => goals),
    tables: findings.flatMap(({ tables = [] }) => tables),
  };
}
