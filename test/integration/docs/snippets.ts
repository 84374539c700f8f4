import { readdirSync, readFileSync } from 'node:fs';

/** A fenced block of a page, with what the comment before it says. */
export interface Snippet {
  readonly page: string;
  /** Line of the fence, from 1. */
  readonly line: number;
  readonly language: string;
  /** The code at the lines it has in the page, all other lines empty: messages then name lines of the page. */
  readonly code: string;
  /** Words of the `<!-- … -->` before the fence: `run`, and how. */
  readonly words: readonly string[];
  /** What the run must print: the next block, when `<!-- output -->` precedes it. */
  readonly output: string | undefined;
}

interface Block {
  readonly line: number;
  readonly language: string;
  readonly lines: readonly string[];
  readonly words: readonly string[];
}

/** The pages whose snippets are checked. */
export function pages(): string[] {
  const docs = readdirSync('docs').filter((name) => name.endsWith('.md'));
  return ['README.md', ...docs.map((name) => `docs/${name}`)];
}

/** The blocks of a page in these languages. `<!-- run after-above -->` puts the block before it in front. */
export function snippetsOf(page: string, languages: readonly string[]): Snippet[] {
  const blocks = blocksOf(readFileSync(page, 'utf8').split('\n'));
  const kept: string[][] = [];
  return blocks.flatMap((block, index) => {
    const above = block.words.includes('after-above') ? (kept.at(-1) ?? []) : [];
    const lines = [...above];
    while (lines.length < block.line) lines.push('');
    lines.push(...block.lines);
    if (block.language === 'ts') kept.push(lines);
    if (!languages.includes(block.language)) return [];
    const next = blocks[index + 1];
    return [
      {
        page,
        line: block.line,
        language: block.language,
        code: lines.join('\n'),
        words: block.words,
        output: next?.words.includes('output') === true ? next.lines.join('\n') : undefined,
      },
    ];
  });
}

function blocksOf(lines: readonly string[]): Block[] {
  const blocks: Block[] = [];
  for (let index = 0; index < lines.length; index += 1) {
    const language = /^```(\w+)$/.exec(lines[index] ?? '')?.[1];
    if (language === undefined) continue;
    const end = lines.indexOf('```', index + 1);
    blocks.push({ line: index + 1, language, lines: lines.slice(index + 1, end), words: wordsBefore(lines, index) });
    index = end;
  }
  return blocks;
}

function wordsBefore(lines: readonly string[], index: number): string[] {
  const before = lines.slice(0, index).findLast((line) => line.trim() !== '') ?? '';
  return (/^<!-- (.*) -->$/.exec(before)?.[1] ?? '').split(' ').filter((word) => word !== '');
}

/** Whether what was printed is what the page shows; `…` stands for anything within a line. */
export function matchesOutput(printed: string, shown: string): boolean {
  const pattern = shown
    .split('…')
    .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
    .join('.*');
  return new RegExp(`^${pattern}$`).test(printed);
}
