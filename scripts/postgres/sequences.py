"""Sequences behind serial and identity columns: past the values that were loaded explicitly."""

# Only where the next value would meet or has to pass a value of the column: none is moved back.
# The new one is a whole number of increments away. A sequence that would end stays as it is: a
# value far away, such as the largest integer, must not exhaust it. So does one whose column has a
# default that computes more than nextval(), or that this user may not read or set.
ADVANCE = r"""
DO $invoke$
DECLARE
    one record;
    edge numeric;
BEGIN
    FOR one IN
        SELECT seqrelid::regclass AS name, seqincrement::numeric AS step, seqmin, seqmax,
            format('SELECT %s(%I) FROM %s', CASE WHEN seqincrement > 0 THEN 'max' ELSE 'min' END,
                attname, attrelid::regclass) AS query
        FROM pg_sequence JOIN (
            SELECT objid, refobjid, refobjsubid FROM pg_depend
            WHERE classid = 'pg_class'::regclass AND deptype IN ('a', 'i')
            UNION SELECT refobjid, adrelid, adnum
            FROM pg_depend JOIN pg_attrdef ON pg_attrdef.oid = objid
            WHERE classid = 'pg_attrdef'::regclass
        ) AS used (sequence, relation, number) ON sequence = seqrelid
        JOIN pg_class ON pg_class.oid = relation AND relkind IN ('r', 'p')
        JOIN pg_attribute ON attrelid = relation AND attnum = number
        LEFT JOIN pg_attrdef ON adrelid = relation AND adnum = number
        WHERE atttypid IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype)
            AND pg_get_expr(adbin, adrelid) ~ '^nextval\(''.*''::regclass\)$' IS NOT FALSE
            AND has_table_privilege(relation, 'SELECT')
            AND has_sequence_privilege(seqrelid, 'SELECT')
            AND has_sequence_privilege(seqrelid, 'UPDATE')
    LOOP
        EXECUTE one.query INTO edge;
        EXECUTE format(
            'SELECT setval($1, past::bigint, false) FROM (SELECT next,'
            ' next + $3 * (div($2 - next, $3) + 1) AS past FROM (SELECT last_value::numeric'
            ' + CASE WHEN is_called THEN $3 ELSE 0 END AS next FROM %s) AS state) AS new'
            ' WHERE ($2 - next) * $3 >= 0 AND past BETWEEN $4 AND $5', one.name)
        USING one.name, edge, one.step, one.seqmin, one.seqmax;
    END LOOP;
END $invoke$;
"""
