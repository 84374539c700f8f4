import type { ActivityService, NestAuthActivity } from 'nest-auth-identity';
import type { Expected, LifeRecord } from './life.record.js';
import type { People } from './life.js';
import type { Setting } from './setting.js';
import { heading, mark, print, table } from './terminal.js';

const DASH = '–';
const MOMENT = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)/;

/** The log of one user, oldest first: a line for each field that changed. Answers whether it is what has happened. */
export async function showTimeline(
  activities: ActivityService,
  setting: Setting,
  { ines, ada, job }: People,
  { expected, refusals }: LifeRecord,
): Promise<boolean> {
  heading('The timeline, as ActivityService.findActivities has it');
  const { items } = await activities.findActivities({ userId: ada.id }, { limit: 500 });
  const timeline = items.toReversed();
  const names = new Map([ines, ada, job].map(({ actor, name }) => [actor.id, name]));
  const roles = new Map([...setting.roleIds].map(([name, id]) => [id, name]));
  table(
    [
      { title: 'time', width: 12 },
      { title: 'by', width: 4 },
      { title: 'what', width: 19 },
      { title: 'field', width: 19 },
      { title: 'before', width: 18 },
      { title: 'after', width: 18 },
    ],
    timeline.flatMap((activity) => linesOf(activity, names, roles)),
  );
  const ok = timeline.length === expected.length && timeline.every((one, index) => isExpected(one, expected[index]));
  print(
    `\n${mark(ok)} ${expected.length} changes and ${timeline.length} activities, one each; ${refusals} refusals, no activity`,
  );
  return ok;
}

function isExpected({ type, actorType, actorId }: NestAuthActivity, expected: Expected | undefined): boolean {
  const { actor } = expected?.by ?? {};
  return type === expected?.type && actorType === actor?.type && actorId === actor.id;
}

function linesOf(
  { occurredAt, actorId, type, before, after }: NestAuthActivity,
  names: ReadonlyMap<string | undefined, string>,
  roles: ReadonlyMap<string, string>,
): string[][] {
  const told = [
    occurredAt.toISOString().slice(11, 23),
    names.get(actorId ?? undefined) ?? DASH,
    type.replace(/^nest_auth\.(user\.)?/, ''),
  ];
  const fields = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  const values = fields.map((field) => [
    field,
    ...[before, after].map((side) => (side === null ? '' : wordsOf(side[field], roles))),
  ]);
  return [[...told, ...(values[0] ?? [])], ...values.slice(1).map((cells) => ['', '', '', ...cells])];
}

function wordsOf(value: unknown, roles: ReadonlyMap<string, string>): string {
  if (value === undefined || value === null) return DASH;
  if (Array.isArray(value)) return value.map((one) => roles.get(String(one)) ?? String(one)).join(', ') || DASH;
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const [, day, time] = MOMENT.exec(text) ?? [];
  return day === undefined ? text : `${day} ${time}`;
}
