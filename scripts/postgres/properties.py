"""What belongs to a database but not to its content: settings, privileges, comment, owner, limit.

They stay with a database when it is renamed, but a copy of it does not have them. And a schema file
names the app's database (`ALTER DATABASE cruddur SET ...`), while a reset loads it into another one
beside it. So around such a load, in its transaction, the named database gets the properties of the
one that is being built; afterwards what the file changed is moved, and the named one restored.
"""

from typing import Any

# Properties are JSON: a statement for each, by the statement that removes it. Both have the
# database's name as their placeholder. search_path and the like are lists of quoted names.
_FUNCTIONS = r"""
CREATE FUNCTION pg_temp.invoke_assignment(item text) RETURNS text LANGUAGE sql AS $$
    SELECT format('%I TO %s', name, CASE
        WHEN name NOT IN ('search_path', 'temp_tablespaces', 'session_preload_libraries',
                          'local_preload_libraries', 'createrole_self_grant')
        THEN quote_literal(value)
        ELSE coalesce((SELECT string_agg(quote_literal(
                coalesce(replace(part[1], '""', '"'), part[2])), ', ')
            FROM regexp_matches(value, '"((?:[^"]|"")*)"|([^", ]+)', 'g') AS part), '''''')
        END)
    FROM (SELECT split_part(item, '=', 1) AS name, substr(item, strpos(item, '=') + 1) AS value)
        AS assignment
$$;
CREATE FUNCTION pg_temp.invoke_properties(source text) RETURNS jsonb LANGUAGE sql AS $$
    WITH source AS (SELECT * FROM pg_database WHERE datname = $1),
    settings AS (
        SELECT CASE setrole WHEN 0 THEN '' ELSE format('ROLE %I IN ', pg_get_userbyid(setrole)) END
            || 'DATABASE ' AS target, item
        FROM source JOIN pg_db_role_setting ON setdatabase = source.oid, unnest(setconfig) AS item
    ),
    privileges AS (
        SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
            AS grantee, privilege_type,
            CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END AS extra
        FROM source, aclexplode(coalesce(datacl, acldefault('d', datdba)))
    ),
    properties (removal, statement) AS (
        SELECT '0', 'ALTER DATABASE %1$I OWNER TO '
            || replace(quote_ident(pg_get_userbyid(datdba)), '%', '%%') FROM source
        UNION ALL SELECT '1', 'ALTER DATABASE %1$I CONNECTION LIMIT ' || datconnlimit FROM source
        UNION ALL SELECT '2', 'COMMENT ON DATABASE %1$I IS '
            || replace(quote_nullable(shobj_description(oid, 'pg_database')), '%', '%%') FROM source
        UNION ALL SELECT
            replace(format('ALTER %s', target), '%', '%%') || '%1$I'
                || replace(format(' RESET %I', split_part(item, '=', 1)), '%', '%%'),
            replace(format('ALTER %s', target), '%', '%%') || '%1$I SET '
                || replace(pg_temp.invoke_assignment(item), '%', '%%')
        FROM settings
        UNION ALL SELECT removal, removal || format('; GRANT %s ON DATABASE %%1$I TO %s%s',
            privilege_type, replace(grantee, '%', '%%'), extra)
        FROM privileges, format('REVOKE %s ON DATABASE %%1$I FROM %s CASCADE',
            privilege_type, replace(grantee, '%', '%%')) AS removal
    )
    SELECT coalesce(jsonb_object_agg(removal, statement), '{}') FROM properties
$$;
CREATE FUNCTION pg_temp.invoke_tag(properties jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(removal, properties -> removal))
    FROM (SELECT 'ALTER DATABASE %1$I RESET "invoke.server"' AS removal) AS tag
$$;
CREATE FUNCTION pg_temp.invoke_apply(target text, old jsonb, new jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    command text;
BEGIN
    FOR command IN
        SELECT coalesce(new ->> removal, removal)
        FROM jsonb_object_keys(old || new) AS removal
        WHERE new -> removal IS DISTINCT FROM old -> removal
        ORDER BY removal COLLATE "C"
    LOOP
        EXECUTE format(command, target);
    END LOOP;
END $$;
"""
_BEFORE = """
CREATE TEMPORARY TABLE invoke_properties ON COMMIT DROP AS
    SELECT {live} AS live, {built} AS built, pg_temp.invoke_properties({live}) AS saved,
        pg_temp.invoke_properties({built}) AS base;
SELECT pg_temp.invoke_apply(live, saved, base)
FROM pg_temp.invoke_properties WHERE live <> built AND saved <> '{{}}';
"""
# A file cannot take the ownership tag, with RESET ALL say.
_AFTER = """
SELECT pg_temp.invoke_apply(built, base, pg_temp.invoke_properties(live)),
    pg_temp.invoke_apply(live, pg_temp.invoke_properties(live), saved)
FROM pg_temp.invoke_properties WHERE live <> built AND saved <> '{}';
SELECT pg_temp.invoke_apply(
    built, pg_temp.invoke_tag(pg_temp.invoke_properties(built)), pg_temp.invoke_tag(base))
FROM pg_temp.invoke_properties;
"""
_COPY = """
SELECT pg_temp.invoke_apply({target}, old, new || pg_temp.invoke_tag(old))
FROM pg_temp.invoke_properties({target}) AS old, pg_temp.invoke_properties({source}) AS new;
"""


def before_load(live: str, built: str) -> str:
    """The statements before a file that names `live`, and is loaded into `built`."""
    return _FUNCTIONS + _BEFORE.format(live=_literal(live), built=_literal(built))


def after_load() -> str:
    """The statements after the file, in the same transaction."""
    return _AFTER


def copy(cursor: Any, source: str, target: str) -> None:
    """Give the database `target` the properties of `source`; the ownership tag is its own."""
    cursor.execute(_FUNCTIONS + _COPY.format(source=_literal(source), target=_literal(target)))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
