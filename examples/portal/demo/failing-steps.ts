import type { INestApplicationContext } from '@nestjs/common';
import { AtomicityError, expectAtomic } from 'nest-auth-identity/testing';
import { DataSource } from 'typeorm';
import { type NewPortalUser, PortalUserService } from '../app/portal-user.service.js';
import { countRows } from './invariants.js';
import type { Setting } from './setting.js';
import { heading, mark, paint, paragraph, print, table } from './terminal.js';
import { untilWelcomed } from './welcome.js';

type Counts = Record<string, number>;

interface Attempt {
  readonly before: Counts;
  readonly after: Counts;
}

/**
 * Runs the flow of single steps again and again, each time with the next of its statements refused by the server,
 * until it gets through, always with the same email.
 */
export async function showFailingSteps(app: INestApplicationContext, url: string, setting: Setting): Promise<boolean> {
  heading('One flow, made to fail at each of its statements in turn');
  paragraph(
    'createPortalUserStepByStep with email, phone, password, tenant, two roles and AppUser. Every attempt uses the same' +
      ' email; the numbers of rows are read over another connection before and after.',
  );
  print();
  const attempts: Attempt[] = [];
  const count = async (): Promise<Counts> => {
    await untilWelcomed(url);
    return countRows(url);
  };
  const attempt = async (): Promise<void> => {
    const before = await count();
    try {
      await app.get(PortalUserService).createPortalUserStepByStep(newcomer(setting));
    } finally {
      attempts.push({ before, after: await count() });
    }
  };
  try {
    const { statements } = await expectAtomic(app.get(DataSource), attempt, { modes: ['error'] });
    return showAttempts(statements, attempts);
  } catch (error) {
    if (!(error instanceof AtomicityError)) throw error;
    showAttempts(undefined, attempts);
    print(`${mark(false)} ${error.message}`);
    return false;
  }
}

/** Without `statements`, as after a proof that failed, their names are not known. */
function showAttempts(statements: readonly string[] | undefined, attempts: readonly Attempt[]): boolean {
  const tables = Object.keys(attempts[0]?.before ?? {});
  const rows = attempts.map(({ before, after }, index) => {
    const goesThrough = index === statements?.length;
    const changed = tables.filter((name) => before[name] !== after[name]);
    const ok = goesThrough ? changed.length === tables.length : changed.length === 0;
    const numbers = tables.map((name) => `${before[name]}→${paint(ok ? 'dim' : 'red', String(after[name]))}`);
    return {
      ok,
      cells: [
        mark(ok),
        ...(goesThrough ? ['', 'none fails'] : [String(index + 1), nameOf(statements?.[index])]),
        ...numbers,
      ],
    };
  });
  table(
    [
      { title: '', width: 1 },
      { title: '#', width: 2, align: 'right' },
      { title: 'the statement that fails', width: 28 },
      ...tables.map((title) => ({ title, width: Math.max(9, title.length) })),
    ],
    rows.map(({ cells }) => cells),
  );
  return rows.length > 1 && rows.every(({ ok }) => ok);
}

/** What a statement does to which tables: enough to recognise it. */
function nameOf(sql = ''): string {
  const text = sql.replaceAll(/\s+/g, ' ').replaceAll('"', '').trim();
  const [, read] = /^select.* from (?:nest_auth_)?(\w+)/i.exec(text) ?? [];
  const written = new Map<string, Set<string>>();
  for (const [, verb = '', name = ''] of text.matchAll(
    /\b(insert into|update|delete from) (?:nest_auth_)?([a-z_]{5,})/gi,
  )) {
    const key = verb.split(' ')[0]?.toLowerCase() ?? '';
    written.set(key, (written.get(key) ?? new Set()).add(name));
  }
  if (written.size === 0) return read === undefined ? text : `select ${read}`;
  return [...written].map(([verb, names]) => `${verb} ${[...names].join(', ')}`).join('; ');
}

function newcomer({ tenants, roleIds }: Setting): NewPortalUser {
  const roles = ['member', 'kestrel-freight/dispatcher'].map((name) => roleIds.get(name) ?? '');
  return {
    tenantId: tenants.get('kestrel-freight')?.id ?? '',
    email: 'Sólveig.Newcomer@example.com'.normalize('NFKD').replaceAll(/\p{Mark}/gu, ''),
    phone: '+354 611 1234',
    password: 'a long walk on a short pier',
    displayName: 'Sólveig Newcomer',
    dateOfBirth: '1988-02-29',
    locale: 'is',
    roleIds: roles,
    invite: true,
  };
}
