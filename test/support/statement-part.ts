import type { Catalog } from './citus-catalog.js';
import { nodeOf, nodesOf, numberOf, type TreeNode, valueOf, walk } from './parse-tree.js';

export interface Relation {
  readonly table: number;
  readonly name: string;
  /** Whose value says on which node a row is; absent for a table that is on every node. */
  readonly column?: number | undefined;
  readonly block: Block;
  readonly index: number;
}

/** A query with its FROM clause, within those of which it can read the columns. */
export interface Block {
  readonly node: TreeNode;
  readonly outer?: Block | undefined;
  /** Reads a column of a query around it. */
  readonly isCorrelated: boolean;
}

/** What Citus plans at once. */
export class Part {
  readonly blocks: Block[] = [];
  readonly relations: Relation[] = [];
  readonly #classes = new Map<string, string>();

  constructor(
    readonly node: TreeNode,
    readonly catalog: Catalog,
  ) {
    this.#enter(node, undefined);
    for (const block of this.blocks) this.#equate(block);
  }

  /** Those that are anywhere on the cluster. */
  get tables(): Relation[] {
    return this.relations.filter(({ table }) => this.catalog.places.has(table));
  }

  get reads(): string[] {
    return this.tables.filter((relation) => relation !== this.target).map(({ name }) => name);
  }

  get target(): Relation | undefined {
    const index = numberOf(this.node, 'resultRelation');
    return this.relations.find((one) => one.block.node === this.node && one.index === index);
  }

  /** Finds the relations; a column of a sub-query counts as the column that it is there. */
  #enter(node: TreeNode, outer: Block | undefined): void {
    const block: Block = { node, outer, isCorrelated: outer !== undefined && reachesOut(node) };
    this.blocks.push(block);
    const upsert = nodeOf(node, 'onConflict');
    const excluded = upsert && numberOf(upsert, 'exclRelIndex');
    for (const [position, entry] of nodesOf(node, 'rtable').entries()) {
      const table = numberOf(entry, 'relid');
      // What an upsert calls EXCLUDED is no table.
      if (numberOf(entry, 'rtekind') !== 0 || table === 0 || position + 1 === excluded) continue;
      const name = this.catalog.names.get(table) ?? `table ${table}`;
      const column = this.catalog.places.get(table);
      this.relations.push({ table, name, column, block, index: position + 1 });
    }
    const isQuery = (one: TreeNode): boolean => one.tag === 'QUERY';
    for (const [field, values] of node.fields) {
      if (field === 'cteList') continue;
      for (const one of values)
        for (const inner of walk(one, (child) => !isQuery(child))) if (isQuery(inner)) this.#enter(inner, block);
    }
  }

  /** The tables of a query whose rows are spread. */
  distributed(block: Block): Relation[] {
    return this.relations.filter((one) => one.block === block && one.column !== undefined);
  }

  #equate(block: Block): void {
    const tree = nodeOf(block.node, 'jointree');
    if (tree === undefined) return;
    const quals = [...walk(tree, ({ tag }) => tag === 'FROMEXPR' || tag === 'JOINEXPR')]
      .filter(({ tag }) => tag === 'FROMEXPR' || tag === 'JOINEXPR')
      .flatMap((one) => conjuncts(nodeOf(one, 'quals')));
    for (const qual of quals) {
      if (qual.tag !== 'OPEXPR' || !this.catalog.equals.has(numberOf(qual, 'opno'))) continue;
      const [left, right] = nodesOf(qual, 'args').map((side) => this.#key(side, block));
      if (left !== undefined && right !== undefined) this.#classes.set(this.#root(left), this.#root(right));
    }
  }

  /** What stands for a value: the column of a relation, or a value that is known before the statement is planned. */
  #key(expression: TreeNode, block: Block): string | undefined {
    const node = expression.tag === 'RELABELTYPE' ? (nodeOf(expression, 'arg') as TreeNode) : expression;
    if (node.tag === 'VAR') {
      let at: Block | undefined = block;
      for (let up = numberOf(node, 'varlevelsup'); up > 0; up -= 1) at = at?.outer;
      return at === undefined ? undefined : this.#column(at, numberOf(node, 'varno'), numberOf(node, 'varattno'));
    }
    const isKnown = [...walk(node)].every(({ tag }) => tag !== 'VAR' && tag !== 'SUBLINK');
    return isKnown ? `value ${JSON.stringify([...(node.fields.get('paramid') ?? [node.tag])])}` : undefined;
  }

  #column(block: Block, index: number, attribute: number): string | undefined {
    const entry = nodesOf(block.node, 'rtable')[index - 1];
    if (entry === undefined) return undefined;
    const query = nodeOf(entry, 'subquery');
    if (query !== undefined) {
      const inner = this.blocks.find((one) => one.node === query);
      const target = nodesOf(query, 'targetList').find((one) => numberOf(one, 'resno') === attribute);
      const expression = target && nodeOf(target, 'expr');
      return inner && expression?.tag === 'VAR' ? this.#key(expression, inner) : undefined;
    }
    const relation = this.relations.find((one) => one.block === block && one.index === index);
    return relation?.column === attribute ? keyOf(relation, this.blocks) : undefined;
  }

  #root(key: string): string {
    const next = this.#classes.get(key);
    return next === undefined || next === key ? key : this.#root(next);
  }

  /** Whether the statement says by a value on which node the rows are. */
  isPinned(relation: Relation): boolean {
    const own = this.#root(keyOf(relation, this.blocks));
    return [...this.#classes.keys(), ...this.#classes.values()].some(
      (key) => key.startsWith('value ') && this.#root(key) === own,
    );
  }

  /** Whether rows of the one are read beside those of the other. */
  areTogether(one: Relation, other: Relation): boolean {
    return (
      this.catalog.isBeside(one.table, other.table) &&
      this.#root(keyOf(one, this.blocks)) === this.#root(keyOf(other, this.blocks))
    );
  }
}

function keyOf({ block, index }: Relation, blocks: readonly Block[]): string {
  return `${blocks.indexOf(block)}.${index}`;
}

function conjuncts(qual: TreeNode | undefined): TreeNode[] {
  if (qual === undefined) return [];
  const isAnd = qual.tag === 'BOOLEXPR' && valueOf(qual, 'boolop') === 'and';
  return isAnd ? nodesOf(qual, 'args').flatMap(conjuncts) : [qual];
}

/** Whether a query reads columns of one around it. */
function reachesOut(query: TreeNode): boolean {
  const look = (value: TreeNode, depth: number): boolean => {
    for (const values of value.fields.values()) {
      for (const one of values) {
        for (const node of walk(one, ({ tag }) => tag !== 'QUERY')) {
          if (node.tag === 'QUERY' ? look(node, depth + 1) : isVarAbove(node, depth)) return true;
        }
      }
    }
    return false;
  };
  return look(query, 0);
}

function isVarAbove(node: TreeNode, depth: number): boolean {
  return node.tag === 'VAR' && numberOf(node, 'varlevelsup') > depth;
}
