import { availableParallelism } from 'node:os';
import type { PortalUserService } from '../app/portal-user.service.js';
import { IN_FLIGHT, importPeople, type ImportResult, kindOf, type Outcome, type PersonRow } from './import.js';
import { countRows } from './invariants.js';
import type { Setting } from './setting.js';
import { heading, isolated, mark, paint, paragraph, print, table } from './terminal.js';

/** What of a row shows why it was refused, by the kind of refusal. */
const SHOWN: Readonly<Record<string, (row: PersonRow) => string>> = {
  EMAIL_ALREADY_EXISTS: ({ email }) => email,
  PHONE_ALREADY_EXISTS: ({ phone, phone_country }) => `${phone} ${phone_country}`,
  ROLE_NOT_FOUND: ({ roles }) => roles,
  ROLE_SCOPE_MISMATCH: ({ roles, tenant }) => `${roles} at ${tenant}`,
  TENANT_NOT_FOUND: ({ tenant }) => tenant,
  DATE_OF_BIRTH_REFUSED: ({ date_of_birth }) => date_of_birth,
  DISPLAY_NAME_REFUSED: ({ display_name }) => display_name || '(empty)',
  LOCALE_REFUSED: ({ locale }) => locale,
  'VALIDATION_FAILED email': ({ email }) => email || '(neither email nor phone)',
  'VALIDATION_FAILED phone': ({ phone, phone_country }) => `${phone} ${phone_country || '(no country)'}`,
};

/** Refused rows by kind, beside how many were planted. Answers whether the two agree, and the table with the sum. */
export async function showRefusals(url: string, { outcomes }: ImportResult): Promise<boolean> {
  const kinds = new Set(outcomes.flatMap((outcome) => [kindOf(outcome), outcome.row.planted]));
  kinds.delete('');
  const rows = [...kinds].map((kind) => {
    const refused = outcomes.filter((outcome) => kindOf(outcome) === kind);
    const planted = outcomes.filter(({ row }) => row.planted === kind).length;
    return { kind, refused, planted, ok: refused.length === planted };
  });
  rows.sort((a, b) => b.refused.length - a.refused.length || (a.kind < b.kind ? -1 : 1));
  print();
  table(
    [
      { title: '', width: 1 },
      { title: 'refused', width: 7, align: 'right' },
      { title: 'planted', width: 7, align: 'right' },
      { title: 'code', width: 23 },
      { title: 'line', width: 4, align: 'right' },
      { title: 'for example', width: 48 },
    ],
    rows.map(({ kind, refused, planted, ok }) => [
      mark(ok),
      String(refused.length),
      String(planted),
      kind,
      ...exampleOf(kind, refused),
    ]),
  );
  const created = outcomes.filter(({ user }) => user !== undefined).length;
  const { AppUsers: stored } = await countRows(url);
  const adds = created === stored;
  print(
    `\n${mark(adds)} ${outcomes.length} rows = ${created} created + ${outcomes.length - created} refused; app_users holds ${stored}`,
  );
  return adds && rows.every(({ ok }) => ok);
}

function exampleOf(kind: string, refused: readonly Outcome[]): string[] {
  // Of two rows in a race the planted one is written in the more telling way.
  const example = refused.find(({ row }) => row.planted !== '') ?? refused[0];
  if (example === undefined) return [];
  const { line, row, refusal } = example;
  return [String(line), isolated(SHOWN[kind]?.(row).trim() ?? refusal?.message ?? '')];
}

/** The rows whose auth user was already made when AppUser refused: their emails must work at once. */
export async function showCorrected(
  portal: PortalUserService,
  setting: Setting,
  { outcomes }: ImportResult,
): Promise<boolean> {
  heading('Refused by the application’s own table, corrected, tried again');
  const refused = outcomes.filter(({ refusal }) => refusal?.code.endsWith('_REFUSED') === true);
  paragraph(
    `${refused.length} rows broke a constraint of app_users after their auth user had been written. Without a common` +
      ' transaction their emails would be taken now. With the profile corrected, the same emails and phones:',
  );
  const corrected = refused.map(({ row }) => ({
    ...row,
    display_name: 'Corrected Name',
    date_of_birth: '1990-01-01',
    locale: 'en',
  }));
  const again = await importPeople(portal, setting, corrected);
  const created = again.outcomes.filter(({ user }) => user !== undefined).length;
  const ok = created === refused.length && created > 0;
  print(`${mark(ok)} ${created} of ${refused.length} created`);
  return ok;
}

export function showSpeed({ outcomes, seconds }: ImportResult): void {
  heading('Speed of the import, as measured in this run');
  const times = outcomes.filter(({ user }) => user !== undefined).map(({ ms }) => ms);
  times.sort((a, b) => a - b);
  const at = (share: number): string =>
    `${(times[Math.floor((times.length - 1) * share)] ?? Number.NaN).toFixed(1)} ms`;
  print(
    `${paint('bold', (times.length / seconds).toFixed(0))} users per second: ${times.length} in ${seconds.toFixed(2)} s, ${IN_FLIGHT} at once, each in a transaction of its own`,
  );
  print(`${at(0.5)} median a user, ${at(0.95)} at the 95th percentile; refused rows took their share of the time`);
  print(`${availableParallelism()} cores, shared by Node and PostgreSQL`);
}
