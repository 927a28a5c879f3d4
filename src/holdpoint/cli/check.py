"""``holdpoint check``: judge a file of statements, or lines of JSON as they come.

The form of the answers is stable: ``docs/reference/check.md``.
"""

from __future__ import annotations

import re
import sys
from typing import IO, TYPE_CHECKING, Any, Final

import click

from holdpoint.cli.hold import EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE, fail, visible

if TYPE_CHECKING:
    from holdpoint.cli.judging import Judge, Judgement

EXIT_CONFIGURATION: Final = 3
BAD_LINE: Final = "HP9001"  # a line of input that cannot be judged
_ID: Final = re.compile(rb'"id"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d{1,18})')


@click.command(
    epilog="Exit codes: 0 all allowed, 1 something held or denied, 2 usage, 3 configuration, "
    "4 database not reachable."
)
@click.argument("file", required=False, type=click.File("rb"))
@click.option("--jsonl", is_flag=True, help="Read lines of JSON from standard input.")
@click.option("--tier", default="", metavar="TIER", help="An access level, tier or target/tier.")
@click.option(
    "--config",
    "config_path",
    envvar="HOLDPOINT_CONFIG",
    metavar="FILE",
    help="Judge by this configuration; also from HOLDPOINT_CONFIG.",
)
@click.option("--url", default="", metavar="URL", help="A database to ask; also env:NAME.")
@click.option("--agent", default="", metavar="NAME", help="Judge as this agent.")
@click.option("--task", default="", metavar="NAME", help="Judge as part of this task.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of words.")
def check(
    file: IO[bytes] | None,
    jsonl: bool,
    tier: str,
    config_path: str | None,
    url: str,
    agent: str,
    task: str,
    as_json: bool,
) -> None:
    """Say what would happen to each statement of FILE, without running any."""
    if jsonl == (file is not None):
        fail(EXIT_USAGE, "give a FILE (or `-`), or `--jsonl`", "`holdpoint check migration.sql`")
    judge = open_judge(config_path, tier, url, agent, task)
    if jsonl:
        refused = answer_lines(judge, tier, sys.stdin.buffer, sys.stdout.buffer)
    else:
        assert file is not None, "checked above"
        refused = _check_file(judge, tier, file, as_json)
    raise SystemExit(EXIT_REFUSED if refused else 0)


def open_judge(config_path: str | None, tier: str, url: str, agent: str, task: str) -> Judge:
    """Read the configuration, look up the tier, reach the database; end with words if one fails."""
    from holdpoint.cli.judging import Judge, UnknownTier

    config = None
    if config_path:
        from holdpoint.config import ConfigError, load

        try:
            config = load(config_path)
        except ConfigError as error:
            hint = "`holdpoint policy check` re-reads the file without starting anything"
            fail(EXIT_CONFIGURATION, error.report(), hint)
    database = None
    if url:
        from holdpoint.cli.live import Unreachable, UrlError, live_database

        try:
            database = live_database(url)
            click.get_current_context().call_on_close(database.close)
        except UrlError as error:
            fail(EXIT_USAGE, f"`--url`: {error}")
        except Unreachable as error:
            fail(EXIT_UNREACHABLE, str(error), "`holdpoint doctor` checks each hop")
    judge = Judge(config, database=database, agent=agent, task=task)
    try:
        judge.places.find(tier)
    except UnknownTier as error:
        fail(EXIT_USAGE, f"`--tier`: {error}")
    return judge


def _check_file(judge: Judge, tier: str, file: IO[bytes], as_json: bool) -> bool:
    """Judge every statement of a file; whether one was held or denied."""
    from holdpoint.cli.judging import session_after
    from holdpoint.cli.splitting import split
    from holdpoint.model.effects import SessionView
    from holdpoint.model.verdict import Verdict

    try:
        text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        fail(EXIT_USAGE, f"`{visible(_name_of(file))}` is not UTF-8: {error.reason}")
    counts = dict.fromkeys(Verdict, 0)
    documents: list[dict[str, Any]] = []
    view = SessionView()
    for nth, piece in enumerate(split(text), start=1):
        judgement = judge.judge(piece.text, tier, view=view)
        view = session_after(view, judgement.reading)
        counts[judgement.decision.verdict] += 1
        if as_json:
            documents.append({"id": nth, "line": piece.line, **judgement.document()})
        elif judgement.decision.verdict is not Verdict.ALLOW:
            click.echo(_words(f"{_name_of(file)}:{piece.line}", judgement))
    if as_json:
        import orjson

        click.echo(orjson.dumps(documents, option=orjson.OPT_INDENT_2).decode())
    else:
        total = sum(counts.values())
        click.echo(
            f"{total:,} statement{'' if total == 1 else 's'}: {counts[Verdict.ALLOW]:,} allowed, "
            f"{counts[Verdict.HOLD]:,} held, {counts[Verdict.DENY]:,} denied"
        )
    return counts[Verdict.ALLOW] < sum(counts.values())


def _name_of(file: IO[bytes]) -> str:
    """What to call a file; standard input may have no name."""
    return str(getattr(file, "name", "<stdin>"))


def _words(place: str, judgement: Judgement) -> str:
    """One statement that would not run at once, for people."""
    lines = [f"{visible(place)}: {judgement.decision.verdict.name}"]
    for finding in judgement.decision.findings:
        lines.append(f"  {finding.code}  {visible(finding.message)}")
        if finding.detail:
            lines.append(f"          {visible(finding.detail)}")
        if finding.hint:
            lines.append(f"          hint: {visible(finding.hint)}")
    return "\n".join(lines)


def answer_lines(judge: Judge, tier: str, source: IO[bytes], sink: IO[bytes]) -> bool:
    """Answer each line as it comes; whether one was held or denied."""
    import orjson

    from holdpoint.model.limits import CHECK_LINE_BYTES_MAX

    refused = False
    while line := source.readline(CHECK_LINE_BYTES_MAX + 1):
        if len(line) > CHECK_LINE_BYTES_MAX:
            while line and not line.endswith(b"\n"):
                line = source.readline(CHECK_LINE_BYTES_MAX)
            answer = bad_line(None, f"the line is longer than {CHECK_LINE_BYTES_MAX:,} bytes")
        elif line.isspace():
            continue
        else:
            answer = answer_line(judge, tier, line)
        refused = refused or answer["verdict"] != "allow"
        try:
            sink.write(orjson.dumps(answer) + b"\n")
            sink.flush()
        except BrokenPipeError:  # nobody reads any more
            return True
    return refused


def answer_line(judge: Judge, tier: str, line: bytes) -> dict[str, Any]:
    """The answer to one line. Never raises: what cannot be judged is held."""
    import orjson

    try:
        request = orjson.loads(line)
    except ValueError as error:
        return bad_line(_id_in(line), f"the line is not JSON: {error}")
    if not isinstance(request, dict):
        return bad_line(None, "the line is not a JSON object")
    given_id = request.get("id")
    sql = request.get("sql")
    dialect = request.get("dialect")
    if dialect is None:
        dialect = "postgres"
    named = request.get("tier")
    if named is None or named == "":
        named = tier
    for key, value in (("sql", sql), ("dialect", dialect), ("tier", named)):
        if not isinstance(value, str):
            words = f"`{key}` is missing" if value is None else f"`{key}` is not text"
            return bad_line(given_id, words)
    try:
        return {"id": given_id, **judge.judge(str(sql), named, dialect).document()}
    except ValueError as error:  # a tier or dialect that is not known
        return bad_line(given_id, str(error))
    except Exception as error:  # noqa: BLE001 - a finding: one statement never ends the stream
        return bad_line(given_id, f"the statement could not be judged: {error}")


def _id_in(line: bytes) -> Any:
    """The id in a line that is not JSON, if it can be made out."""
    import orjson

    found = _ID.search(line)
    try:
        return orjson.loads(found[1]) if found is not None else None
    except ValueError:
        return None


def bad_line(given_id: Any, message: str) -> dict[str, Any]:
    """The answer to a line that cannot be judged: held, with the reason."""
    hint = 'send `{"id": 1, "sql": "SELECT 1"}`, one object per line, in UTF-8'
    finding = {"code": BAD_LINE, "message": f"error: {message}", "detail": "", "hint": hint}
    return {
        "id": given_id,
        "verdict": "hold",
        "effects": ["unknown"],
        "objects": [],
        "functions": [],
        "findings": [finding],
        "unknowns": [message],
    }
