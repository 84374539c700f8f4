/** What can be read off the text of a statement and off the server's answer, and no more than that. */

/** The transaction command that a text begins with, if it is one. */
export function transactionCommandOf(sql: string): string | undefined {
  const word = /^\s*(START TRANSACTION|BEGIN|SAVEPOINT|RELEASE|ROLLBACK|ABORT|COMMIT|END)\b/i
    .exec(sql)?.[1]
    ?.toUpperCase();
  return word === 'END' ? 'COMMIT' : word === 'ABORT' ? 'ROLLBACK' : word;
}

export function tagOf(result: unknown): string | undefined {
  return (result as { command?: string } | undefined)?.command;
}

/** The savepoint named after `keyword`, as PostgreSQL reads it: without quotes, case does not count. */
export function nameAfter(keyword: RegExp, sql: string): string | undefined {
  const [, quoted, plain] = new RegExp(`${keyword.source}(?:"((?:[^"]|"")+)"|([^\\s";]+))`, 'i').exec(sql) ?? [];
  return quoted ?? plain?.toLowerCase();
}

/** The statements of a text that had `count` answers; one that cannot be taken apart stands for all of them. */
export function textsOf(sql: string, count: number): string[] {
  const texts = sql.split(';').filter((text) => text.trim() !== '');
  return texts.length === count ? texts : [];
}
