"""An impact in a few plain sentences, most important first: what a person judges in ten seconds.

The same sentences stand on the review page, in ``holdpoint hold show``, in ``holdpoint explain``
and, shortened, in the error that a held agent gets. Every number says how sure it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    "delete": "removes {}",
    "truncate": "empties {}",
    "update": "changes the keys of {}",
    "set null": "sets to null the keys of {}",
    "set default": "sets to their default the keys of {}",
}
_UNDO: Final = {
    Undo.REVERSE: "another statement can undo it",
    Undo.WITH_OLD_ROWS: "only a copy of the old rows can undo it",
    Undo.BACKUP: "only a backup can undo it",
    Undo.NEVER: "nothing can undo it",
    Undo.UNKNOWN: "whether it can be undone is not known",
}
_LIGHT: Final = frozenset({LockMode.ACCESS_SHARE, LockMode.ROW_SHARE, LockMode.ROW_EXCLUSIVE})
_NAMED_MAX: Final = 4  # tables or triggers that a sentence names
_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB", "PB")


def sentences(impact: Impact, reading: Reading) -> tuple[str, ...]:
    """Everything that is known and matters, most important first; empty when nothing is.

    A handful: what is alike shares a sentence.
    """
    found = [
        *_main(impact, reading),
        *_read(impact),
        *_cascades(impact.cascades),
        *_firings(impact),
        *_undo(impact),
        *_waiting(impact.tables),
        *_dependents(impact),
        *_others(impact),
        *_failed(impact),
    ]
    return tuple(dict.fromkeys(found))


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
            sizes.append(_rows(table.table_rows))
        if table.size_bytes.value:
            sizes.append(size_words(table.size_bytes.value))
        words += f" ({', '.join(sizes)})" if sizes else ""
        if table.work is Work.REWRITE:
            words += ", which is written anew under the lock"
        elif table.work is Work.SCAN:
            words += ", which is read whole under the lock"
        yield words


def _rows(figure: Figure) -> str:
    """``48,211 rows``, ``about 48,211 rows``, ``an unknown number of rows``."""
    if figure.value is None:
        return "an unknown number of rows"
    near = "about " if figure.basis is Basis.ESTIMATE else ""
    return f"{near}{figure.value:,} row{'' if figure.value == 1 else 's'}"


def _table(impact: Impact, name: str) -> TableImpact | None:
    """The table that a statement calls ``name``, with or without its schema."""
    for table in impact.tables:
        if name in (table.name, table.name.rpartition(".")[2]):
            return table
    return None


def _cascades(cascades: Sequence[Cascade]) -> list[str]:
    """One sentence for all levels, nearest first; nothing for what is known to be none."""
    together: dict[tuple[str, str], Figure] = {}
    for cascade in sorted(cascades, key=_by_level):
        key = (cascade.action, cascade.table)
        together[key] = _sum(together.get(key), cascade.rows)
    by_action: dict[str, dict[str, Figure]] = {}
    for (action, table), rows in together.items():
        if not (rows.basis is Basis.EXACT and rows.value == 0):
            by_action.setdefault(action, {})[table] = rows
    said = [
        _CASCADE_VERBS.get(action, "touches {}").format(_taken(action, tables))
        for action, tables in by_action.items()
    ]
    return [f"by cascade it {', and it '.join(said)}"] if said else []


def _taken(action: str, tables: Mapping[str, Figure]) -> str:
    """``5 rows of `a` and about 7 rows of `b` ``."""
    if all(rows.value is None for rows in tables.values()):
        names = listed([table_words(table) for table in tables], _NAMED_MAX)
        return names if action == "truncate" else f"an unknown number of rows of {names}"
    form = "{1} ({0})" if action == "truncate" else "{0} of {1}"
    words = [form.format(_rows(rows), table_words(table)) for table, rows in tables.items()]
    return listed(words, _NAMED_MAX)


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


def _firings(impact: Impact) -> Iterable[str]:
    """Triggers and rules: what the ones do that reach outside, and how many others there are."""
    outside = [each for each in impact.firings if each.outside][:_NAMED_MAX]
    others = len(impact.firings) - len(outside)
    said = [
        f"`{clip(each.name)}` on {table_words(each.table)} reaches outside: "
        + listed([_told(words) for words in each.does] or ["what it does is not known"])
        for each in outside
    ]
    if others:
        more = "more " if said else ""
        said.append(f"{others:,} {more}{'trigger fires' if others == 1 else 'triggers fire'}")
    if said:
        yield "; ".join(said)


def _undo(impact: Impact) -> Iterable[str]:
    if impact.undo is not None and impact.undo is not Undo.NOTHING:
        how = _told(impact.undo_how).partition(";")[0]
        how = f" ({how})" if how else ""
        yield _UNDO[impact.undo] + how


def _waiting(tables: Sequence[TableImpact]) -> Iterable[str]:
    """Who waits while it runs: the strongest locks, and whether somebody is in the way already."""
    by_lock: dict[LockMode, list[TableImpact]] = {}
    for table in tables:
        if table.lock is not None:
            by_lock.setdefault(table.lock, []).append(table)
    said: list[str] = []
    for lock in reversed(LockMode):
        locked = by_lock.get(lock, [])
        if not locked or (lock in _LIGHT and said):
            continue
        if lock in _LIGHT:
            said.append("others read and write on, unless they change the same rows")
        else:
            names = listed([table_words(table.name) for table in locked])
            said.append(f"while it runs, {locked[0].blocks} on {names} ({lock.value} lock)")
    busy = [table for table in tables if table.busy.value]
    if busy:
        names = listed([table_words(table.name) for table in busy])
        said.append(f"sessions on {names} are in its way right now")
    if said:
        yield "; ".join(said)


def _others(impact: Impact) -> Iterable[str]:
    """Who else: applications now, agents lately, roles that may."""
    names: dict[str, dict[str, None]] = {}
    for user in impact.users:
        names.setdefault(user.kind, {})[f"`{clip(user.name)}`"] = None
    said = [
        f"{listed(list(names[kind]))} {words}"
        for kind, words in (("application", "right now"), ("agent", "lately"))
        if kind in names
    ]
    roles = list(names.get("role", {}))
    if roles:
        said.append(f"{listed(roles)} by {'its' if len(roles) == 1 else 'their'} rights")
    if said:
        yield f"others use the tables: {'; '.join(said)}"


def _dependents(impact: Impact) -> Iterable[str]:
    for goes, words in ((True, "dropped along with it"), (False, "what stands on it")):
        found = [each for each in impact.dependents if each.goes is goes]
        if found:
            yield f"{words}: " + listed([f"{each.kind} {table_words(each.name)}" for each in found])


def _failed(impact: Impact) -> Iterable[str]:
    if impact.failed:
        yield f"not found out: {listed([_told(words) for words in impact.failed])}"


def _told(words: str) -> str:
    """Words of our own that quote names between backticks: one line, nothing unprintable."""
    line = " ".join(words.split())
    return "".join(char if char.isprintable() else "?" for char in line)


def _read(impact: Impact) -> Iterable[str]:
    read = impact.read
    if read is None:
        return
    if read.basis is Basis.UNKNOWN:
        yield f"what it costs to read is not known: {_told(read.why)}"
        return
    yield (
        f"returns about {read.rows:,} row{'' if read.rows == 1 else 's'} "
        f"at a cost of {read.cost:,} planner units (estimate)"
    )
    if read.hurts:
        yield _told(read.hurts)
