/**
 * SQL of the values that an activity tells: what changed and nothing else, and no secret of a host's metadata.
 *
 * Everything here works on expressions, so that the values come from the rows the statement itself has held and
 * returned, and not from what somebody had read before.
 */

/** Names of metadata whose values are nobody's business; rather too many than one too few. */
const SECRET = 'pass|secret|token|hash|otp|pin|key';
const REDACTED = `'"[redacted]"'::jsonb`;

/** Whether a value holds such a name further down. */
const HOLDS_SECRET = `'$.** ? (@.type() == "object").keyvalue() ? (@.key like_regex "${SECRET}" flag "i")'`;

/** Two jsonb objects, before and after, without what is the same in both. */
export function differences(before: string, after: string): { readonly before: string; readonly after: string } {
  return { before: valuesUnlike(before, after), after: valuesUnlike(after, before) };
}

function valuesUnlike(values: string, others: string): string {
  return `(select coalesce(jsonb_object_agg(field.key, field.value), '{}') from jsonb_each(${values}) as field
    where (${others}) -> field.key is distinct from field.value)`;
}

/**
 * `{"metadata": …}` with those keys of `metadata` that are another one in `other`, null where a key is absent; an empty
 * object when there are none. To be added to an object with `||`.
 */
export function changedMetadata(metadata: string, other: string): string {
  return `(case when ${metadata} = ${other} then '{}'::jsonb else jsonb_build_object('metadata', (
    select jsonb_object_agg(touched.key, case
        when touched.value is null then 'null'::jsonb
        when touched.key ~* '${SECRET}' or jsonb_path_exists(touched.value, ${HOLDS_SECRET}) then ${REDACTED}
        else touched.value end)
    from (select entry.key, ${metadata} -> entry.key as value from jsonb_each(${metadata} || ${other}) as entry
      where ${metadata} -> entry.key is distinct from ${other} -> entry.key) as touched)) end)`;
}

/** A moment as JavaScript writes it, whatever the time zone of the session. */
export function moment(column: string): string {
  return `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
}
