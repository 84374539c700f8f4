/**
 * What every statement keeps to, so that it can be brought to Citus, YugabyteDB and CockroachDB; docs/scaling.md says
 * it in words. Held against the texts in the sources, and against what the integration suite has sent.
 */
export const REFUSED_IN_STATEMENTS: readonly (readonly [what: string, refused: RegExp])[] = [
  ['table lock', /lock table/i],
  ['LISTEN or NOTIFY', /\b(listen|notify)\b/i],
  ['lower() or upper() over a column', /\b(lower|upper)\s*\(/i],
  ['ESCAPE clause', /\bescape\b/i],
  ['all columns of whatever a table has', /\breturning \*|select (\w+\.)?\* from "?nest_auth_/i],
  ['value that is another one on every node', /\b(random|gen_random_uuid|clock_timestamp|nextval)\s*\(/i],
  ['upsert without its one arbiter', /on conflict do update/i],
  [
    'change of every row',
    /\bdelete from "?nest_auth_\w+"?(?! using)(?! where)(?! \w+ (using|where))(?=$| returning|\))/i,
  ],
  [
    'change of the column by which a table is distributed',
    /update "?nest_auth_identities"?(?: \w+)? set (?:(?! where ).)*\bprovider_id"? =|update "?nest_auth_users"?(?: \w+)? set (?:(?! where ).)*(?<![\w.])id"? =|update "?nest_auth_(?:user|platform)_access\w*"?(?: \w+)? set (?:(?! where ).)*\buser_id"? =/i,
  ],
];

/**
 * Tables of which a statement takes away rows and adds others. Broken on purpose: CockroachDB refuses such statements.
 * Here they are one round trip, and each row is still changed once.
 */
export const REPLACED_AT_ONCE: ReadonlySet<string> = new Set([
  'nest_auth_identities',
  'nest_auth_password_history',
  'nest_auth_platform_access_roles',
  'nest_auth_platform_accesses',
  'nest_auth_refresh_tokens',
  'nest_auth_role_parents',
  'nest_auth_role_permissions',
  'nest_auth_user_access_roles',
  'nest_auth_user_accesses',
]);

/** Tables that a statement changes more than once. */
export function changedTwice(text: string): string[] {
  const tables = [...text.matchAll(/\b(?:insert into|update|delete from) "?(nest_auth_\w+)/gi)].map(
    ([, table]) => table,
  );
  return [...new Set(tables.filter((table, index) => tables.indexOf(table) !== index) as string[])];
}

interface Part {
  /** Empty for what follows the WITH list. */
  readonly name: string;
  readonly body: string;
}

/** A statement by the queries of its WITH list, in order, and the one that they are for. */
function partsOf(text: string): Part[] {
  if (!/^with /i.test(text)) return [{ name: '', body: text }];
  const parts: Part[] = [];
  let rest = text.slice(4);
  for (;;) {
    const [head, name = ''] = /^[\s,]*(\w+) as \(/i.exec(rest) ?? [];
    if (head === undefined) return [...parts, { name: '', body: rest.trim() }];
    const end = closing(rest, head.length);
    parts.push({ name, body: rest.slice(head.length, end) });
    rest = rest.slice(end + 1);
  }
}

/** Where the parenthesis closes that was opened before `from`. */
function closing(text: string, from: number): number {
  let depth = 1;
  for (let index = from; index < text.length; index += 1) {
    if (text[index] === '(') depth += 1;
    else if (text[index] === ')') depth -= 1;
    if (depth === 0) return index;
  }
  return text.length;
}

/** Without what stands in parentheses: the tables that are left are joined with each other. */
function outermost(body: string): string {
  let text = body;
  for (let before = ''; before !== text;) {
    before = text;
    text = text.replaceAll(/\([^()]*\)/g, ' ');
  }
  return text;
}

/**
 * Tables that a statement reads after one of its parts has changed them. PostgreSQL shows every part the rows as they
 * were before; Citus runs the parts of a statement that spans nodes one after the other, and each sees what those
 * before it did. Such a statement must be right either way.
 */
export function readAfterChange(text: string): string[] {
  const changed = new Map<string, string>();
  const found: string[] = [];
  for (const { name, body } of partsOf(text)) {
    for (const [, table = ''] of body.matchAll(/\b(?:from|join|using) "?(nest_auth_\w+)/gi)) {
      const by = changed.get(table);
      if (by !== undefined && !new RegExp(`\\bdelete from "?${table}`, 'i').test(body))
        found.push(`${by} > ${name || 'answer'}: ${table}`);
    }
    const [, table] = /^\s*(?:insert into|update|delete from) (nest_auth_\w+)/i.exec(body) ?? [];
    if (table !== undefined) changed.set(table, name);
  }
  return [...new Set(found)];
}

/** Where that is so. Each takes the answer of its part first, and reads the table for what that part left alone. */
export const RIGHT_EITHER_WAY: ReadonlySet<string> = new Set([
  'changed > answer: nest_auth_service_accounts',
  'changed > answer: nest_auth_tenants',
  'changed > answer: nest_auth_user_accesses',
  'changed > answer: nest_auth_users',
  'chosen > answer: nest_auth_user_accesses',
  'gone > answer: nest_auth_invitations',
  'gone > answer: nest_auth_permissions',
  'gone > answer: nest_auth_roles',
  'gone > answer: nest_auth_tenants',
  'made > answer: nest_auth_identities',
  'made > answer: nest_auth_permissions',
]);

const WITH_THE_USER = /\b(?:from|join|using|update|,) "?nest_auth_(?:users|user_access\w*|platform_access\w*)\b/i;
const LOGINS = /\b(?:from|join|using|update|,) "?nest_auth_identities\b/i;

/** Parts that join logins with users, which are on other nodes; a part that reads the one from another part is not. */
export function joinedAcross(text: string): string[] {
  return partsOf(text)
    .filter(({ body }) =>
      outermost(body)
        .split(/\bunion(?: all)?\b/i)
        .some((query) => WITH_THE_USER.test(query) && LOGINS.test(query)),
    )
    .map(({ name }) => name || 'answer');
}

/** Whether users are locked without saying which: Citus locks rows of one node only. */
export function lockedAcross(text: string): boolean {
  return partsOf(text).some(({ body }) =>
    [
      ...body.matchAll(
        /(?:^|\()select(?:(?!\(select).)*?\bfrom "?nest_auth_users\b(?:(?!\bselect\b).)*?\bfor (?:no key update|update|key share|share)/gi,
      ),
    ].some(([query]) => !/"?\bid"? = \$\d/i.test(query)),
  );
}

/** Users whose status changes in a batch. docs/scaling.md says that it does not run on Citus. */
const OF_THE_LIFECYCLE =
  / from nest_auth_users (u )?where (u\.)?id = any\(\$1::uuid\[\]\)( and u\.id not in \(select id from bound\))? order by (u\.)?id for (no key )?update( skip locked)?(\)|$)/;

/**
 * Those that span several statements, with code of the host or a choice in between; and one row, by its id, whose
 * values an activity must tell as they were when they were replaced.
 */
const LOCKS = [
  OF_THE_LIFECYCLE,
  /held as \(select id, lifecycle from nest_auth_tenants where id = \$1 for no key update\)/,

  // The last owner of a tenant: it is held first, then whoever stays.
  /^select id from nest_auth_tenants where id = any\(\$1::uuid\[\]\) order by id for no key update$/,
  /^select user_id from nest_auth_user_accesses where user_id = \$1 and tenant_id = \$2 for no key update$/,
  /^select id from nest_auth_roles where id = \$1 for update$/,
  /^select user_id from nest_auth_platform_accesses where user_id = \$1 for no key update$/,
  // Declared permissions, which one process after another applies.
  /^select owner_tenant_id from nest_auth_role_graphs where owner_tenant_id = '0{8}-0{4}-0{4}-0{4}-0{12}' for no key update$/,
  / from nest_auth_users u where u\.id = \$1::uuid and u\.id not in \(select id from bound\) for no key update( skip locked)?\)/,
  / from nest_auth_users where id = \$1 .*for no key update$/,
  / from nest_auth_users where id = \$1::uuid for update( skip locked)?$/,
  // An invitation that is accepted, with code of the host in between.
  / from nest_auth_invitations where id = \$1 and token_hash = \$2 and .*? for update\), tenant as/,
  // A key whose secret is replaced, with a choice in between: whether whoever acts holds what it names.
  / from nest_auth_(api_keys|service_account_keys) k where k\.(user|tenant)_id = \$1::uuid and .* k\.id = \$4::uuid for no key update$/,
  /for update of u for no key update of a$/,
  /held as \( ?select [\w., ]+ from nest_auth_users (u )?where (u\.)?id = \$1(::uuid)?.* for (no key )?update( skip locked)?\)(,| update )/,
];

/** What is wrong with a statement that was sent, in words; nothing when it keeps to all rules. */
export function problemsOf(text: string): string[] {
  return [
    ...REFUSED_IN_STATEMENTS.filter(([, refused]) => refused.test(text)).map(([what]) => what),
    ...changedTwice(text)
      .filter((table) => !REPLACED_AT_ONCE.has(table))
      .map((table) => `${table} is changed twice`),
    ...readAfterChange(text)
      .filter((found) => !RIGHT_EITHER_WAY.has(found))
      .map((found) => `reads what a part before has changed: ${found}`),
    ...joinedAcross(text).map((part) => `joins logins with users in one part: ${part}`),
    ...(lockedAcross(text) && !OF_THE_LIFECYCLE.test(text) ? ['locks users without saying which'] : []),
    ...(/for (no key )?update\b/i.test(text) && !LOCKS.some((lock) => lock.test(text))
      ? ['locks rows for a change']
      : []),
    ...(/advisory/i.test(text) ? ['takes an advisory lock'] : []),
  ];
}
