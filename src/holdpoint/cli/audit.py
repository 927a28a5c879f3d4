"""``holdpoint audit``: show, export and verify the trail. Reads the store, never writes it."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from holdpoint.cli.hold import EXIT_USAGE, fail, visible
from holdpoint.cli.person import EXIT_CONFIGURATION, default_store, on_store

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from holdpoint.audit.heads import SignedHead
    from holdpoint.audit.verify import Report, Witness
    from holdpoint.cli.trail_lines import Line
    from holdpoint.store.store import Store

EXIT_TRAIL: Final = 5
SHOWN_DEFAULT: Final = 50
NOTES_SHOWN: Final = 5  # of each step
_SPAN: Final = re.compile(r"(\d+)\s*([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@click.group()
def audit() -> None:
    """Show, export and verify the trail. Needs access to the store's file."""


@audit.command()
@click.option("--since", default="", help="A time (2030-05-01T12:00) or a span (2h, 30m, 1d).")
@click.option("--kind", "kinds", multiple=True, help="Only this kind; may be given again.")
@click.option("--agent", default="", help="Only this agent.")
@click.option("--session", default="", help="Only this session.")
@click.option("--limit", default=SHOWN_DEFAULT, show_default=True, help="The newest so many.")
@on_store
def show(
    since: str,
    kinds: tuple[str, ...],
    agent: str,
    session: str,
    limit: int,
    store_path: Path,
    as_json: bool,
) -> None:
    """Show the trail, oldest first; every plain read has a line of its own."""
    from holdpoint.cli.trail_lines import lines_of

    first = since_us(since)
    _check_kinds(kinds)
    shown: deque[Line] = deque(maxlen=max(1, limit))
    with _reading(store_path) as store:
        for line in lines_of(store.records.walk()):
            if (
                line.at_us >= first
                and (not kinds or line.kind in kinds)
                and agent in ("", line.agent)
                and session in ("", line.session)
            ):
                shown.append(line)
    if as_json:
        for line in shown:
            click.echo(json.dumps(line.document(), sort_keys=True))
    else:
        _print_table(shown)


@audit.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@on_store
def export(file: Path, store_path: Path, as_json: bool) -> None:
    """Write the trail to FILE, to be verified on another machine. `-` writes to standard output."""
    from holdpoint.audit.export import Header, export_lines
    from holdpoint.store import records as rows

    with _reading(store_path) as store:
        public_key = _own_key_text(store)
        with store.database.reading() as connection:
            origin = rows.origin(connection)
            heads = rows.heads(connection)
            end = rows.tail(connection, origin)
            header = Header(origin=origin, public_key=public_key, size=end.seq, heads=len(heads))
            lines = export_lines(header, rows.walk(connection), heads)
            _write_lines(file, lines)
    if str(file) != "-":
        document = {"ok": True, "records": end.seq, "heads": len(heads), "head": _head_of(end)}
        if as_json:
            click.echo(json.dumps(document))
        else:
            click.echo(f"{end.seq:,} records and {len(heads):,} signed heads in `{file}`")
            click.echo(f"keep this elsewhere:  --head {_head_of(end)}")


@audit.command()
@click.argument(
    "file", required=False, type=click.Path(path_type=Path, dir_okay=False, exists=True)
)
@click.option("--head", "heads", multiple=True, help="SIZE:HASH that you kept; may be repeated.")
@click.option("--heads-file", type=click.Path(path_type=Path, dir_okay=False, exists=True),
              help="A copy of the file `<store>.heads`.")  # fmt: skip
@click.option("--public-key", "keys", multiple=True, help="The key you trust, or a file with it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--store",
    "store_path",
    envvar="HOLDPOINT_STORE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The store's file, if no FILE is given [HOLDPOINT_STORE].",
)
def verify(
    file: Path | None,
    heads: tuple[str, ...],
    heads_file: Path | None,
    keys: tuple[str, ...],
    store_path: Path | None,
    as_json: bool,
) -> None:
    """Verify an exported FILE offline, or without FILE the store.

    Exit code 5 if it is broken; the report then says which record, and how.
    """
    witnesses = [_witness(text) for text in heads]
    trusted = [_key(text) for text in keys]
    if file is not None:
        report = _verify_file(file, trusted, heads_file, witnesses)
    else:
        with _reading(store_path or default_store()) as store:
            report = verify_store(store, trusted, heads_file, witnesses)
    if as_json:
        click.echo(json.dumps(_report_document(report), indent=2))
    else:
        _print_report(report)
    if not report.ok:
        raise SystemExit(EXIT_TRAIL)


def _verify_file(
    file: Path,
    keys: Sequence[Ed25519PublicKey],
    heads_file: Path | None,
    witnesses: Sequence[Witness],
) -> Report:
    from holdpoint.audit.offline import verify_export

    heads, bad = _side_heads(heads_file)
    try:
        return verify_export(lambda: _lines(file), keys, heads, witnesses, bad)
    except (ValueError, OSError) as error:
        fail(EXIT_TRAIL, f"`{visible(str(file))}` cannot be verified: {error}")


def verify_store(
    store: Store,
    keys: Sequence[Ed25519PublicKey] = (),
    heads_file: Path | None = None,
    witnesses: Sequence[Witness] = (),
) -> Report:
    """Verify the trail in an open store, with its own key and side file unless others are given."""
    from holdpoint.audit.heads import public_from_text
    from holdpoint.audit.verify import verify as verify_records
    from holdpoint.store import records as rows

    # The side file first: it is never ahead of the store, which is read after it.
    side, bad = _side_heads(heads_file or store.beside(".heads"))
    text = _own_key_text(store)
    try:
        own = [public_from_text(text)] if text else []
    except ValueError as error:
        words = f"`{store.beside('.pub')}` holds no public key: {error}"
        fail(EXIT_TRAIL, words, "put the key back, or name it with `--public-key`")
    with store.database.reading() as connection:
        return verify_records(
            rows.origin(connection),
            rows.walk(connection),
            [*rows.heads(connection), *side],
            keys or own,
            witnesses,
            bad_heads=bad,
        )


@contextmanager
def _reading(path: Path) -> Iterator[Store]:
    """The store, read-only; ends the command with words when it cannot be used."""
    from holdpoint.store.errors import StoreError
    from holdpoint.store.store import Store

    try:
        with Store.open(path, read_only=True) as store:
            yield store
    except StoreError as error:
        fail(EXIT_CONFIGURATION, str(error))


def _lines(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        yield from stream


def _write_lines(file: Path, lines: Iterable[bytes]) -> None:
    try:
        with click.open_file(str(file), "wb") as stream:
            stream.writelines(lines)
    except OSError as error:
        fail(EXIT_USAGE, f"`{visible(str(file))}` cannot be written: {error.strerror}")


def _own_key_text(store: Store) -> str:
    """The public key beside the store; empty if there is none."""
    try:
        return store.beside(".pub").read_text().strip()
    except OSError:
        return ""


def _side_heads(path: Path | None) -> tuple[tuple[SignedHead, ...], tuple[str, ...]]:
    """The heads in a side file, and words about lines that are none."""
    from holdpoint.audit.export import read_heads

    if path is None or not path.exists():
        return (), ()
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        return (), (f"`{path}` cannot be read: {error.strerror}",)
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()  # the server is writing it, or died while it did: the next start cuts it
    return read_heads(enumerate(lines, start=1), f"`{path.name}`")


def _key(text: str) -> Ed25519PublicKey:
    from holdpoint.audit.heads import public_from_text

    try:
        path = Path(text)
        return public_from_text(path.read_text() if path.is_file() else text)
    except (ValueError, OSError) as error:
        fail(EXIT_USAGE, f"`--public-key`: {error}")


def _witness(text: str) -> Witness:
    from holdpoint.audit.verify import Witness

    size, _, hash_ = text.partition(":")
    if not size.isdecimal() or not re.fullmatch(r"[0-9a-f]{64}", hash_):
        fail(EXIT_USAGE, f"`--head {visible(text)}` is not SIZE:HASH", "as `export` printed it")
    return Witness(size=int(size), hash=hash_, source="given with `--head`")


def since_us(text: str) -> int:
    """The time in microseconds from which on to show; a time without zone is UTC."""
    from holdpoint.store.times import to_us

    if not text:
        return 0
    span = _SPAN.fullmatch(text)
    try:
        if span is not None:
            back = timedelta(**{_UNITS[span.group(2)]: int(span.group(1))})
            return to_us(datetime.now(UTC) - back)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        fail(EXIT_USAGE, f"`--since {visible(text)}` is neither a time nor a span", "try `2h`")
    return to_us(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))


def _check_kinds(kinds: Sequence[str]) -> None:
    import difflib

    from holdpoint.cli.trail_lines import KINDS

    for kind in kinds:
        if kind not in KINDS:
            near = difflib.get_close_matches(kind, KINDS, 1)
            hint = f"did you mean `{near[0]}`?" if near else "one of " + ", ".join(KINDS)
            fail(EXIT_USAGE, f"there is no record kind `{visible(kind)}`", hint)


def _head_of(end: Any) -> str:
    return f"{end.seq}:{end.hash}"


def _print_table(lines: Iterable[Line]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in ("seq", "time (UTC)", "kind", "session", "what"):
        table.add_column(name, overflow="fold", no_wrap=name == "time (UTC)")
    for line in lines:
        cells = (str(line.seq), line.time, line.kind, line.session, line.words())
        table.add_row(*(Text(visible(cell)) for cell in cells))
    Console(highlight=False).print(table)


def _print_report(report: Report) -> None:
    from holdpoint.audit.verify import STEPS

    for number, step in enumerate(STEPS):
        notes = [note.message for note in report.notes if note.step == number]
        breaks = [found for found in report.breaks if found.step == number]
        mark = "BROKEN" if breaks else ("note" if notes else "ok")
        click.echo(f"({number}) {mark:6}  {step}")
        for found in breaks:
            click.echo(f"            {found.how.value}: {visible(found.message)}")
        for message in notes[:NOTES_SHOWN]:
            click.echo(f"            {visible(message)}")
        if len(notes) > NOTES_SHOWN:
            click.echo(f"            and {len(notes) - NOTES_SHOWN:,} or more like it: `--json`")
    if report.ok:
        click.echo(f"ok: {report.summary}")
        click.echo(f"keep this elsewhere:  --head {report.size}:{report.hash}")
    else:
        click.echo(f"broken: {visible(report.summary)}")


def _report_document(report: Report) -> dict[str, Any]:
    from holdpoint.audit.verify import STEPS

    return {
        "ok": report.ok,
        "origin": report.origin,
        "records": report.size,
        "signed": report.signed,
        "head": f"{report.size}:{report.hash}",
        "steps": [
            {"step": number, "name": step, "ok": report.step_ok(number)}
            for number, step in enumerate(STEPS)
        ],
        "breaks": [
            {"step": b.step, "seq": b.seq, "how": b.how.value, "message": b.message}
            for b in report.breaks
        ],
        "notes": [{"step": n.step, "seq": n.seq, "message": n.message} for n in report.notes],
    }
