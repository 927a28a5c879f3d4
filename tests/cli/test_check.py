"""``holdpoint check``: the machine interface. Its form is stable; see docs/reference/check.md."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from holdpoint.cli.check import answer_line, check
from holdpoint.cli.judging import Judge
from holdpoint.cli.splitting import split
from holdpoint.embedded import EmbeddedPostgres

CONFIG = """\
[targets.shop]
environment = "staging"
[targets.shop.tiers.replica]
access = "read-only"
url = "env:X"
[targets.shop.tiers.write]
access = "read-write"
url = "env:X"
[targets.live.tiers.write]
access = "full-no-drop"
url = "env:X"
[[rules]]
id = "bots-stay-out"
when = { objects = "salaries", agents = "bot-*" }
then = "deny"
reason = "salaries are for people"
"""


def run(*args: str, given: str | bytes = "") -> Result:
    return CliRunner().invoke(check, list(args), input=given)


def answers(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def jsonl(*requests: Any, args: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    lines = [each if isinstance(each, str) else json.dumps(each) for each in requests]
    return answers(run("--jsonl", *args, given="\n".join(lines) + "\n"))


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "holdpoint.toml"
    path.write_text(CONFIG)
    return str(path)


# --- lines ----------------------------------------------------------------------------------------


def test_the_form_of_an_answer() -> None:
    (answer,) = jsonl({"id": "a-1", "sql": "DELETE FROM app.orders", "dialect": "postgres"})
    assert list(answer) == [
        "id", "verdict", "effects", "objects", "functions", "findings", "unknowns"
    ]  # fmt: skip
    assert answer["id"] == "a-1"
    assert answer["verdict"] == "hold"
    assert answer["effects"] == ["bulk_write"]
    assert answer["objects"] == ["app.orders"]
    assert answer["unknowns"] == []
    assert [set(each) for each in answer["findings"]] == [
        {"code", "message", "detail", "hint"}
    ] * len(answer["findings"])
    assert answer["findings"][0]["code"] == "HP2204"


def test_each_line_has_its_answer_in_order() -> None:
    found = jsonl(
        {"id": 1, "sql": "SELECT pg_catalog.now()"},
        {"id": None, "sql": "UPDATE t SET a = 1 WHERE id = 2"},
        {"id": {"any": "JSON"}, "sql": "DROP TABLE t"},
        {"id": 4, "sql": "DROP TABLE t", "tier": "owner"},
        {"id": 5, "sql": "UPDATE t SET a = 1 WHERE id = 2", "tier": "read-only"},
        {"sql": ""},
        {"id": 7, "sql": "selct"},
    )
    assert [answer["id"] for answer in found] == [1, None, {"any": "JSON"}, 4, 5, None, 7]
    verdicts = [answer["verdict"] for answer in found]
    assert verdicts == ["allow", "allow", "deny", "hold", "deny", "allow", "deny"]


@pytest.mark.parametrize(
    ("line", "known_id", "words"),
    [
        ("not JSON", None, "is not JSON"),
        ('{"id": 7, "sql": "SELECT', 7, "is not JSON"),
        ('{"sql": 1, "id": "x\\u00e9", }', "xé", "is not JSON"),
        ("[1]", None, "is not a JSON object"),
        ("null", None, "is not a JSON object"),
        ('{"id": 1}', 1, "`sql` is missing"),
        ('{"id": 1, "sql": null}', 1, "`sql` is missing"),
        ('{"id": 1, "sql": ["SELECT 1"]}', 1, "`sql` is not text"),
        ('{"id": 1, "sql": "SELECT 1", "tier": "reed-only"}', 1, "did you mean `read-only`?"),
        ('{"id": 1, "sql": "SELECT 1", "tier": 5}', 1, "`tier` is not text"),
        ('{"id": 1, "sql": "SELECT 1", "tier": false}', 1, "`tier` is not text"),
        ('{"id": 1, "sql": "SELECT 1", "dialect": "mysql"}', 1, "unknown dialect `mysql`"),
        ('{"id": 1, "sql": "SELECT 1", "dialect": 0}', 1, "`dialect` is not text"),
        ('{"id": 1, "sql": "\\ud800"}', None, "is not JSON"),
        ("[" * 100_000, None, "is not JSON"),
    ],
)
def test_a_line_that_cannot_be_judged_is_held_and_the_next_one_goes_on(
    line: str, known_id: Any, words: str
) -> None:
    bad, good = jsonl(line, {"id": 2, "sql": "SELECT 1"})
    assert bad["verdict"] == "hold"
    if known_id is not None or "sql" not in line:
        assert bad["id"] == known_id
    assert bad["findings"][0]["code"] == "HP9001"
    assert bad["findings"][0]["message"].startswith("error: ")
    assert words in bad["findings"][0]["message"]
    assert good["verdict"] == "allow"


def test_blank_lines_have_no_answer_and_the_last_line_needs_no_end() -> None:
    result = run("--jsonl", given=b'\n  \r\n{"id": 1, "sql": "SELECT 1"}\r\n\n{"sql": "SELECT 2"}')
    assert len(answers(result)) == 2
    assert result.exit_code == 0


def test_bytes_that_are_not_text() -> None:
    bad, good = answers(run("--jsonl", given=b'{"sql": "\xff"}\n{"sql": "SELECT 1"}\n'))
    assert (bad["verdict"], good["verdict"]) == ("hold", "allow")


def test_a_line_too_long_is_skipped_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdpoint.model.limits.CHECK_LINE_BYTES_MAX", 100)
    long = json.dumps({"id": 1, "sql": "SELECT 1" + " " * 1000})
    bad, good = jsonl(long, {"id": 2, "sql": "SELECT 1"})
    assert "longer than 100 bytes" in bad["findings"][0]["message"]
    assert (bad["verdict"], good["id"], good["verdict"]) == ("hold", 2, "allow")


def test_answers_do_not_wait_for_the_next_line() -> None:
    """A program that sends one line at a time gets each answer before it sends the next."""
    sent, got = [b'{"id": 1, "sql": "SELECT 1"}\n', b'{"id": 2, "sql": "SELECT 1"}\n'], []

    class Asking:
        def readline(self, size: int) -> bytes:
            assert len(got) == 2 - len(sent), "the answer to the line before is there"
            return sent.pop(0) if sent else b""

    class Listening:
        def __init__(self) -> None:
            self.waiting = b""

        def write(self, data: bytes) -> None:
            self.waiting += data

        def flush(self) -> None:
            got.append(self.waiting)
            self.waiting = b""

    from holdpoint.cli.check import answer_lines

    assert answer_lines(Judge(), "", Asking(), Listening()) is False  # type: ignore[arg-type]
    assert len(got) == 2


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    from io import BytesIO

    from holdpoint.cli.check import answer_lines

    class Gone(BytesIO):
        def flush(self) -> None:
            raise BrokenPipeError

    assert answer_lines(Judge(), "", BytesIO(b'{"sql": "SELECT 1"}\n' * 3), Gone()) is True


JUDGE = Judge()


def with_sql(sql: str) -> bytes:
    return json.dumps({"sql": sql}).encode()


@settings(deadline=None, max_examples=200)
@given(
    st.binary(max_size=80) | st.text(max_size=80).map(lambda sql: json.dumps({"sql": sql}).encode())
)
def test_any_line_has_an_answer(line: bytes) -> None:
    answer = answer_line(JUDGE, "", line)
    assert answer["verdict"] in ("allow", "hold", "deny")
    assert answer["verdict"] == "allow" or answer["findings"]
    json.dumps(answer)


# --- tiers, configuration, exit codes -------------------------------------------------------------


def test_exit_codes(tmp_path: Path, config: str) -> None:
    allowed, denied = '{"sql": "SELECT 1"}', '{"sql": "DROP TABLE t"}'
    assert run("--jsonl", given=allowed).exit_code == 0
    assert run("--jsonl", given="").exit_code == 0
    assert run("--jsonl", given=denied).exit_code == 1
    assert run("--jsonl", given="not JSON").exit_code == 1
    assert run().exit_code == 2
    assert run("--jsonl", config, given="").exit_code == 2
    assert run("--jsonl", "--tier", "reed-only", given="").exit_code == 2
    assert run("--jsonl", "--url", "mysql://x", given="").exit_code == 2
    assert run(str(tmp_path / "none.sql")).exit_code == 2
    assert run("--jsonl", "--config", str(tmp_path / "none.toml"), given="").exit_code == 3
    result = run("--jsonl", "--url", "postgres://127.0.0.1:1/x", given=allowed)
    assert result.exit_code == 4
    assert result.stdout == ""
    assert "cannot reach `127.0.0.1:1/x`" in result.stderr


def test_tiers_of_a_configuration(config: str) -> None:
    update, create = "UPDATE t SET a = 1 WHERE id = 2", "CREATE TABLE n (id int)"
    found = jsonl(
        {"id": "the first tier of the first target", "sql": update},
        {"id": "a tier of the first target that has it", "sql": create, "tier": "write"},
        {"id": "a tier of another target", "sql": create, "tier": "live/write"},
        {"id": "an access level", "sql": update, "tier": "read-write"},
        {"id": "an access level no tier has", "sql": "DROP TABLE t", "tier": "owner"},
        {"id": "no such target", "sql": update, "tier": "lve/write"},
        args=("--config", config),
    )  # fmt: skip
    verdicts = [answer["verdict"] for answer in found]
    assert verdicts == ["deny", "deny", "hold", "allow", "hold", "hold"]
    assert "did you mean `live`?" in found[-1]["findings"][0]["message"]


def test_judging_as_an_agent(config: str) -> None:
    line = {"sql": "SELECT * FROM salaries"}
    (anyone,) = jsonl(line, args=("--config", config))
    (bot,) = jsonl(line, args=("--config", config, "--agent", "bot-7"))
    assert (anyone["verdict"], bot["verdict"]) == ("allow", "deny")
    assert "salaries are for people" in bot["findings"][0]["message"]


def test_a_wrong_configuration_is_told_whole(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(CONFIG.replace("read-only", "read-onyl").replace("deny", "dny"))
    result = run("--jsonl", "--config", str(path), given="")
    assert result.exit_code == 3
    assert "did you mean `read-only`?" in result.stderr
    assert "did you mean `deny`?" in result.stderr


def test_a_live_database_that_gives_no_figure_holds(
    postgres18: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_URL", postgres18.url())
    read, write = jsonl(
        {"sql": "SELECT 1"},
        {"sql": "UPDATE t SET a = 1 WHERE id = 2"},
        args=("--url", "env:SHOP_URL"),
    )
    assert (read["verdict"], write["verdict"]) == ("allow", "hold")
    assert write["findings"][0]["code"] == "HP7004"


# --- files ----------------------------------------------------------------------------------------

MIGRATION = """\
-- one; two
CREATE TABLE notes (id int);

PREPARE p AS DELETE FROM orders;
EXECUTE p;
SELECT ';';
"""


def test_a_file_is_judged_statement_by_statement(tmp_path: Path) -> None:
    path = tmp_path / "m.sql"
    path.write_text(MIGRATION)
    result = run(str(path), "--tier", "read-write")
    assert result.exit_code == 1
    assert f"{path}:2: DENY" in result.stdout
    assert f"{path}:5: HOLD" in result.stdout, "what was prepared before is known"
    assert result.stdout.endswith("4 statements: 2 allowed, 1 held, 1 denied\n")
    document = json.loads(run(str(path), "--json").stdout)
    assert [(each["id"], each["line"]) for each in document] == [(1, 2), (2, 4), (3, 5), (4, 6)]
    assert document[0]["verdict"] == "deny"


def test_a_file_from_standard_input_and_one_that_is_not_text() -> None:
    assert run("-", given="SELECT 1; SELECT 2").stdout == (
        "2 statements: 2 allowed, 0 held, 0 denied\n"
    )
    assert run("-", given=b"\xff").exit_code == 2


def test_a_mistake_in_one_statement_does_not_hide_the_others() -> None:
    result = run("-", "--json", given="selct 1; DROP TABLE t; SELECT 1")
    verdicts = [each["verdict"] for each in json.loads(result.stdout)]
    assert verdicts == ["deny", "deny", "allow"]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        (";;\n-- only a comment;\n/* ; /* ; */ ; */", []),
        ("COPY t FROM stdin;\n1;it's\n\\.\nSELECT 2;", ["COPY t FROM stdin", "SELECT 2"]),
        ("COPY t FROM stdin; DELETE FROM t;\n", ["COPY t FROM stdin", "DELETE FROM t"]),
        ("COPY t TO stdout;\nSELECT 1", ["COPY t TO stdout", "SELECT 1"]),
        ("\\restrict x\nSELECT 1;\n\\unrestrict x", ["SELECT 1"]),
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 'a;b'; SELECT 'it''s;'", ["SELECT 'a;b'", "SELECT 'it''s;'"]),
        (r"SELECT E'a\';b'; SELECT 2", [r"SELECT E'a\';b'", "SELECT 2"]),
        (r"SELECT 'a\'; SELECT 2", [r"SELECT 'a\'", "SELECT 2"]),
        ('SELECT "a;""b"; SELECT 2', ['SELECT "a;""b"', "SELECT 2"]),
        ("DO $a$ x; $b$ ; $a$; SELECT $1; SELECT", ["DO $a$ x; $b$ ; $a$", "SELECT $1", "SELECT"]),
        ("SELECT a$b$; SELECT c$b$", ["SELECT a$b$", "SELECT c$b$"]),
        ("CREATE RULE r AS ON INSERT TO t DO (DELETE FROM a; DELETE FROM b); SELECT 2",
         ["CREATE RULE r AS ON INSERT TO t DO (DELETE FROM a; DELETE FROM b)", "SELECT 2"]),
        ("CREATE OR REPLACE FUNCTION f() RETURNS x BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END;"
         " SELECT 2; END; SELECT 3",
         ["CREATE OR REPLACE FUNCTION f() RETURNS x BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END;"
          " SELECT 2; END", "SELECT 3"]),
        ("BEGIN; SELECT 1; END; SELECT 2", ["BEGIN", "SELECT 1", "END", "SELECT 2"]),
        ("SELECT 'never closed; DROP TABLE t", ["SELECT 'never closed; DROP TABLE t"]),
        ("SELECT 1 /* never closed; DROP", ["SELECT 1 /* never closed; DROP"]),
    ],
)  # fmt: skip
def test_where_a_file_is_cut(text: str, pieces: list[str]) -> None:
    assert [piece.text for piece in split(text)] == pieces


@settings(deadline=None)
@given(st.text(alphabet="a;'\"$/*-\n()E\\ ", max_size=40))
def test_cutting_loses_nothing_but_space_comments_and_semicolons(text: str) -> None:
    at = 0
    for piece in split(text):
        at = text.index(piece.text, at) + len(piece.text)
        assert piece.text.strip()
    assert not set(text[at:]) & set("aE") or "--" in text[at:] or "/*" in text[at:]
