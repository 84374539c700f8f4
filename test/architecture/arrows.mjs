// npm run test:arrows
import { cruise } from 'dependency-cruiser';

import { rules } from './arrows.rules.mjs';

/** The tool is content when it finds nothing at all to look at. Raise this as the package grows. */
const FEWEST_MODULES = 120;

const { output } = await cruise(['dist/src', 'dist/migrations'], {
  validate: true,
  ruleSet: { forbidden: rules },
  doNotFollow: { path: 'node_modules' },
  // As Node finds the entries of a package beside its main one.
  enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'] },
  exclude: { path: '\\.d\\.ts$' },
});
const { error: violations } = output.summary;
const modules = output.modules.filter(({ source }) => source.startsWith('dist/'));

for (const { rule, from, to, cycle } of output.summary.violations) {
  console.error(`${rule.name}: ${from} → ${(cycle ?? [{ name: to }]).map(({ name }) => name).join(' → ')}`);
}
if (modules.length < FEWEST_MODULES) console.error(`only ${modules.length} modules found: is dist built?`);
console.log(`${modules.length} modules, ${violations} wrong arrows`);
process.exitCode = violations === 0 && modules.length >= FEWEST_MODULES ? 0 : 1;
