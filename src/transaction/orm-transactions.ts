import type { DataSource } from 'typeorm';

/** The part of a query builder that says whether it shall open a transaction. */
interface ExpressionMap {
  queryType: string;
  useTransaction: boolean;
  readonly mainAlias?: { readonly hasMetadata: boolean; readonly metadata: { readonly tableName: string } };
  clone(): ExpressionMap;
}

/**
 * Makes `manager.update`, `manager.delete`, `manager.insert` and query builders write our entities in a transaction, as
 * `save` does: what is written beside the change, such as its activity, is kept or lost with it. TypeORM has a switch
 * for that, and undoes the transaction itself when anything fails. Nothing changes inside of one, and for the host's own.
 */
export function writeInTransactions(dataSource: DataSource): void {
  const create = dataSource.createQueryBuilder.bind(dataSource) as (...args: unknown[]) => {
    expressionMap: unknown;
  };
  dataSource.createQueryBuilder = ((...args: unknown[]) => {
    const builder = create(...args);
    decideLate(builder.expressionMap as ExpressionMap);
    return builder;
  }) as DataSource['createQueryBuilder'];
}

/** What is written, and whether at all, is known only when the builder is run. */
function decideLate(map: ExpressionMap): void {
  let wanted = map.useTransaction;
  Object.defineProperty(map, 'useTransaction', {
    configurable: true,
    enumerable: true,
    get: () => wanted || writesOurs(map),
    set: (value: boolean) => {
      wanted = value;
    },
  });
  const clone = map.clone.bind(map);
  map.clone = () => {
    const copy = clone();
    copy.useTransaction = wanted;
    decideLate(copy);
    return copy;
  };
}

function writesOurs({ queryType, mainAlias }: ExpressionMap): boolean {
  return (
    queryType !== 'select' && mainAlias?.hasMetadata === true && mainAlias.metadata.tableName.startsWith('nest_auth_')
  );
}
