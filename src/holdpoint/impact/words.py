"""An impact in a few plain sentences, most important first: what a person judges in ten seconds.

The same sentences stand on the review page, in ``holdpoint hold show``, in ``holdpoint explain``
and, shortened, in the error that a held agent gets. Every number says how sure it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from holdpoint.impact.hazards.wording import clip, listed
from holdpoint.model.effects import Access, Effect, Reading, Statement
from holdpoint.model.impact import (
    Basis,
    Cascade,
    Figure,
    Impact,
    LockMode,
    TableImpact,
    Undo,
    Work,
)

_CHANGES: Final = frozenset({Effect.WRITE, Effect.BULK_WRITE})
_VERBS: Final = {
    "DELETE": "removes {} of {}",
    "UPDATE": "changes {} of {}",
    "INSERT": "adds {} to {}",
    "COPY": "adds {} to {}",
    "MERGE": "adds, changes or removes {} of {}",
}
_CASCADE_VERBS: Final = {
    "delete": "removes {} of {} by cascade",
    "truncate": "empties {1}, {0}, by cascade",
    "update": "changes the keys of {} of {} by cascade",
    "set null": "cuts {} of {} loose (set null)",
    "set default": "sets {} of {} to their default",
}
_UNDO: Final = {
    Undo.NOTHING: "there is nothing to undo",
    Undo.REVERSE: "another statement can undo it",
    Undo.WITH_OLD_ROWS: "only a copy of the old rows can undo it",
    Undo.BACKUP: "only a backup can undo it",
    Undo.NEVER: "nothing can undo it",
    Undo.UNKNOWN: "whether it can be undone is not known",
}
_LIGHT: Final = frozenset({LockMode.ACCESS_SHARE, LockMode.ROW_SHARE, LockMode.ROW_EXCLUSIVE})
_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB", "PB")


def sentences(impact: Impact, reading: Reading) -> tuple[str, ...]:
    """Everything that is known and matters, most important first; empty when nothing is."""
    found = [
        *_main(impact, reading),
        *_cascades(impact.cascades),
        *_firings(impact),
        *_undo(impact),
        *_waiting(impact.tables),
        *_others(impact),
        *_dependents(impact),
        *_read(impact),
    ]
    found += [f"not found out: {clip(words)}" for words in impact.failed]
    return tuple(dict.fromkeys(found))


def beyond(impact: Impact) -> str:
    """What a count of the statement's own rows does not show, on one line; empty without it."""
    return ", and it ".join((*_cascades(impact.cascades), *_firings(impact, outside_only=True)))


def figure_words(figure: Figure, *, at_most: bool = False, what: str = "row") -> str:
    """``48,211 rows (counted)``, ``about 48,211 rows (estimate)``, ``at most 1 row``."""
    if figure.value is None:
        return f"an unknown number of {what}s"
    noun = what if figure.value == 1 else f"{what}s"
    if figure.basis is Basis.ESTIMATE:
        return f"about {figure.value:,} {noun} (estimate)"
    return f"{'at most ' if at_most else ''}{figure.value:,} {noun}" + (
        "" if at_most else " (counted)"
    )


def size_words(size: int) -> str:
    """Bytes as people read them: ``12 GB``."""
    value, unit = float(size), _UNITS[0]
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if value >= 10 or unit == "bytes" else f"{value:.1f} {unit}"


def table_words(name: str) -> str:
    """A table's name in backticks; ``public`` goes without saying."""
    return f"`{clip(name.removeprefix('public.'))}`"


def _main(impact: Impact, reading: Reading) -> Iterable[str]:
    """What the statements themselves do, with the rows of all of them together."""
    writers = [each for each in reading.statements if each.effects & _CHANGES]
    if len(writers) == 1 and writers[0].tag in _VERBS:
        yield _changed(impact, writers[0])
    elif writers and impact.rows.basis is not Basis.NOT_ASKED:
        count = f"{len(writers)} statements" if len(writers) > 1 else f"`{writers[0].tag}`"
        yield f"{count} in all: {figure_words(impact.rows)}"
    for statement in reading.statements:
        if not statement.effects.isdisjoint({Effect.DDL, Effect.DESTRUCTIVE}):
            yield from _defined(impact, statement)


def _changed(impact: Impact, writer: Statement) -> str:
    """``removes about 48,211 rows (estimate) of `orders`, half of the table``."""
    names = [use.label for use in writer.objects if use.access is Access.WRITE]
    table = _table(impact, names[0]) if names else None
    where = table_words(names[0]) if names else "a table"
    rows = impact.rows
    if rows.basis is Basis.NOT_ASKED:
        how_many = "every row" if Effect.BULK_WRITE in writer.effects else "rows"
    else:
        how_many = figure_words(rows, at_most=writer.rows_max is not None)
    words = _VERBS[writer.tag].format(how_many, where)
    if table is not None and writer.tag in ("DELETE", "UPDATE"):
        words += _share(rows, table.table_rows)
    return words


def _share(rows: Figure, whole: Figure) -> str:
    """How much of the table that is; nothing when one of the two is not known or it is little."""
    if rows.value is None or not whole.value:
        return ""
    share = rows.value / whole.value
    if share >= 0.995:
        return ", all there are"
    return f", {share:.0%} of the table" if share >= 0.01 else ""


def _defined(impact: Impact, statement: Statement) -> Iterable[str]:
    """``drop table `orders` (about 48,211 rows, 12 GB), which is written anew``."""
    names = [use.label for use in statement.objects if use.access is not Access.READ]
    for name in names[:3]:
        words = f"`{clip(statement.tag)}` on {table_words(name)}"
        table = _table(impact, name)
        if table is None:
            yield words
            continue
        sizes = []
        if table.table_rows.value is not None:
            sizes.append(_bare(table.table_rows))
        if table.size_bytes.value:
            sizes.append(size_words(table.size_bytes.value))
        words += f" ({', '.join(sizes)})" if sizes else ""
        if table.work is Work.REWRITE:
            words += ", which is written anew under the lock"
        elif table.work is Work.SCAN:
            words += ", which is read whole under the lock"
        yield words


def _bare(figure: Figure) -> str:
    near = "about " if figure.basis is Basis.ESTIMATE else ""
    return f"{near}{figure.value:,} row{'' if figure.value == 1 else 's'}"


def _table(impact: Impact, name: str) -> TableImpact | None:
    """The table that a statement calls ``name``, with or without its schema."""
    for table in impact.tables:
        if name in (table.name, table.name.rpartition(".")[2]):
            return table
    return None


def _cascades(cascades: Sequence[Cascade]) -> list[str]:
    """One sentence for each table, nearest first; nothing for what is known to be none."""
    together: dict[tuple[int, str, str], Figure] = {}
    for cascade in sorted(cascades, key=_by_level):
        key = (cascade.level, cascade.table, cascade.action)
        together[key] = _sum(together.get(key), cascade.rows)
    return [
        _CASCADE_VERBS.get(action, "touches {} of {} by cascade").format(
            figure_words(rows), table_words(table)
        )
        for (_, table, action), rows in together.items()
        if not (rows.basis is Basis.EXACT and rows.value == 0)
    ]


def _by_level(cascade: Cascade) -> int:
    return cascade.level


def _sum(one: Figure | None, other: Figure) -> Figure:
    """Two figures together: no surer than the less sure of them."""
    if one is None:
        return other
    if one.value is None or other.value is None:
        return one if one.value is None else other
    exact = one.basis is Basis.EXACT and other.basis is Basis.EXACT
    return Figure(one.value + other.value, Basis.EXACT if exact else Basis.ESTIMATE)


def _firings(impact: Impact, *, outside_only: bool = False) -> list[str]:
    """Triggers and rules: how many, and what the ones do that reach outside."""
    outside = [each for each in impact.firings if each.outside]
    said = [
        f"sets off `{clip(each.name)}` on {table_words(each.table)}, which reaches outside: "
        + listed([clip(words) for words in each.does] or ["what it does is not known"])
        for each in outside[:3]
    ]
    others = len(impact.firings) - len(outside[:3])
    if others and not outside_only:
        more = "more " if said else ""
        kind = "trigger or rule fires" if others == 1 else "triggers or rules fire"
        said.append(f"{others:,} {more}{kind}")
    return said


def _undo(impact: Impact) -> Iterable[str]:
    if impact.undo is not None:
        how = f": {clip(impact.undo_how)}" if impact.undo_how else ""
        yield _UNDO[impact.undo] + how


def _waiting(tables: Sequence[TableImpact]) -> Iterable[str]:
    """Who waits while it runs: one sentence for the tables that share their lock."""
    by_lock: dict[LockMode, list[TableImpact]] = {}
    for table in tables:
        if table.lock is not None:
            by_lock.setdefault(table.lock, []).append(table)
    for lock in reversed(LockMode):
        locked = by_lock.get(lock, [])
        if not locked:
            continue
        names = listed([table_words(table.name) for table in locked])
        if lock in _LIGHT:
            yield f"reads and writes of other rows of {names} go on"
        else:
            yield f"while it runs, on {names}: {locked[0].blocks} ({lock.value} lock)"
    for table in tables:
        if table.busy.value:
            are = "session is" if table.busy.value == 1 else "sessions are"
            yield f"{table.busy.value:,} {are} in its way on {table_words(table.name)} right now"


def _others(impact: Impact) -> Iterable[str]:
    """Who is there: applications now, agents lately; grants only when nobody else is known."""
    for kind, when in (("application", "on the tables right now"), ("agent", "used them lately")):
        names = dict.fromkeys(each.name for each in impact.users if each.kind == kind)
        if names:
            yield f"{when}: {listed([f'`{clip(name)}`' for name in names])}"
    roles = dict.fromkeys(each.name for each in impact.users if each.kind == "role")
    if roles:
        count = f"{len(roles):,} other role{' has' if len(roles) == 1 else 's have'}"
        yield f"{count} rights on the tables: {listed([f'`{clip(name)}`' for name in roles])}"


def _dependents(impact: Impact) -> Iterable[str]:
    for goes, words in ((True, "dropped along with it"), (False, "stands on what it changes")):
        found = [each for each in impact.dependents if each.goes is goes]
        if found:
            yield f"{words}: " + listed([f"{each.kind} `{clip(each.name)}`" for each in found])


def _read(impact: Impact) -> Iterable[str]:
    read = impact.read
    if read is None:
        return
    if read.basis is Basis.UNKNOWN:
        yield f"what it costs to read is not known: {clip(read.why)}"
        return
    yield (
        f"reads about {read.rows:,} row{'' if read.rows == 1 else 's'} "
        f"at a cost of {read.cost:,} planner units (estimate)"
    )
    if read.hurts:
        yield clip(read.hurts)
