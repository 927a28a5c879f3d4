"""Secrets never reach the trail, however they are quoted; everything else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdpoint.audit.redact import redact

SECRET = "hunter2"

LEAKS = [
    "CREATE ROLE a PASSWORD 'hunter2'",
    "CREATE USER a WITH ENCRYPTED PASSWORD 'hunter2' VALID UNTIL '2030-01-01'",
    "alter role a password 'hunter2'",
    "ALTER ROLE a PASSWORD E'hunter2'",
    "ALTER ROLE a PASSWORD E'it\\'s hunter2'",
    "ALTER ROLE a PASSWORD U&'\\0068hunter2'",
    "ALTER ROLE a PASSWORD U&'!0068hunter2' UESCAPE '!'",
    "ALTER ROLE a PASSWORD $$hunter2$$",
    "ALTER ROLE a PASSWORD $x$hunter2$x$",
    "ALTER ROLE a PASSWORD 'it''s hunter2'",
    "ALTER ROLE a PASSWORD 'one'\n'hunter2'",
    "ALTER ROLE a PASSWORD 'one' -- comment\n 'hunter2'",
    "ALTER ROLE a PASSWORD/**/'hunter2'",
    "ALTER ROLE a PASSWORD /* a /* nested */ ' */ 'hunter2'",
    "ALTER ROLE a PASSWORD -- '\n'hunter2'",
    "ALTER ROLE a PASSWORD 'hunter2",
    "ALTER ROLE a PASSWORD $$hunter2",
    "ALTER ROLE a PASSWORD 'back\\'; SELECT hunter2'",
    "ALTER ROLE a PASSWORD 'back\\' hunter2'",
    "CREATE USER MAPPING FOR a SERVER s OPTIONS (user 'u', password 'hunter2')",
    "CREATE USER MAPPING FOR a SERVER s OPTIONS (user 'u', \"password\" 'hunter2')",
    "CREATE USER MAPPING FOR a SERVER s OPTIONS (U&\"p\\0061ssword\" 'hunter2')",
    "CREATE USER/**/MAPPING FOR a SERVER s OPTIONS (other 'hunter2')",
    "ALTER USER MAPPING FOR a SERVER s OPTIONS (SET password E'hunter2')",
    "CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (password 'hunter2')",
    "ALTER SERVER s OPTIONS (ADD sslpassword 'hunter2')",
    "CREATE SUBSCRIPTION s CONNECTION 'host=a password=hunter2' PUBLICATION p",
    "CREATE SUBSCRIPTION s CONNECTION E'host=a p\\x61ssword=hunter2' PUBLICATION p",
    "ALTER SUBSCRIPTION s CONNECTION 'postgres://u:hunter2@h/d'",
    "SELECT dblink_connect('host=a password=hunter2')",
    "SELECT dblink_connect('host=a password = hunter2')",
    "SELECT dblink_connect('host=a password=''hunter2 x''')",
    "SELECT dblink_connect(E'host=a p\\x61ssword=hunter2')",
    "SELECT dblink_connect('host=a pass' || 'word=hunter2')",
    "SELECT dblink_connect(format('host=a %s=hunter2', 'pass' || 'word'))",
    "SELECT * FROM dblink($$host=a password=hunter2$$, 'SELECT 1') AS t(a int)",
    "SELECT dblink_connect('postgresql://u:hunter2@h:5432/d?sslmode=require')",
    "SELECT dblink_connect('postgresql://h/d?user=u&password=hunter2')",
    "ALTER SYSTEM SET primary_conninfo = 'host=a password=hunter2'",
    "ALTER SYSTEM SET primary_conninfo TO 'host=a password=hunter2'",
    "SELECT set_config('x.conninfo', 'password=hunter2', false)",
    "DO $$ BEGIN ALTER ROLE a PASSWORD 'hunter2'; END $$",
    "DO $a$ BEGIN EXECUTE $b$ ALTER ROLE a PASSWORD 'hunter2' $b$; END $a$",
    "DO $$ BEGIN EXECUTE 'ALTER ROLE a PASSWORD ''hunter2'''; END $$",
    "DO $$ BEGIN PERFORM dblink_connect('host=a password=hunter2'); END $$",
    'DO LANGUAGE plpython3u $$ connect(password="hunter2") $$',
    'DO LANGUAGE plpython3u $$ connect("host=a password=hunter2") $$',
    "DO LANGUAGE plpython3u $$ x = 'it\\'s'; connect(password='hunter2') $$",
    "UPDATE users SET password = 'hunter2' WHERE id = 1",
    "UPDATE users SET api_key = 'hunter2' WHERE id = 1",
    "SELECT 1; ALTER ROLE a PASSWORD 'hunter2'; SELECT 2",
    "SET PASSWORD = 'hunter2'",
    "CREATE USER a IDENTIFIED BY 'hunter2'",
    "COPY t TO PROGRAM 'PGPASSWORD=hunter2 psql'",
]


@pytest.mark.parametrize("statement", LEAKS)
def test_no_secret_passes(statement: str) -> None:
    assert SECRET in statement
    clean = redact(statement)
    assert SECRET not in clean
    assert "[redacted]" in clean
    assert redact(clean) == clean, "nothing more is lost the second time"


@pytest.mark.parametrize(
    ("statement", "clean"),
    [
        (
            "CREATE ROLE a LOGIN PASSWORD 'x' VALID UNTIL '2030-01-01'",
            "CREATE ROLE a LOGIN PASSWORD '[redacted]' VALID UNTIL '2030-01-01'",
        ),
        (
            "SELECT dblink_connect('host=a password=x dbname=d')",
            "SELECT dblink_connect('host=a password=[redacted] dbname=d')",
        ),
        (
            "CREATE USER MAPPING FOR a SERVER s OPTIONS (user 'u', password 'x')",
            "CREATE USER MAPPING FOR a SERVER s OPTIONS (user 'u', password '[redacted]')",
        ),
        (
            "SELECT dblink_exec('postgres://u:x@h/d', 'DELETE FROM orders')",
            "SELECT dblink_exec('postgres://u:[redacted]@h/d', 'DELETE FROM orders')",
        ),
    ],
)
def test_only_the_secret_goes_where_its_bounds_are_certain(statement: str, clean: str) -> None:
    assert redact(statement) == clean


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        "SELECT * FROM passengers WHERE name = 'Bob'",
        "SELECT password FROM users WHERE name = 'Bob'",
        "SELECT * FROM users WHERE password IS NULL AND status = 'new'",
        "INSERT INTO notes VALUES ('I forgot my password, it''s gone')",
        "SELECT 'https://example.org/a?b=c'",
        "CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (host 'h', dbname 'd')",
        "SHOW server_version",
        "SELECT $1 FROM tokens WHERE id = '7'",
        "UPDATE t SET a = 'x' WHERE token_count > 3",
    ],
)
def test_what_holds_no_secret_stays_as_it_is(statement: str) -> None:
    assert redact(statement) == statement


@pytest.mark.parametrize(
    "statement",
    [
        "DO $$ BEGIN DELETE FROM orders; -- password=x\n END $$",
        "DO $$ BEGIN EXECUTE 'ALTER ROLE a PASSWORD ''x'''; DELETE FROM orders; END $$",
        "ALTER ROLE a PASSWORD 'x'; DELETE FROM orders",
        "DELETE FROM orders WHERE note <> 'password=x'",
        "/* password 'x' */ DELETE FROM orders",
    ],
)
def test_a_password_is_no_cloak_for_what_is_done(statement: str) -> None:
    assert "DELETE FROM orders" in redact(statement)


@given(st.text(alphabet="'\"$\\;-/*| \nEeUu&x=()a:pw@", max_size=40))
def test_any_quoting_is_read_to_the_end(noise: str) -> None:
    for text in (f"ALTER ROLE a PASSWORD {noise}", f"password {noise} 'x'", f"dblink({noise}"):
        clean = redact(text)
        assert redact(clean) == redact(redact(clean))


@given(st.text(alphabet="ab'\\$ ", max_size=12), st.sampled_from(["'", "E'", "N'", "$$", "$q$"]))
def test_a_quoted_password_never_passes(padding: str, quote: str) -> None:
    secret = f"{padding}hunter2"
    if quote.endswith("'"):
        escaped = secret.replace("\\", "\\\\") if quote == "E'" else secret
        literal = quote + escaped.replace("'", "''") + "'"
    else:
        literal = quote + secret.replace("$", "") + quote
    assert SECRET not in redact(f"CREATE ROLE a PASSWORD {literal}")
