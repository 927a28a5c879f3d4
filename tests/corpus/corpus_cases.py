"""The cases of the corpus: `cases/<family>.jsonl`, one JSON object per line.

`docs/internals/corpus.md` says what each key means. Lines are also what `holdpoint check --jsonl`
takes, so a family can be piped into it as it is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from holdpoint.model.effects import Effect

FOLDER = Path(__file__).parent
# The databases of the corpus and the scripts that make them.
SCRIPTS = {"shop": ("schema.sql",), "tricks": ("schema.sql", "tricks.sql")}

HARMLESS = frozenset({Effect.READ, Effect.WRITE})

# What the reader cannot see without a catalog, and does not call unknown either, because nearly
# every statement would be: docs/internals/corpus.md has the reason for each.
LIMITS_WITHOUT_CATALOG = frozenset(
    {
        "view",
        "trigger",
        "rule",
        "cascade",
        "expression of a table",
        "policy",
        "overload",
        "operator",
        "cast",
        "column notation",
        "event trigger",
        "temporary table",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One message, and what it truly does on the corpus's database."""

    id: str
    sql: str
    effects: frozenset[Effect]
    why: str = ""
    database: str = "shop"  # or tricks
    role: str = "agent"  # who runs it: agent, owner or superuser
    setup: str = ""  # run before, by the superuser, in a database of the case's own
    before: tuple[str, ...] = ()  # messages sent before in the same session
    parameters: tuple[str, ...] = ()
    copy_data: str = ""  # what COPY FROM STDIN is fed
    rows: int | None = None  # rows of tables that it changes, all together
    refused: str = ""  # the SQLSTATE with which the server refuses it to the agent
    alone: bool = False  # cannot run, or shows nothing, inside a transaction that is rolled back
    read_only: bool = False  # its session begins read-only (and it runs alone)
    since: int = 0  # the first version that knows its syntax
    unobservable: str = ""  # why no observation can prove its effects
    opaque: bool = False  # nobody can read what it does: it must be unknown
    catalog: bool = False  # without a catalog it is unknown
    limit: str = ""  # without a catalog it is read as less than it does: one of the limits above
    known_gap: str = ""  # the reader is wrong about it: why; the test is a strict xfail
    known_gap_text: str = ""  # the same without a catalog

    @property
    def family(self) -> str:
        """The file it stands in."""
        return self.id.partition("/")[0]

    @property
    def harmless(self) -> bool:
        """Whether an agent that may write should never be stopped for it."""
        return self.effects <= HARMLESS

    @property
    def harmful(self) -> frozenset[Effect]:
        """What it does beyond reading."""
        return self.effects - {Effect.READ}


_TEXTS = ("id", "sql", "database", "why", "setup", "copy_data", "refused", "unobservable", "limit")
_GAPS = ("known_gap", "known_gap_text")
_FLAGS = ("alone", "read_only", "opaque", "catalog")
_KEYS = frozenset(
    (*_TEXTS, *_GAPS, *_FLAGS, "effects", "as", "before", "parameters", "rows", "since")
)


def parse(line: str) -> Case:
    """Read one line; ValueError says what is wrong with it."""
    item: dict[str, Any] = json.loads(line)
    strange = item.keys() - _KEYS
    if strange:
        raise ValueError(f"{item.get('id')}: unknown keys {sorted(strange)}")
    limit = item.get("limit", "")
    if limit and limit not in LIMITS_WITHOUT_CATALOG:
        raise ValueError(f"{item['id']}: `{limit}` is no known limit")
    return Case(
        **{key: item[key] for key in (*_TEXTS, *_GAPS, *_FLAGS) if key in item},
        effects=frozenset(Effect(name) for name in item["effects"]),
        role=item.get("as", "agent"),
        before=tuple(item.get("before", ())),
        parameters=tuple(item.get("parameters", ())),
        rows=item.get("rows"),
        since=item.get("since", 0),
    )


@cache
def cases() -> tuple[Case, ...]:
    """Every case of the corpus, by family and in order."""
    found: list[Case] = []
    for path in sorted((FOLDER / "cases").glob("*.jsonl")):
        for line in path.read_text().splitlines():
            if line.strip():
                case = parse(line)
                assert case.id.startswith(path.stem + "/"), f"{case.id} stands in {path.name}"
                found.append(case)
    return tuple(found)
