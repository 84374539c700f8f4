import type { Client } from 'pg';

import { type Catalog, isChanging, isVolatile, readCatalog } from './citus-catalog.js';
import { nodeOf, nodesOf, numberOf, parseTree, type TreeNode, valueOf, walk } from './parse-tree.js';
import { type Block, Part } from './statement-part.js';

/**
 * What the planner of Citus refuses, held against the tree that PostgreSQL makes of a statement. The rules are those of
 * `multi_router_planner.c`, `recursive_planning.c` and `query_pushdown_planning.c` of Citus 11 to 13. A query of the WITH
 * list is planned by itself there, and those that read it read a table without a place: so each is judged by itself.
 */
export async function citusRules(client: Client): Promise<(text: string) => Promise<string[]>> {
  const catalog = await readCatalog(client);
  return async (text) => {
    const tree = await parseTree(client, text);
    const parts = [...nodesOf(tree, 'cteList').map((cte) => nodeOf(cte, 'ctequery') as TreeNode), tree];
    const found = parts.flatMap((part) => problemsOf(new Part(part, catalog)));
    const isSpread = parts.some((part) => new Part(part, catalog).tables.length > 0);
    return [...new Set([...found, ...(isSpread ? localProblems(parts, catalog) : [])])];
  };
}

const SELECT = 1;
const UPDATE = 2;
const DELETE = 4;

/** What a statement on a cluster does to a table that is on the coordinator only, as the activity log is. */
function localProblems(parts: readonly TreeNode[], catalog: Catalog): string[] {
  const isRecursive = parts.some((part) => [...walk(part)].some((node) => valueOf(node, 'hasRecursive') === 'true'));
  return [
    ...parts.flatMap((part) => {
      const target = new Part(part, catalog).target;
      if (target === undefined || catalog.places.has(target.table)) return [];
      // Its time, and the number of its transaction, would be those of another node.
      return new Part(part, catalog).reads.map((name) => `writes ${target.name} by what it reads of ${name}`);
    }),
    ...(isRecursive ? recursionProblems(parts, catalog) : []),
  ];
}

/** Citus does not take a recursive statement apart: one node must be able to run all of it. */
function recursionProblems(parts: readonly TreeNode[], catalog: Catalog): string[] {
  return parts.flatMap((node) => {
    if (numberOf(node, 'commandType') !== SELECT) return ['is recursive, and changes something'];
    const part = new Part(node, catalog);
    return part.relations
      .filter((relation) => relation.column !== undefined && !part.isPinned(relation))
      .map(({ name }) => `is recursive over ${name} on several nodes`);
  });
}

const skipQueries = ({ tag }: TreeNode): boolean => tag !== 'QUERY';

function problemsOf(part: Part): string[] {
  const command = numberOf(part.node, 'commandType');
  const isHere = part.target !== undefined && part.catalog.places.has(part.target.table);
  return [
    ...part.blocks.flatMap((block) => [
      ...lockProblems(part, block),
      ...joinProblems(part, block),
      ...correlationProblems(part, block),
    ]),
    ...(isHere && (command === UPDATE || command === DELETE) ? changeProblems(part) : []),
    ...(isHere ? upsertProblems(part) : []),
  ];
}

function lockProblems(part: Part, block: Block): string[] {
  if (nodesOf(block.node, 'rowMarks').length === 0) return [];
  return part
    .distributed(block)
    .filter((relation) => !part.isPinned(relation))
    .map(({ name }) => `locks rows of ${name} on several nodes`);
}

function joinProblems(part: Part, block: Block): string[] {
  const [first, ...others] = part.distributed(block);
  return others
    .filter((other) => first !== undefined && !part.areTogether(first, other))
    .map(({ name }) => `joins ${first?.name} with ${name} of other nodes`);
}

/** A sub-query that reads a column of the query around it cannot be run before that one. */
function correlationProblems(part: Part, block: Block): string[] {
  const { outer } = block;
  if (!block.isCorrelated || outer === undefined) return [];
  const around = part.distributed(outer);
  return part
    .distributed(block)
    .filter((inner) => !part.isPinned(inner) && !around.some((one) => part.areTogether(one, inner)))
    .map(({ name }) => `reads ${name} for each row of what is not beside it`);
}

function changeProblems(part: Part): string[] {
  const { target } = part;
  const column = target?.column;
  const expressions = [
    ...(numberOf(part.node, 'commandType') === UPDATE ? nodesOf(part.node, 'targetList') : []),
    nodeOf(part.node, 'jointree'),
  ];
  const around = part.blocks.filter((block) => block.isCorrelated || block.outer === undefined);
  return [
    ...new Set(expressions.flatMap((one) => irreducible(part, one))),
    ...(isVolatile(part.node, part.catalog) ? ['changes rows by a function that is VOLATILE'] : []),
    ...(isChanging(valueOf(part.node, 'returningList'), part.catalog)
      ? ['returns what a function makes that is not IMMUTABLE']
      : []),
    ...(column === undefined
      ? around
          .flatMap((block) => part.distributed(block))
          .map(({ name }) => `changes ${target?.name}, which is on every node, by rows of ${name}`)
      : []),
  ];
}

/** Each node would evaluate it by itself, and Citus does not take it apart. */
function irreducible(part: Part, value: TreeNode | undefined): string[] {
  const found: string[] = [];
  const enter = (node: TreeNode): boolean => {
    if (node.tag === 'QUERY') return false;
    if (node.tag === 'COALESCEEXPR' || node.tag === 'CASEEXPR') {
      if (isChanging(node, part.catalog)) found.push('changes rows by CASE or COALESCE over what is not IMMUTABLE');
      return false;
    }
    if (part.catalog.volatilityOf(node) === 's' && [...walk(node, skipQueries)].some(({ tag }) => tag === 'VAR'))
      found.push('changes rows by a STABLE function over a column');
    return true;
  };
  for (const _ of walk(value, enter));
  return found;
}

function upsertProblems(part: Part): string[] {
  const upsert = nodeOf(part.node, 'onConflict');
  if (upsert === undefined || numberOf(upsert, 'action') !== 2) return [];
  const column = part.target?.column;
  const arbiters = nodesOf(upsert, 'arbiterElems').map((one) => numberOf(nodeOf(one, 'expr') as TreeNode, 'varattno'));
  return [
    ...(column !== undefined && !arbiters.includes(column) ? ['is an upsert without the column of distribution'] : []),
    ...(['onConflictSet', 'onConflictWhere'].some((field) => isChanging(valueOf(upsert, field), part.catalog))
      ? ['is an upsert by a function that is not IMMUTABLE']
      : []),
  ];
}
