import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { parse } from 'csv-parse/sync';

import { ActivityService, IdentityContext } from '../../../src/index.js';
import { useNestApp } from '../../support/nest-app.js';
import { recordStatements } from '../../support/wire.js';
import { plant } from './activities.js';

/** Before everything that a test writes by the package. */
const AN_HOUR_AGO = new Date(Date.now() - 3_600_000).toISOString();

const app = useNestApp();
const service = (): ActivityService => app.context.get(ActivityService);

async function textOf(stream: AsyncIterable<string>): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += chunk;
  return text;
}

describe('exportActivities', () => {
  it('streams JSON lines, newest first, of exactly what the filter matches', async () => {
    const userId = randomUUID();
    for (const n of [1, 2, 3]) await service().logActivity({ type: 'crm.note_added', userId, details: { n } });
    const text = await textOf(await service().exportActivities({ userId }, { format: 'jsonl' }));
    expect(text.endsWith('\n')).toBe(true);
    const rows = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(rows.map(({ details }) => details)).toEqual([{ n: 3 }, { n: 2 }, { n: 1 }]);
    expect(rows[0]).toMatchObject({ userId, subjectType: 'user', subjectId: userId, tenantId: null, before: null });
    expect(new Date(String(rows[0]?.['occurredAt'])).getTime()).toBeGreaterThan(0);
  });

  it('streams CSV in which no cell is a formula, and which reads back as it was (SEC-90)', async () => {
    const userId = randomUUID();
    const starts = ['=1+1', '+1', '-1', '@SUM(A1)', '＝1', '"a",b'];
    for (const userAgent of starts) {
      await IdentityContext.run({ userAgent, actor: { type: 'service', id: userAgent } }, () =>
        service().logActivity({ type: 'crm.note_added', userId, details: { text: 'line one\nline "two", three' } }),
      );
    }
    const text = await textOf(await service().exportActivities({ userId }, { format: 'csv' }));
    const rows = parse<Record<string, string>>(text, { columns: true });
    const expected = starts.map((start) => (start.startsWith('"') ? start : `'${start}`));
    expect(rows.map(({ userAgent }) => userAgent)).toEqual(expected.toReversed());
    expect(rows.map(({ actorId }) => actorId)).toEqual(expected.toReversed());
    expect(JSON.parse(rows[0]?.['details'] ?? '')).toEqual({ text: 'line one\nline "two", three' });
    expect(text.split('\r\n')[0]).toBe(
      'id,occurredAt,type,actorType,actorId,impersonatorId,userId,tenantId,subjectType,subjectId,before,after,details,ip,userAgent,requestId',
    );
  });

  it('writes a header for nothing, and no line of JSON', async () => {
    const filter = { userId: randomUUID() };
    expect(await textOf(await service().exportActivities(filter, { format: 'jsonl' }))).toBe('');
    expect(await textOf(await service().exportActivities(filter, { format: 'csv' }))).toMatch(/^id,[\w,]+\r\n$/);
  });

  it('refuses formats and filters that it does not know before anything is read', async () => {
    const refused = { code: 'VALIDATION_FAILED' };
    await expect(service().exportActivities({}, { format: 'xlsx' as 'csv' })).rejects.toMatchObject(refused);
    await expect(service().exportActivities({ userId: '' }, { format: 'csv' })).rejects.toMatchObject(refused);
  });

  it('holds one page of 50,000 in memory, and reads the next only when somebody takes it', async () => {
    const tenantId = randomUUID();
    await plant(app.url, { count: 50_000, at: AN_HOUR_AGO, tenantId: `'${tenantId}'` });
    const { statements } = await recordStatements(async () => {
      const stream = await service().exportActivities({ tenantId }, { format: 'jsonl' });
      await stream.iterator({ destroyOnReturn: true })[Symbol.asyncIterator]().next();
      // Time for more pages, if it took them: as many are read here one after another.
      for (let page = 0; page < 10; page += 1) await service().findActivities({ tenantId }, { limit: 500 });
      stream.destroy();
    });
    // What the export is as of, and the two pages that a stream reads before anybody asks.
    const ofExport = statements.filter((sql) => sql.includes('snapshot'));
    expect(ofExport.length).toBeGreaterThanOrEqual(2);
    expect(ofExport.length).toBeLessThanOrEqual(3);

    let [count, longest] = [0, 0];
    const seen = new Set<number>();
    const recorded = await recordStatements(async () => {
      const stream = await service().exportActivities({ tenantId }, { format: 'jsonl' });
      for await (const chunk of stream as AsyncIterable<string>) {
        longest = Math.max(longest, chunk.length);
        for (const line of chunk.trimEnd().split('\n')) {
          count += 1;
          seen.add((JSON.parse(line) as { after: { i: number } }).after.i);
        }
      }
    });
    expect({ count, distinct: seen.size }).toEqual({ count: 50_000, distinct: 50_000 });
    // 500 rows a page, each of less than a thousand characters.
    expect(longest).toBeLessThan(500_000);
    expect(recorded.statements).toHaveLength(1 + 101);
    expect(recorded.statements.filter((sql) => /^(BEGIN|START|DECLARE)/i.test(sql))).toEqual([]);
  }, 60_000);

  it('gives what was committed when it was called: neither later rows, nor older ones that are committed later', async () => {
    const tenantId = randomUUID();
    const runner = app.dataSource.createQueryRunner();
    await runner.startTransaction();
    await service().logActivity({ type: 'crm.slow', subjectType: 'job', tenantId }, runner.manager);
    await plant(app.url, { count: 700, at: AN_HOUR_AGO, tenantId: `'${tenantId}'` });
    const stream = await service().exportActivities({ tenantId }, { format: 'jsonl' });
    await runner.commitTransaction();
    await runner.release();
    await service().logActivity({ type: 'crm.late', subjectType: 'job', tenantId });
    const text = await textOf(stream);
    expect(text.split('\n').filter((line) => line !== '')).toHaveLength(700);
    expect(text).not.toMatch(/crm\./);
    expect((await service().findActivities({ tenantId }, { limit: 2 })).items.map(({ type }) => type)).toEqual([
      'crm.late',
      'crm.slow',
    ]);
  });

  it('sees what its own transaction has written, and ends with it', async () => {
    const tenantId = randomUUID();
    const stream = await app.users.runInTransaction(async (manager) => {
      await service().logActivity({ type: 'crm.own', subjectType: 'job', tenantId }, manager);
      const own = await service().exportActivities({ tenantId }, { format: 'jsonl' });
      expect(await textOf(own)).toMatch(/crm\.own/);
      return service().exportActivities({ tenantId }, { format: 'jsonl' });
    });
    await expect(textOf(stream)).rejects.toMatchObject({ code: 'TRANSACTION_ENDED' });
  });
});
