import type { Client } from 'pg';

/**
 * Stand-ins for the functions of Citus, for a plain PostgreSQL. Nothing is distributed; what is asked for is written
 * down, and refused where Citus would refuse it: see the rules below, which are those of its documentation and of its
 * `foreign_constraint.c`. What they cannot tell is how a statement is planned on a cluster.
 */
export const CITUS_STAND_IN = `
  CREATE TABLE citus_stand_in (
    relation oid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('reference', 'distributed')),
    distribution_column text,
    colocation integer
  );
  CREATE SEQUENCE citus_stand_in_colocation;

  -- By which the package knows that it is on a cluster.
  CREATE FUNCTION citus_version() RETURNS text LANGUAGE sql AS $$ SELECT 'none' $$;

  CREATE TABLE citus_stand_in_nodes (host text, port integer, kind text);
  CREATE FUNCTION citus_add_node(host text, port integer) RETURNS integer LANGUAGE sql AS $$
    INSERT INTO citus_stand_in_nodes VALUES (host, port, 'worker') RETURNING 1 $$;
  CREATE FUNCTION citus_set_coordinator_host(host text, port integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO citus_stand_in_nodes VALUES (host, port, 'coordinator') $$;

  -- What Citus would not keep of the tables as they are now, in words.
  CREATE FUNCTION citus_stand_in_problems() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s: a unique index without the distribution column %s', i.indexrelid::regclass, d.distribution_column)
    FROM citus_stand_in d JOIN pg_index i ON i.indrelid = d.relation AND i.indisunique
    WHERE d.kind = 'distributed' AND NOT EXISTS (
      SELECT 1 FROM pg_attribute a WHERE a.attrelid = d.relation AND a.attname = d.distribution_column
        AND a.attnum = ANY (i.indkey::smallint[]))
    UNION ALL
    SELECT format('%s: triggers are not distributed', t.tgrelid::regclass)
    FROM citus_stand_in d JOIN pg_trigger t ON t.tgrelid = d.relation AND NOT t.tgisinternal
    UNION ALL
    SELECT format('%s: %s', c.conname, why) FROM pg_constraint c
    LEFT JOIN citus_stand_in child ON child.relation = c.conrelid
    LEFT JOIN citus_stand_in parent ON parent.relation = c.confrelid,
    LATERAL (SELECT
      array_position(c.conkey, (SELECT attnum FROM pg_attribute
        WHERE attrelid = child.relation AND attname = child.distribution_column)) AS child_at,
      array_position(c.confkey, (SELECT attnum FROM pg_attribute
        WHERE attrelid = parent.relation AND attname = parent.distribution_column)) AS parent_at) AS at,
    LATERAL (SELECT CASE
      WHEN child.kind IS NULL AND parent.kind = 'distributed' THEN 'a local table refers to a distributed one'
      WHEN child.kind IS NOT NULL AND parent.kind IS NULL THEN 'refers to a local table'
      WHEN child.kind = 'reference' AND parent.kind = 'distributed' THEN 'a reference table refers to a distributed one'
      WHEN parent.kind = 'distributed' AND child.colocation <> parent.colocation THEN 'between tables that are not co-located'
      WHEN parent.kind = 'distributed' AND child_at IS DISTINCT FROM parent_at
        THEN 'the distribution columns are not at the same place'
      WHEN parent.kind = 'distributed' AND child_at IS NULL THEN 'does not hold the distribution column'
      WHEN child.kind = 'distributed' AND child_at IS NOT NULL AND c.confdeltype IN ('n', 'd')
        THEN 'would set the distribution column to null'
    END AS why) AS judged
    WHERE c.contype = 'f' AND why IS NOT NULL
  $$;

  -- A table that is still local may refer to one that is not any more: it is distributed next.
  CREATE FUNCTION citus_stand_in_place(table_name regclass, how text, by_column text, beside text) RETURNS void
  LANGUAGE plpgsql AS $$
    DECLARE
      beside_id integer;
      problem text;
    BEGIN
      IF EXISTS (SELECT 1 FROM citus_stand_in WHERE relation = table_name) THEN
        RAISE EXCEPTION 'table "%" is already distributed', table_name USING ERRCODE = '42P16';
      END IF;
      IF how = 'distributed' AND NOT EXISTS (
        SELECT 1 FROM pg_attribute WHERE attrelid = table_name AND attname = by_column AND NOT attisdropped
      ) THEN
        RAISE EXCEPTION 'column "%" of relation "%" does not exist', by_column, table_name USING ERRCODE = '42703';
      END IF;
      IF beside <> 'none' THEN
        SELECT colocation INTO beside_id FROM citus_stand_in WHERE relation = beside::regclass;
        IF beside_id IS NULL THEN RAISE EXCEPTION 'relation % is not distributed', beside; END IF;
      END IF;
      INSERT INTO citus_stand_in VALUES (table_name, how, by_column,
        CASE WHEN how = 'distributed' THEN coalesce(beside_id, nextval('citus_stand_in_colocation')) END);
      SELECT p INTO problem FROM citus_stand_in_problems() p WHERE p NOT LIKE '%a local table refers to a distributed one' LIMIT 1;
      IF problem IS NOT NULL THEN RAISE EXCEPTION 'cannot distribute: %', problem USING ERRCODE = '0A000'; END IF;
    END
  $$;

  CREATE FUNCTION create_reference_table(table_name regclass) RETURNS void LANGUAGE sql AS $$
    SELECT citus_stand_in_place(table_name, 'reference', NULL, 'none') $$;

  CREATE FUNCTION create_distributed_table(table_name regclass, distribution_column text, colocate_with text DEFAULT 'none')
  RETURNS void LANGUAGE sql AS $$
    SELECT citus_stand_in_place(table_name, 'distributed', distribution_column, colocate_with) $$;

  CREATE FUNCTION undistribute_table(table_name regclass, cascade_via_foreign_keys boolean DEFAULT false) RETURNS void
  LANGUAGE plpgsql AS $$
    DECLARE
      tied oid[] := ARRAY[table_name::oid];
      before integer := 0;
    BEGIN
      WHILE cardinality(tied) > before LOOP
        before := cardinality(tied);
        SELECT array_agg(DISTINCT o) INTO tied FROM (
          SELECT unnest(tied) UNION
          SELECT unnest(ARRAY[conrelid, confrelid]) FROM pg_constraint
          WHERE contype = 'f' AND (conrelid = ANY (tied) OR confrelid = ANY (tied))) AS all_tied (o);
      END LOOP;
      IF cardinality(tied) > 1 AND NOT cascade_via_foreign_keys THEN
        RAISE EXCEPTION 'cannot undistribute table because it has a foreign key' USING ERRCODE = '0A000';
      END IF;
      IF NOT EXISTS (SELECT 1 FROM citus_stand_in WHERE relation = table_name) THEN
        RAISE EXCEPTION 'cannot undistribute table because the table is not distributed' USING ERRCODE = '0A000';
      END IF;
      DELETE FROM citus_stand_in WHERE relation = ANY (tied);
    END
  $$;
`;

export interface Placement {
  readonly table: string;
  readonly kind: 'reference' | 'distributed';
  readonly column: string | null;
  /** Tables with the same number have their rows of one value on one node. */
  readonly colocation: number | null;
}

export async function placementsOf(client: Client): Promise<Placement[]> {
  const { rows } = await client.query<Placement>(`
    select relation::regclass::text as table, kind, distribution_column as column, colocation
    from citus_stand_in order by 1`);
  return rows;
}

export async function problemsOf(client: Client): Promise<string[]> {
  const { rows } = await client.query<{ problem: string }>('select citus_stand_in_problems() as problem order by 1');
  return rows.map(({ problem }) => problem);
}
