import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface SqlText {
  /** Within `src`. */
  readonly file: string;
  readonly text: string;
}

const STARTS_LIKE_SQL = /^\s*(with|select|insert|update|delete)\b/i;

/** Every text of a statement in the sources: the template literals that begin like one, with what they are made of. */
export function sqlTextsOf(directory: string): SqlText[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => path.replaceAll('\\', '/'))
    .flatMap((file) => {
      const source = withoutComments(readFileSync(join(directory, file), 'utf8'));
      return templatesOf(source)
        .filter((text) => STARTS_LIKE_SQL.test(text))
        .map((text) => ({ file, text: text.replaceAll(/\s+/g, ' ').trim() }));
    });
}

function withoutComments(source: string): string {
  return source.replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
}

/** The outermost template literals of a source; those inside of their placeholders stay part of them. */
function templatesOf(source: string): string[] {
  const templates: string[] = [];
  /** Backticks and placeholders that are open, innermost last. */
  const open: string[] = [];
  let start = 0;
  for (let index = 0; index < source.length; index += 1) {
    const char = source[index] as string;
    const inText = open.at(-1) === '`';
    if (char === '\\') {
      index += 1;
    } else if (char === '`') {
      if (inText) open.pop();
      else open.push('`');
      if (!inText && open.length === 1) start = index + 1;
      if (inText && open.length === 0) templates.push(source.slice(start, index));
    } else if (inText && source.startsWith('${', index)) {
      open.push('{');
      index += 1;
    } else if (!inText && open.length > 0 && (char === '{' || char === '}')) {
      if (char === '{') open.push('{');
      else open.pop();
    }
  }
  return templates;
}
