-- The functions of PostgreSQL's uuid-ossp, for programs that come without its library.
-- A body after RETURN is bound to its functions when it is created, so no search_path changes it.
\echo This file is loaded by: CREATE EXTENSION "uuid-ossp" \quit

CREATE FUNCTION uuid_nil() RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN '00000000-0000-0000-0000-000000000000'::uuid;

-- The namespaces of RFC 9562, section 6.6.
CREATE FUNCTION uuid_ns_dns() RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN '6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid;

CREATE FUNCTION uuid_ns_url() RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN '6ba7b811-9dad-11d1-80b4-00c04fd430c8'::uuid;

CREATE FUNCTION uuid_ns_oid() RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN '6ba7b812-9dad-11d1-80b4-00c04fd430c8'::uuid;

CREATE FUNCTION uuid_ns_x500() RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN '6ba7b814-9dad-11d1-80b4-00c04fd430c8'::uuid;

-- Version 1: the time in units of 100 ns since 1582-10-15, then a clock sequence and a node.
-- SQL cannot read a network address, so the node is random, with the bits that mark it as such
-- (RFC 9562, section 6.10). PostgreSQL's clock has microseconds: the digit below is random too.
CREATE FUNCTION uuid_generate_v1mc() RETURNS uuid
LANGUAGE sql VOLATILE STRICT PARALLEL SAFE
RETURN (
    SELECT encode(
        int8send(((t & 4294967295) << 32) | (((t >> 32) & 65535) << 16) | 4096 | (t >> 48))
        || substring(set_byte(r, 10, get_byte(r, 10) | 3) FROM 9),
        'hex')::uuid
    FROM (
        SELECT
            (extract(epoch FROM clock_timestamp()) * 10000000)::bigint
            + 122192928000000000 + floor(random() * 10)::bigint AS t,
            uuid_send(gen_random_uuid()) AS r
    ) AS source
);

CREATE FUNCTION uuid_generate_v1() RETURNS uuid
LANGUAGE sql VOLATILE STRICT PARALLEL SAFE
RETURN uuid_generate_v1mc();

CREATE FUNCTION uuid_generate_v3(namespace uuid, name text) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (
    SELECT encode(
        set_byte(set_byte(h, 6, (get_byte(h, 6) & 15) | 48), 8, (get_byte(h, 8) & 63) | 128),
        'hex')::uuid
    FROM (
        SELECT decode(
            md5(uuid_send(namespace) || convert_to(name, getdatabaseencoding())), 'hex') AS h
    ) AS hashed
);

CREATE FUNCTION uuid_generate_v4() RETURNS uuid
LANGUAGE sql VOLATILE STRICT PARALLEL SAFE
RETURN gen_random_uuid();

-- Version 5 takes SHA-1 (FIPS 180-4), which PostgreSQL does not have. Its five words are bigint
-- here, cut to 32 bits; five rounds in a row save moving them along.
CREATE FUNCTION uuid_generate_v5(namespace uuid, name text) RETURNS uuid
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog
AS $$
DECLARE
    m CONSTANT bigint := 4294967295;
    message bytea := uuid_send(namespace) || convert_to(name, getdatabaseencoding());
    size CONSTANT bigint := length(message);
    w bigint[];
    x bigint;
    k bigint;
    a bigint; b bigint; c bigint; d bigint; e bigint;
    h0 bigint := 1732584193; h1 bigint := 4023233417; h2 bigint := 2562383102;
    h3 bigint := 271733878; h4 bigint := 3285377520;
    digest bytea;
BEGIN
    message := message || '\x80'::bytea
        || decode(repeat('00', ((119 - size % 64) % 64)::integer), 'hex') || int8send(size * 8);
    FOR start IN 0 .. length(message) / 64 - 1 LOOP
        SELECT array_agg(
            (get_byte(message, i)::bigint << 24) | (get_byte(message, i + 1) << 16)
            | (get_byte(message, i + 2) << 8) | get_byte(message, i + 3) ORDER BY i)
        INTO w FROM generate_series(start * 64, start * 64 + 60, 4) AS i;
        FOR t IN 17 .. 80 LOOP
            x := w[t - 3] # w[t - 8] # w[t - 14] # w[t - 16];
            w[t] := ((x << 1) & m) | (x >> 31);
        END LOOP;
        a := h0; b := h1; c := h2; d := h3; e := h4;
        k := 1518500249;
        FOR t IN 1 .. 20 BY 5 LOOP
            e := ((a << 5) + (a >> 27) + (d # (b & (c # d))) + e + k + w[t]) & m;
            b := ((b << 30) & m) | (b >> 2);
            d := ((e << 5) + (e >> 27) + (c # (a & (b # c))) + d + k + w[t + 1]) & m;
            a := ((a << 30) & m) | (a >> 2);
            c := ((d << 5) + (d >> 27) + (b # (e & (a # b))) + c + k + w[t + 2]) & m;
            e := ((e << 30) & m) | (e >> 2);
            b := ((c << 5) + (c >> 27) + (a # (d & (e # a))) + b + k + w[t + 3]) & m;
            d := ((d << 30) & m) | (d >> 2);
            a := ((b << 5) + (b >> 27) + (e # (c & (d # e))) + a + k + w[t + 4]) & m;
            c := ((c << 30) & m) | (c >> 2);
        END LOOP;
        FOR t IN 21 .. 80 BY 5 LOOP
            IF t BETWEEN 41 AND 60 THEN
                k := 2400959708;
                e := ((a << 5) + (a >> 27) + ((b & c) | (d & (b | c))) + e + k + w[t]) & m;
                b := ((b << 30) & m) | (b >> 2);
                d := ((e << 5) + (e >> 27) + ((a & b) | (c & (a | b))) + d + k + w[t + 1]) & m;
                a := ((a << 30) & m) | (a >> 2);
                c := ((d << 5) + (d >> 27) + ((e & a) | (b & (e | a))) + c + k + w[t + 2]) & m;
                e := ((e << 30) & m) | (e >> 2);
                b := ((c << 5) + (c >> 27) + ((d & e) | (a & (d | e))) + b + k + w[t + 3]) & m;
                d := ((d << 30) & m) | (d >> 2);
                a := ((b << 5) + (b >> 27) + ((c & d) | (e & (c | d))) + a + k + w[t + 4]) & m;
                c := ((c << 30) & m) | (c >> 2);
            ELSE
                k := CASE WHEN t < 41 THEN 1859775393 ELSE 3395469782 END;
                e := ((a << 5) + (a >> 27) + (b # c # d) + e + k + w[t]) & m;
                b := ((b << 30) & m) | (b >> 2);
                d := ((e << 5) + (e >> 27) + (a # b # c) + d + k + w[t + 1]) & m;
                a := ((a << 30) & m) | (a >> 2);
                c := ((d << 5) + (d >> 27) + (e # a # b) + c + k + w[t + 2]) & m;
                e := ((e << 30) & m) | (e >> 2);
                b := ((c << 5) + (c >> 27) + (d # e # a) + b + k + w[t + 3]) & m;
                d := ((d << 30) & m) | (d >> 2);
                a := ((b << 5) + (b >> 27) + (c # d # e) + a + k + w[t + 4]) & m;
                c := ((c << 30) & m) | (c >> 2);
            END IF;
        END LOOP;
        h0 := (h0 + a) & m; h1 := (h1 + b) & m; h2 := (h2 + c) & m;
        h3 := (h3 + d) & m; h4 := (h4 + e) & m;
    END LOOP;
    digest := int8send((h0 << 32) | h1) || int8send((h2 << 32) | h3);  -- the first 16 of 20 bytes
    RETURN encode(
        set_byte(set_byte(digest, 6, (get_byte(digest, 6) & 15) | 80),
                 8, (get_byte(digest, 8) & 63) | 128),
        'hex')::uuid;
END $$;
