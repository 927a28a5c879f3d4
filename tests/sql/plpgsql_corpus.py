"""PL/pgSQL: each statement and declaration with the SQL that it runs; and bodies made of them."""

from __future__ import annotations

import re

from hypothesis import strategies as st

SCHEMA = """
    CREATE TABLE t (id int PRIMARY KEY, a int, b text, done bool);
    CREATE TABLE u (id int, a int);
    CREATE TYPE pair AS (x int, y int);
    CREATE FUNCTION g(i int) RETURNS int LANGUAGE sql AS 'SELECT i';
    CREATE PROCEDURE p(i int) LANGUAGE sql AS '';
"""

# What is declared before each body of STATEMENTS, and the statements that this alone gives.
DECLARED = """
DECLARE x int; s text; flag bool; r record; q pair; l int[]; c refcursor;
    k CURSOR FOR SELECT a FROM u; m CURSOR (low int, high int) FOR SELECT a FROM u WHERE a > low;
"""
ALWAYS = [
    "SELECT CAST(NULL AS int)",
    "SELECT CAST(NULL AS text)",
    "SELECT CAST(NULL AS bool)",
    "SELECT CAST(NULL AS record)",
    "SELECT CAST(NULL AS pair)",
    "SELECT CAST(NULL AS int[])",
    "SELECT CAST(NULL AS refcursor)",
    "SELECT a FROM u",
    "SELECT a FROM u WHERE a > $1",
]

# The statements of a function that returns SETOF int, each with the SQL that it runs.
STATEMENTS = {
    "x := g(1);": ["SELECT g(1)"],
    "x = 1 + (SELECT count(*) FROM t);": ["SELECT 1 + (SELECT count(*) FROM t)"],
    "l[g(1)] := 2;": ["SELECT $1[g(1)]", "SELECT 2"],
    "q.x := x;": ["SELECT $1"],
    "$1 := g(1); SELECT a INTO $1 FROM t;": ["SELECT g(1)", "SELECT a FROM t"],
    "r := (1, 2);": ["SELECT (1, 2)"],
    "x := a FROM t WHERE id = 1;": ["SELECT a FROM t WHERE id = 1"],
    "INSERT INTO t VALUES (x);": ["INSERT INTO t VALUES ($1)"],
    "INSERT INTO t VALUES (1) RETURNING id, b INTO x, s;": [
        "INSERT INTO t VALUES (1) RETURNING id, b"
    ],
    "SELECT a INTO x FROM t;": ["SELECT a FROM t"],
    "SELECT INTO STRICT x, s a, b FROM t;": ["SELECT a, b FROM t"],
    "SELECT * FROM t INTO r;": ["SELECT * FROM t"],
    "SELECT a INTO q.x FROM t;": ["SELECT a FROM t"],
    "WITH d AS (DELETE FROM t RETURNING id) SELECT count(*) INTO x FROM d;": [
        "WITH d AS (DELETE FROM t RETURNING id) SELECT count(*) FROM d"
    ],
    "INSERT INTO u SELECT id, a FROM t;": ["INSERT INTO u SELECT id, a FROM t"],
    "DELETE FROM t WHERE flag;": ["DELETE FROM t WHERE $1"],
    "UPDATE t SET a = x WHERE id = r.id;": ["UPDATE t SET a = $1 WHERE id = $1.id"],
    "DROP TABLE t;": ["DROP TABLE t"],
    "SET search_path = public;": ["SET search_path = public"],
    "LOCK TABLE t;": ["LOCK TABLE t"],
    "CALL p(x);": ["CALL p($1)"],
    "DO 'BEGIN END';": ["DO 'BEGIN END'"],
    "PERFORM g(id) FROM t;": ["SELECT g(id) FROM t"],
    "PERFORM 1 UNION SELECT 2;": ["SELECT 1 UNION SELECT 2"],
    "EXECUTE 'DELETE FROM t';": ["DELETE FROM t"],
    "EXECUTE $q$DELETE FROM t WHERE id = $1$q$ USING g(1);": [
        "DELETE FROM t WHERE id = $1",
        "SELECT g(1)",
    ],
    "EXECUTE E'SELECT \\'x\\'' INTO s;": ["SELECT 'x'"],
    "EXECUTE 'SELECT $1' INTO STRICT x USING 1, g(2);": ["SELECT $1", "SELECT 1", "SELECT g(2)"],
    "EXECUTE 'SELECT $1' USING 1 INTO r;": ["SELECT $1", "SELECT 1"],
    "EXECUTE 'DROP TABLE t; DROP TABLE u';": ["DROP TABLE t; DROP TABLE u"],
    "EXECUTE 'DELETE '\n'FROM t';": ["DELETE FROM t"],
    "GET DIAGNOSTICS x = ROW_COUNT;": [],
    "GET CURRENT DIAGNOSTICS x := ROW_COUNT, s = PG_CONTEXT;": [],
    "NULL;": [],
    "RETURN;": [],
    "RETURN NEXT g(1);": ["SELECT g(1)"],
    "RETURN QUERY SELECT a FROM t;": ["SELECT a FROM t"],
    "RETURN QUERY DELETE FROM t RETURNING a;": ["DELETE FROM t RETURNING a"],
    "RETURN QUERY EXECUTE 'SELECT $1' USING g(1), 2;": ["SELECT $1", "SELECT g(1)", "SELECT 2"],
    "IF g(1) > 0 THEN x := 1; ELSIF g(2) > 0 THEN x := 2; ELSE x := 3; END IF;": [
        "SELECT g(1) > 0",
        "SELECT 1",
        "SELECT g(2) > 0",
        "SELECT 2",
        "SELECT 3",
    ],
    "IF (CASE WHEN flag THEN true ELSE false END) THEN NULL; ELSEIF flag THEN NULL; END IF;": [
        "SELECT (CASE WHEN $1 THEN true ELSE false END)",
        "SELECT $1",
    ],
    "CASE x WHEN 1, g(2) THEN x := 1; WHEN 3 THEN NULL; ELSE x := 4; END CASE;": [
        "SELECT $1",
        "SELECT 1",
        "SELECT g(2)",
        "SELECT 3",
        "SELECT 4",
    ],
    "CASE WHEN g(1) = 1 THEN NULL; END CASE;": ["SELECT g(1) = 1"],
    "LOOP EXIT; END LOOP;": [],
    "<<a>> LOOP EXIT a WHEN g(1) > 0; CONTINUE a WHEN flag; END LOOP a;": [
        "SELECT g(1) > 0",
        "SELECT $1",
    ],
    "WHILE g(1) > 0 LOOP NULL; END LOOP;": ["SELECT g(1) > 0"],
    "FOR i IN 1..10 LOOP NULL; END LOOP;": ["SELECT 1", "SELECT 10"],
    "FOR i IN REVERSE g(9) .. g(1) BY g(2) LOOP DELETE FROM t WHERE id = i; END LOOP;": [
        "SELECT g(9)",
        "SELECT g(1)",
        "SELECT g(2)",
        "DELETE FROM t WHERE id = $1",
    ],
    "FOR r IN SELECT * FROM t LOOP NULL; END LOOP;": ["SELECT * FROM t"],
    "FOR x, s IN SELECT a, b FROM t LOOP NULL; END LOOP;": ["SELECT a, b FROM t"],
    "FOR r IN DELETE FROM t RETURNING * LOOP NULL; END LOOP;": ["DELETE FROM t RETURNING *"],
    "FOR r IN SELECT (SELECT 1) LOOP NULL; END LOOP;": ["SELECT (SELECT 1)"],
    "FOR r IN select(g(1)) LOOP NULL; END LOOP;": ["select(g(1))"],
    "FOR r IN VALUES (g(1)) LOOP NULL; END LOOP;": ["VALUES (g(1))"],
    "FOR r IN EXECUTE 'SELECT $1' USING g(1) LOOP NULL; END LOOP;": ["SELECT $1", "SELECT g(1)"],
    "FOR r IN k LOOP NULL; END LOOP;": [],
    "FOR r IN m(g(1), 2) LOOP NULL; END LOOP;": ["SELECT g(1)", "SELECT 2"],
    "FOR r IN m(high := g(1), low := 2) LOOP NULL; END LOOP;": ["SELECT g(1)", "SELECT 2"],
    "FOREACH x IN ARRAY ARRAY[g(1)] LOOP NULL; END LOOP;": ["SELECT ARRAY[g(1)]"],
    "FOREACH l SLICE 1 IN ARRAY l LOOP NULL; END LOOP;": ["SELECT $1"],
    "OPEN c FOR SELECT * FROM t;": ["SELECT * FROM t"],
    "OPEN c NO SCROLL FOR SELECT 1; MOVE c;": ["SELECT 1"],
    "OPEN c FOR EXECUTE 'SELECT $1' USING g(1);": ["SELECT $1", "SELECT g(1)"],
    "OPEN k; FETCH k INTO x; CLOSE k;": [],
    "OPEN m(g(1), high := 2);": ["SELECT g(1)", "SELECT 2"],
    "FETCH NEXT FROM c INTO r; FETCH LAST IN c INTO x, s; FETCH c INTO x;": [],
    "FETCH ABSOLUTE g(1) FROM c INTO x; FETCH RELATIVE -g(2) FROM c INTO x;": [
        "SELECT g(1)",
        "SELECT -g(2)",
    ],
    "MOVE FORWARD ALL FROM c; MOVE BACKWARD g(3) IN c; MOVE ALL IN c; MOVE g(4) FROM c;": [
        "SELECT g(3)",
        "SELECT g(4)",
    ],
    "RAISE NOTICE 'x';": [],
    "RAISE 'a % b %', g(1), x USING HINT = g(2) || 'x', ERRCODE := '22012';": [
        "SELECT g(1)",
        "SELECT $1",
        "SELECT g(2) || 'x'",
        "SELECT '22012'",
    ],
    "RAISE division_by_zero;": [],
    "RAISE EXCEPTION SQLSTATE '22012' USING MESSAGE = g(1);": ["SELECT g(1)"],
    "RAISE WARNING USING MESSAGE = g(1);": ["SELECT g(1)"],
    "ASSERT g(1) > 0;": ["SELECT g(1) > 0"],
    "ASSERT flag, 'x' || g(1);": ["SELECT $1", "SELECT 'x' || g(1)"],
    "<<b>> DECLARE y numeric(10, 2) := g(1); BEGIN y := b.y; END b;": [
        "SELECT CAST(NULL AS numeric(10, 2))",
        "SELECT g(1)",
        "SELECT $1.y",
    ],
    "BEGIN PERFORM g(1); EXCEPTION WHEN unique_violation OR SQLSTATE '22012' THEN PERFORM g(2); "
    "WHEN others THEN GET STACKED DIAGNOSTICS s = MESSAGE_TEXT; RAISE; END;": [
        "SELECT g(1)",
        "SELECT g(2)",
    ],
    # Names that are also words of the language.
    "DECLARE return int; next int; BEGIN return := 1; next = 2; RETURN NEXT next; END;": [
        "SELECT 1",
        "SELECT 2",
        "SELECT $1",
    ],
    'DECLARE "execute" text; BEGIN "execute" := g(1); SELECT b INTO "execute" FROM t; END;': [
        "SELECT g(1)",
        "SELECT b FROM t",
    ],
    # What only looks like the end of something.
    "/* END; */ PERFORM g(1); -- END;\nPERFORM ';END', $$;$$, $a$ $$ ; $a$;": [
        "SELECT g(1)",
        "SELECT ';END', $$;$$, $a$ $$ ; $a$",
    ],
    "PERFORM 1 -- THEN ;\n;": ["SELECT 1"],
    "RETURN; DELETE FROM t;": ["DELETE FROM t"],
    "SELECT 1 AS insert INTO u2 FROM t;": ["SELECT 1 AS insert INTO u2 FROM t"],
}

DECLARATIONS = {
    "x int": ["SELECT CAST(NULL AS int)"],
    "x CONSTANT int NOT NULL DEFAULT g(1)": ["SELECT CAST(NULL AS int)", "SELECT g(1)"],
    'x text COLLATE "C" = g(1)': ["SELECT CAST(NULL AS text)", "SELECT g(1)"],
    "x timestamp with time zone := now()": [
        "SELECT CAST(NULL AS timestamp with time zone)",
        "SELECT now()",
    ],
    "x t%ROWTYPE": [],
    "x t.a%TYPE := g(1)": ["SELECT g(1)"],
    "x public.t.a%TYPE": [],
    "x varchar(10)[]": ["SELECT CAST(NULL AS varchar(10)[])"],
    "x int; y ALIAS FOR x": ["SELECT CAST(NULL AS int)"],
    "x ALIAS FOR $1": [],
    "x SCROLL CURSOR IS SELECT g(1)": ["SELECT g(1)"],
    "x NO SCROLL CURSOR (a int, b text) FOR DELETE FROM t WHERE id = a RETURNING done": [
        "SELECT CAST(NULL AS int)",
        "SELECT CAST(NULL AS text)",
        "DELETE FROM t WHERE id = $1 RETURNING done",
    ],
    "x int; DECLARE y int": ["SELECT CAST(NULL AS int)"],
}

BODIES = [f"{DECLARED} BEGIN {text} END" for text in STATEMENTS] + [
    f"DECLARE {text}; BEGIN END" for text in DECLARATIONS
]


WORDS = sorted({word for text in STATEMENTS for word in re.findall(r"\w+\(?|[^\s\w]+", text)})


@st.composite
def changed_bodies(draw: st.DrawFn) -> str:
    """A few of the statements above, with words put in, left out or replaced."""
    pieces = draw(st.lists(st.sampled_from(sorted(STATEMENTS)), min_size=1, max_size=4))
    words = re.findall(r"'(?:[^']|'')*'|\w+|[^\s\w]+", " ".join(pieces))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(words) - 1))
        how = draw(st.sampled_from(["drop", "put", "replace"]))
        if how == "drop" and len(words) > 1:
            del words[at]
        elif how == "put":
            words.insert(at, draw(st.sampled_from(WORDS)))
        else:
            words[at] = draw(st.sampled_from(WORDS))
    return f"{DECLARED} BEGIN {' '.join(words)} END"
