import { stdout } from 'node:process';
import { styleText } from 'node:util';

const WIDTH = 100;
const isColoured = stdout.isTTY && !process.env['NO_COLOR'];

export type Style = 'bold' | 'dim' | 'green' | 'red' | 'yellow' | 'cyan';

export function paint(style: Style, text: string): string {
  return isColoured ? styleText(style, text) : text;
}

export function print(text = ''): void {
  stdout.write(`${text}\n`);
}

export function heading(text: string): void {
  print(`\n${paint('bold', text)}\n${paint('dim', '─'.repeat(WIDTH))}`);
}

/** A paragraph, broken at the width of the terminal that the demo is made for. */
export function paragraph(text: string): void {
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && widthOf(`${line} ${word}`) > WIDTH) {
      print(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  print(line);
}

export interface Column {
  readonly title: string;
  readonly width: number;
  readonly align?: 'left' | 'right';
}

/** Rows under titles; what does not fit its column is cut, so that no line ever wraps. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[], indent = ''): void {
  const line = (cells: readonly string[]): string =>
    indent +
    columns
      .map((column, index) => fit(cells[index] ?? '', column))
      .join('  ')
      .trimEnd();
  print(paint('dim', line(columns.map(({ title }) => title))));
  for (const row of rows) print(line(row));
}

export const mark = (ok: boolean): string => (ok ? paint('green', '✓') : paint('red', '✗'));

/** Separates the letters from each other: a right-to-left name would otherwise turn the line around it. */
export function isolated(text: string): string {
  return /\p{Script=Arabic}|\p{Script=Hebrew}/u.test(text) ? `\u2068${text}\u2069` : text;
}

function fit(text: string, { width, align = 'left' }: Column): string {
  const cut = widthOf(text) <= width ? text : `${cutTo(text, width - 1)}…`;
  const space = ' '.repeat(Math.max(0, width - widthOf(cut)));
  return align === 'right' ? space + cut : cut + space;
}

function cutTo(text: string, width: number): string {
  let cut = '';
  for (const letter of text) {
    if (widthOf(cut + letter) > width) break;
    cut += letter;
  }
  return cut;
}

const COLOURS = /\u001B\[\d+m/g;
const INVISIBLE = /\p{Mark}|\p{Format}/gu;
const WIDE = /\p{Script=Han}|\p{Script=Hangul}|\p{Script=Hiragana}|\p{Script=Katakana}|[\uFF01-\uFF60]/gu;

/** Columns that a terminal gives the text: East Asian letters take two, accents none. */
function widthOf(text: string): number {
  const visible = text.replaceAll(COLOURS, '').replaceAll(INVISIBLE, '');
  return Array.from(visible).length + (visible.match(WIDE)?.length ?? 0);
}
