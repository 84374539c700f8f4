import { holds, type Invariant } from './invariants.js';
import { heading, mark, paint, print, table } from './terminal.js';

export function showInvariants(invariants: readonly Invariant[]): boolean {
  heading('What the database says, asked over another connection');
  table(
    [
      { title: '', width: 1 },
      { title: 'expected', width: 8, align: 'right' },
      { title: 'found', width: 8, align: 'right' },
      { title: 'of these', width: 70 },
    ],
    invariants.map((invariant) => {
      const ok = holds(invariant);
      const found = ok ? String(invariant.found) : paint('red', String(invariant.found));
      return [mark(ok), String(invariant.expected), found, invariant.claim];
    }),
  );
  return invariants.every(holds);
}

/** The same, once more: in one line as long as all is well. */
export function showInvariantsAgain(invariants: readonly Invariant[]): boolean {
  if (!invariants.every(holds)) return showInvariants(invariants);
  print(`\n${mark(true)} All ${invariants.length} statements about the database hold again after this.`);
  return true;
}
