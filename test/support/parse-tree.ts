import type { Client } from 'pg';

/** A node of the tree that PostgreSQL makes of a statement, as `debug_print_parse` writes it. */
export interface TreeNode {
  readonly tag: string;
  readonly fields: ReadonlyMap<string, readonly TreeValue[]>;
}

export type TreeValue = string | TreeNode | readonly TreeValue[];

/**
 * Has the server read a statement, without running it, and answers its tree: with every name resolved, every function by
 * its number, and the type of every parameter known. No parser of our own could be trusted with that.
 */
export async function parseTree(client: Client, text: string): Promise<TreeNode> {
  const found: string[] = [];
  const collect = ({ message, detail }: { message?: string | undefined; detail?: string | undefined }): void => {
    // Not that of PREPARE itself.
    if (message === 'parse tree:' && detail !== undefined && !/^\s*{QUERY\s+:commandType 6/.test(detail))
      found.push(detail);
  };
  client.on('notice', collect);
  try {
    await client.query(
      `set debug_print_parse = on; set debug_pretty_print = off; set client_min_messages = log; prepare reading as ${text}`,
    );
    await client.query(
      'reset debug_print_parse; reset debug_pretty_print; reset client_min_messages; deallocate reading',
    );
  } finally {
    client.off('notice', collect);
  }
  const [tree] = found;
  if (tree === undefined) throw new Error(`PostgreSQL has written no tree of: ${text}`);
  return readNode(tree.matchAll(/[(){}]|"(?:\\.|[^"\\])*"|(?:\\.|[^\s(){}\\])+/gs), true) as TreeNode;
}

/** What begins with the next token; undefined where a list or a node ends. */
function readNode(tokens: Iterator<RegExpExecArray>, isFirst = false): TreeValue | undefined {
  const [token] = tokens.next().value as RegExpExecArray;
  if (token === '{') {
    const [tag] = tokens.next().value as RegExpExecArray;
    return { tag, fields: readFields(tokens) };
  }
  if (isFirst) throw new Error(`not a tree: it begins with ${token}`);
  if (token === '(') {
    const list: TreeValue[] = [];
    for (let value = readNode(tokens); value !== undefined; value = readNode(tokens)) list.push(value);
    return list;
  }
  return token === ')' || token === '}' ? undefined : token;
}

function readFields(tokens: Iterator<RegExpExecArray>): ReadonlyMap<string, readonly TreeValue[]> {
  const fields = new Map<string, TreeValue[]>();
  let current: TreeValue[] = [];
  for (let value = readNode(tokens); value !== undefined; value = readNode(tokens)) {
    if (typeof value === 'string' && value.startsWith(':')) fields.set(value.slice(1), (current = []));
    else current.push(value);
  }
  return fields;
}

/** The one value of a field; undefined when it is empty. */
export function valueOf(node: TreeNode, field: string): TreeValue | undefined {
  const [value] = node.fields.get(field) ?? [];
  return value === '<>' ? undefined : value;
}

export function numberOf(node: TreeNode, field: string): number {
  const value = valueOf(node, field);
  return typeof value === 'string' ? Number(value) : 0;
}

function isNode(value: TreeValue | undefined): value is TreeNode {
  return typeof value === 'object' && 'tag' in value;
}

export function nodeOf(node: TreeNode, field: string): TreeNode | undefined {
  const value = valueOf(node, field);
  return isNode(value) ? value : undefined;
}

/** The nodes of a list; none where there is none. */
export function nodesOf(node: TreeNode, field: string): TreeNode[] {
  const value = valueOf(node, field);
  return Array.isArray(value) ? value.filter(isNode) : [];
}

/** The node and all within; `enter` false leaves out what is within a node. */
export function* walk(
  value: TreeValue | undefined,
  enter: (node: TreeNode) => boolean = () => true,
): Generator<TreeNode> {
  if (value === undefined || typeof value === 'string') return;
  if (!isNode(value)) {
    for (const one of value) yield* walk(one, enter);
    return;
  }
  yield value;
  if (!enter(value)) return;
  for (const values of value.fields.values()) for (const one of values) yield* walk(one, enter);
}
