"""What the names in a function's body suggest: too much rather than too little."""

from __future__ import annotations

import pytest

from holdpoint.impact.bodies import by_names, names_in
from holdpoint.model.catalog import CatalogRows, Function
from holdpoint.model.limits import BODY_NAMES_CHARS_MAX
from holdpoint.sql.names import Catalog

OUTSIDE = [
    "PERFORM pg_notify('x', NEW.id::text)",
    "NOTIFY orders",
    "IF true THEN NOTIFY orders, 'x'; END IF",
    "PERFORM dblink_exec('host=other', 'DELETE FROM t')",
    "SELECT * FROM dblink('c', 'q') AS t(a int)",
    "PERFORM net.http_post('http://x', '{}')",
    'PERFORM "net"."http_post"(\'http://x\')',
    "PERFORM http_get('http://x')",
    "PERFORM http(('GET', 'http://x', NULL, NULL, NULL))",
    "COPY t TO PROGRAM 'curl -d @- http://x'",
    "COPY (SELECT 1)\n  TO\n  PROGRAM 'sh'",
    "PERFORM lo_export(1, '/tmp/x')",
    "PERFORM pg_logical_emit_message(true, 'a', 'b')",
    "PERFORM cron.schedule('x', '* * * * *', 'DELETE FROM t')",
    "EXECUTE 'DELETE FROM ' || t",
    "EXECUTE format('SELECT %I()', f)",
    'PERFORM U&"\\0064blink"(1)',
    "x := U&'\\0064blink'",
    "NULL; " + " " * BODY_NAMES_CHARS_MAX,
]


@pytest.mark.parametrize("body", OUTSIDE)
def test_what_reaches_outside(body: str) -> None:
    does, outside = names_in(body)
    assert outside
    assert does


@pytest.mark.parametrize(
    ("body", "does"),
    [
        ("RETURN NEW", ()),
        ("INSERT INTO log VALUES (1)", ("adds rows to `log`",)),
        ("insert  into\n app.log SELECT 1", ("adds rows to `app.log`",)),
        ('UPDATE ONLY "My Table" SET a = 1', ('changes rows of `"My Table"`',)),
        ("DELETE FROM a; DELETE FROM a", ("deletes rows of `a`",)),
        ("TRUNCATE TABLE a", ("empties `a`",)),
        ("MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE", ("adds or changes rows of `a`",)),
        ("SELECT 1 FROM a FOR UPDATE OF a", ()),
        (
            "INSERT INTO a VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2",
            ("adds rows to `a`",),
        ),
        ("EXECUTE FUNCTION f()", ()),
    ],
)
def test_what_stays_inside(body: str, does: tuple[str, ...]) -> None:
    assert names_in(body) == (does, False)


CATALOG = Catalog(
    CatalogRows(
        version=180001,
        role="reader",
        search_path=("public",),
        functions=(
            Function(oid=20001, schema="public", name="a", language="plpgsql", body="RETURN NEW"),
            Function(oid=20002, schema="public", name="b", language="plpython3u", body="pass"),
            Function(oid=20003, schema="public", name="c", language="c", body="c"),
            Function(oid=20004, schema="public", name="d", language="internal", body="now"),
        ),
    )
)


def test_a_readable_body_is_read() -> None:
    assert by_names(CATALOG)(20001) == ((), False)


@pytest.mark.parametrize("oid", [20002, 20003])
def test_other_languages_may_do_anything(oid: int) -> None:
    does, outside = by_names(CATALOG)(oid)
    assert "cannot be read" in does[0]
    assert outside


def test_a_built_in_function_stays_inside() -> None:
    assert by_names(CATALOG)(1268) == (("a built-in function",), False)
    assert by_names(CATALOG)(20004) == (("a built-in function",), False)


@pytest.mark.parametrize("oid", [0, 29999])
def test_what_cannot_be_seen_may_reach_outside(oid: int) -> None:
    assert by_names(CATALOG)(oid) == (("what it does cannot be seen",), True)
