import { readFileSync } from 'node:fs';
import { isNestAuthError, NestAuthError } from 'nest-auth-identity';
import { parse } from 'csv-parse/sync';
import type { AppUser } from '../app/app-user.entity.js';
import type { NewPortalUser, PortalUserService } from '../app/portal-user.service.js';
import { ProfileRefusedError } from '../app/profile.errors.js';
import type { Setting } from './setting.js';

/** A line of people.csv. */
export interface PersonRow {
  readonly email: string;
  readonly phone: string;
  readonly phone_country: string;
  readonly display_name: string;
  readonly date_of_birth: string;
  readonly locale: string;
  readonly tenant: string;
  readonly roles: string;
  readonly invite: string;
  /** How the row must be refused, as {@link kindOf} has it; empty for the others. Only the report reads it. */
  readonly planted: string;
}

/** What became of one line. */
export interface Outcome {
  readonly line: number;
  readonly row: PersonRow;
  readonly ms: number;
  readonly user?: AppUser;
  readonly refusal?: Refusal;
}

interface Refusal {
  readonly code: string;
  /** The field that is to blame, where there is one. */
  readonly field: string | undefined;
  readonly message: string;
}

export interface ImportResult {
  readonly outcomes: readonly Outcome[];
  readonly seconds: number;
}

/** Rows that are imported at once. */
export const IN_FLIGHT = 8;

/** What a refusal is counted under: its code, and for malformed input the field too. */
export function kindOf({ refusal }: Outcome): string {
  if (refusal === undefined) return '';
  return refusal.code === 'VALIDATION_FAILED' ? `${refusal.code} ${refusal.field ?? 'input'}` : refusal.code;
}

export function readPeople(file: string | URL = new URL('../people.csv', import.meta.url)): PersonRow[] {
  return parse<PersonRow>(readFileSync(file), { columns: true });
}

/** Imports people, each in a transaction of its own (auth user and AppUser), a few at once. Refused rows are no errors. */
export async function importPeople(
  portal: PortalUserService,
  setting: Setting,
  people: readonly PersonRow[],
  onRow: (outcome: Outcome) => void = () => {},
): Promise<ImportResult> {
  const outcomes: Outcome[] = [];
  const queue = people.entries();
  const started = performance.now();
  const worker = async (): Promise<void> => {
    for (const [index, row] of queue) {
      const outcome = await importRow(portal, setting, row, index + 2);
      outcomes[index] = outcome;
      onRow(outcome);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  return { outcomes, seconds: (performance.now() - started) / 1_000 };
}

async function importRow(portal: PortalUserService, setting: Setting, row: PersonRow, line: number): Promise<Outcome> {
  const started = performance.now();
  try {
    const user = await portal.createPortalUser(toNewUser(row, setting));
    return { line, row, ms: performance.now() - started, user };
  } catch (error) {
    return { line, row, ms: performance.now() - started, refusal: refusalOf(error) };
  }
}

function toNewUser(row: PersonRow, { tenants, roleIds }: Setting): NewPortalUser {
  const tenant = tenants.get(row.tenant);
  if (tenant === undefined) throw new NestAuthError('TENANT_NOT_FOUND', `There is no tenant "${row.tenant}"`);
  return {
    tenantId: tenant.id,
    email: row.email || null,
    phone: row.phone || null,
    phoneCountryCode: row.phone_country || null,
    displayName: row.display_name,
    dateOfBirth: row.date_of_birth || null,
    locale: row.locale,
    invite: row.invite === 'yes',
    roleIds: row.roles.split(';').map((name) => {
      const id = roleIds.get(name);
      if (id === undefined) throw new NestAuthError('ROLE_NOT_FOUND', `There is no role "${name}"`);
      return id;
    }),
  };
}

/** What is the row's fault. Anything else is the demo's, and ends it. */
function refusalOf(error: unknown): Refusal {
  if (error instanceof ProfileRefusedError) return { code: error.code, field: error.field, message: error.message };
  if (!isNestAuthError(error) || error.code === 'DATABASE_ERROR') throw error;
  const [issue] = error.details.issues ?? [];
  const field = issue?.path ?? error.details.fields?.[0];
  return { code: error.code, field, message: issue === undefined ? error.message : `${issue.path} ${issue.message}` };
}
