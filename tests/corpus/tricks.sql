-- On top of schema.sql, in a database of its own: overloads, operators and casts that write.
-- Where such a thing exists, a cautious reader sees it behind many an innocent expression, so it
-- must not stand in the way of everything else.

-- Overloads of built-in names: they are taken where their types fit better.
CREATE FUNCTION upper(varchar) RETURNS text LANGUAGE sql
    AS $$ SELECT evil_write()::text $$;
CREATE FUNCTION lower(integer) RETURNS text LANGUAGE sql AS $$ SELECT evil_write()::text $$;
CREATE FUNCTION length(customers) RETURNS integer LANGUAGE sql AS $$ SELECT evil_write() $$;
CREATE FUNCTION count(customers) RETURNS integer LANGUAGE sql AS $$ SELECT evil_write() $$;

CREATE FUNCTION evil_compare(customers, customers) RETURNS boolean LANGUAGE sql
    AS $$ SELECT evil_write() > 0 $$;
CREATE OPERATOR = (LEFTARG = customers, RIGHTARG = customers, FUNCTION = evil_compare);
CREATE FUNCTION evil_join(integer, integer) RETURNS integer LANGUAGE sql
    AS $$ SELECT evil_write($1) $$;
CREATE FUNCTION evil_minus(text, text) RETURNS text LANGUAGE sql
    AS $$ SELECT evil_write()::text $$;
CREATE OPERATOR - (LEFTARG = text, RIGHTARG = text, FUNCTION = evil_minus);
CREATE OPERATOR === (LEFTARG = integer, RIGHTARG = integer, FUNCTION = evil_join);
CREATE OPERATOR side.+ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = evil_join);
CREATE FUNCTION evil_prefix(customers) RETURNS integer LANGUAGE sql AS $$ SELECT evil_write() $$;
CREATE OPERATOR - (RIGHTARG = customers, FUNCTION = evil_prefix);
CREATE TYPE token AS (body text);
CREATE FUNCTION evil_token(token) RETURNS integer LANGUAGE sql AS $$ SELECT evil_write() $$;
CREATE CAST (token AS integer) WITH FUNCTION evil_token(token) AS IMPLICIT;
CREATE FUNCTION evil_token_in(integer) RETURNS token LANGUAGE sql
    AS $$ SELECT ROW(evil_write()::text)::token $$;
CREATE CAST (integer AS token) WITH FUNCTION evil_token_in(integer) AS ASSIGNMENT;
CREATE TABLE tokens (id integer PRIMARY KEY, body token);
INSERT INTO tokens VALUES (1, ROW('a')::token), (2, ROW('b')::token), (3, ROW('c')::token);

GRANT SELECT, INSERT, UPDATE, DELETE ON tokens TO corpus_agent;
GRANT SELECT ON tokens TO corpus_reader;
