/**
 * SQL for one value or the other, of which one is `now()`. Not as CASE: a cluster refuses to change rows by a CASE over
 * what is another value later, because it does not know which of the nodes should ask.
 */
export function either(condition: string, value: string, other: string): string {
  return `(array[${value}, ${other}])[case when ${condition} then 1 else 2 end]`;
}
