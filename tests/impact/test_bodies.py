"""What code behind triggers and rules does: too much rather than too little."""

from __future__ import annotations

import pytest

from holdpoint.impact.bodies import by_effects, names_in
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


def function(body: str, language: str = "plpgsql", oid: int = 20_001) -> Function:
    return Function(oid=oid, schema="public", name=f"f{oid}", language=language, body=body)


def told(*functions: Function, oid: int = 20_001) -> tuple[tuple[str, ...], bool]:
    rows = CatalogRows(version=180001, role="reader", search_path=("public",), functions=functions)
    return by_effects(Catalog(rows))(oid)


# A text that is only kept reaches nothing, and the whole of a long body is read.
READ_BETTER = ("x := U&", "NULL; ")


@pytest.mark.parametrize("body", [each for each in OUTSIDE if not each.startswith(READ_BETTER)])
def test_a_function_that_reaches_outside(body: str) -> None:
    does, outside = told(function(f"BEGIN {body}; END"))
    assert outside
    assert does


def test_a_function_that_calls_one_that_reaches_outside() -> None:
    inner = function("BEGIN PERFORM pg_notify('x', 'y'); END", oid=20_002)
    does, outside = told(function("BEGIN PERFORM f20002(); END"), inner)
    assert does == ("sends a notification",)
    assert outside


def test_a_function_that_stays_inside() -> None:
    assert told(function("BEGIN RETURN NEW; END")) == ((), False)


def test_what_a_function_defines_is_told() -> None:
    does, outside = told(function("BEGIN DROP TABLE t; END"))
    assert "drops or empties objects" in does
    assert not outside


@pytest.mark.parametrize("language", ["plpython3u", "c", "internal"])
def test_other_languages_may_do_anything(language: str) -> None:
    does, outside = told(function("pass", language))
    assert does
    assert outside


def test_a_built_in_function_stays_inside() -> None:
    assert told(oid=1268) == (("a built-in function",), False)


@pytest.mark.parametrize("oid", [0, 29_999])
def test_what_cannot_be_seen_may_reach_outside(oid: int) -> None:
    does, outside = told(oid=oid)
    assert does
    assert outside
