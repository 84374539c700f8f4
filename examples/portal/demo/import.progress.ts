import { stdout } from 'node:process';
import { Presets, SingleBar } from 'cli-progress';
import type { PortalUserService } from '../app/portal-user.service.js';
import { IN_FLIGHT, importPeople, type ImportResult, type Outcome, readPeople } from './import.js';
import type { Setting } from './setting.js';
import { heading, print } from './terminal.js';

interface Progress {
  row(outcome: Outcome): void;
  stop(): void;
}

const LINES = 5;

export async function importWithProgress(portal: PortalUserService, setting: Setting): Promise<ImportResult> {
  const people = readPeople();
  heading(
    `Importing people.csv: ${people.length} rows, ${IN_FLIGHT} at once, auth user and AppUser of a row in one transaction`,
  );
  const progress = showProgress(people.length);
  try {
    return await importPeople(portal, setting, people, (outcome) => progress.row(outcome));
  } finally {
    progress.stop();
  }
}

/** A bar in a terminal; a few plain lines in a file or a pipe. */
function showProgress(total: number): Progress {
  let [created, refused] = [0, 0];
  const bar = stdout.isTTY ? newBar() : undefined;
  bar?.start(total, 0, { created, refused });
  return {
    row({ user }) {
      if (user === undefined) refused += 1;
      else created += 1;
      const done = created + refused;
      bar?.update(done, { created, refused });
      if (bar === undefined && done % Math.ceil(total / LINES) === 0) {
        print(`  ${String(done).padStart(5)} of ${total}   ${created} created, ${refused} refused`);
      }
    },
    stop: () => bar?.stop(),
  };
}

function newBar(): SingleBar {
  const format = '  {bar}  {value} of {total}   {created} created, {refused} refused';
  return new SingleBar(
    { format, barsize: 40, hideCursor: true, gracefulExit: true, stream: stdout },
    Presets.shades_classic,
  );
}
