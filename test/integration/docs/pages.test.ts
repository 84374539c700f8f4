import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import * as front from '../../../src/index.js';
import { NestAuthEvents } from '../../../src/index.js';
import { errorsPage, PAGE } from './errors-page.js';
import { pages } from './snippets.js';

const read = (page: string): string => readFileSync(page, 'utf8');

/** As GitHub makes them. */
function anchorsOf(text: string): string[] {
  const titles = text.replaceAll(/^```[\s\S]*?^```$/gm, '').match(/^#+ .*$/gm) ?? [];
  return titles.map((title) =>
    title
      .replace(/^#+ /, '')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

const links = pages().flatMap((page) => {
  const prose = read(page).replaceAll(/^```[\s\S]*?^```$/gm, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map((match) => match[1] ?? '')
    .filter((link) => !/^https?:/.test(link))
    .map((link) => ({ page, link }));
});

describe('the documentation', () => {
  it('lists every error code with its status and meaning', () => {
    expect(read(PAGE)).toBe(errorsPage(read(PAGE)));
  });

  it('lists every event', () => {
    const page = read('docs/events.md');
    const missing = Object.keys(NestAuthEvents).filter((name) => !page.includes(`| \`${name}\` |`));
    expect(missing).toEqual([]);
  });

  it('names every public method of every service', () => {
    const readme = read('README.md');
    const missing = Object.entries(front)
      // A class, and not the decorator that ends so.
      .filter(([name, service]) => name.endsWith('Service') && 'prototype' in (service as object))
      .flatMap(([, service]) => Object.getOwnPropertyNames((service as { prototype: object }).prototype))
      .filter((method) => method !== 'constructor' && !readme.includes(`\`${method}\``));
    expect(missing).toEqual([]);
  });

  it('links only to what is there', () => {
    const broken = links.filter(({ page, link }) => {
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? page : join(dirname(page), path);
      if (!existsSync(target)) return true;
      return anchor !== undefined && target.endsWith('.md') && !anchorsOf(read(target)).includes(anchor);
    });
    expect(broken).toEqual([]);
  });

  it('proves every guarantee by a test', () => {
    const rows = read('README.md').match(/^\| \d \|.*$/gm) ?? [];
    expect(rows).toHaveLength(9);
    expect(rows.filter((row) => !/\]\(test\/[\w./-]+\.test\.ts\)/.test(row))).toEqual([]);
  });
});
