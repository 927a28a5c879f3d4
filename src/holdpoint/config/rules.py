"""Rules, approvals and groups from their tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeVar

from holdpoint.config.locate import Path
from holdpoint.config.problems import Notes
from holdpoint.config.quantities import read_duration
from holdpoint.config.schema import (
    ApproveTable,
    ExamplesTable,
    ExampleTable,
    QuorumTable,
    RuleTable,
    WhenTable,
    checked,
)
from holdpoint.model.decision import ApprovalNeed, Quorum
from holdpoint.model.effects import Access, Effect
from holdpoint.model.limits import HOLD_EXPIRES_S
from holdpoint.model.verdict import Verdict
from holdpoint.policy.compile import nearest
from holdpoint.policy.rules import Condition, Example, Glob, Rule

Groups = Mapping[str, frozenset[str]]

_VERDICTS: Final = {"allow": Verdict.ALLOW, "hold": Verdict.HOLD, "deny": Verdict.DENY}

_Member = TypeVar("_Member", bound=Enum)


@dataclass(frozen=True, slots=True)
class ReadRule:
    """A rule, where it stands in the file, and whether every part of it could be read."""

    rule: Rule
    place: Path
    whole: bool


def read_groups(value: object, notes: Notes) -> dict[str, frozenset[str]]:
    """``[groups]``: names of people by group."""
    groups: dict[str, frozenset[str]] = {}
    if value is None:
        return groups
    if not isinstance(value, dict):
        notes.problem(("groups",), "must be a table of lists of people")
        return groups
    for name, members in value.items():
        path: Path = ("groups", name)
        listed = members if isinstance(members, list) else None
        if listed is None or not all(isinstance(person, str) and person for person in listed):
            notes.problem(path, f"group `{name}` must be a list of names of people")
            groups[name] = frozenset()
            continue
        if not listed:
            notes.problem(path, f"group `{name}` is empty: nobody could approve for it")
        groups[name] = frozenset(listed)
    return groups


def read_need(
    table: ApproveTable, groups: Groups, path: Path, notes: Notes, default_s: float
) -> ApprovalNeed:
    """Who must approve; groups must exist and have enough people."""
    every = _read_quorums(table.all, groups, (*path, "all"), notes)
    one_of = _read_quorums(table.any, groups, (*path, "any"), notes)
    expires_s = read_duration(table.expires, (*path, "expires"), notes, default_s)
    if not every and not one_of:
        every = (Quorum(),)
    return ApprovalNeed(all_of=every, any_of=one_of, expires_s=expires_s)


def _read_quorums(
    tables: list[QuorumTable], groups: Groups, path: Path, notes: Notes
) -> tuple[Quorum, ...]:
    """The members of ``all`` or ``any``."""
    for at, table in enumerate(tables):
        if not table.group:
            continue
        if table.group not in groups:
            hint = nearest(table.group, groups) or "define it under `[groups]`"
            notes.problem((*path, at), f"unknown group `{table.group}`", hint)
        elif groups[table.group] and len(groups[table.group]) < table.count:
            people = len(groups[table.group])
            words = f"group `{table.group}` has {people:,} people, {table.count:,} are asked for"
            notes.problem((*path, at), words, "nobody could ever approve")
    return tuple(Quorum(group=table.group, count=table.count) for table in tables)


def read_rules(
    value: object, groups: Groups, notes: Notes, default_s: float = HOLD_EXPIRES_S
) -> list[ReadRule]:
    """All rules that can be made out."""
    if value is None:
        return []
    if not isinstance(value, list):
        notes.problem(("rules",), "must be a list of tables, `[[rules]]`")
        return []
    found = [
        _read_rule(member, ("rules", at), groups, notes, default_s)
        for at, member in enumerate(value)
    ]
    return [read for read in found if read is not None]


def _read_rule(
    value: object, path: Path, groups: Groups, notes: Notes, default_s: float
) -> ReadRule | None:
    """One rule."""
    before = len(notes.problems)
    table, _ = checked(RuleTable, value, path, notes)
    if table is None:
        if isinstance(value, dict) and isinstance(value.get("when"), dict):
            _read_when(value["when"], (*path, "when"), notes)
        return None
    when = _read_when(table.when, (*path, "when"), notes)
    then = _VERDICTS.get(table.then)
    if then is None:
        words = f"unknown verdict `{table.then}`"
        notes.problem((*path, "then"), words, nearest(table.then, _VERDICTS))
    need = None
    if table.approve is not None:
        need = read_need(table.approve, groups, (*path, "approve"), notes, default_s)
    rule = Rule(
        id=table.id,
        when=when,
        then=Verdict.DENY if then is None else then,
        reason=table.reason,
        need=need,
        examples=_read_examples(table.examples, (*path, "examples"), notes),
    )
    return ReadRule(rule, path, whole=len(notes.problems) == before)


def _read_when(value: dict[str, object], path: Path, notes: Notes) -> Condition:
    """The condition of a rule."""
    table, _ = checked(WhenTable, value, path, notes)
    if table is None:
        return Condition()
    if table.effect and table.effects:
        notes.problem((*path, "effects"), "`effect` and `effects` are the same; give one")
    key = "effects" if table.effects else "effect"
    for name in ("effect", "effects", "access", *_GLOBS):
        if value.get(name) == []:
            notes.problem((*path, name), f"`{name}` is an empty list", "leave it out")
    globs = {name: tuple(_glob(text, (*path, name), notes) for text in getattr(table, name))
             for name in _GLOBS}  # fmt: skip
    return Condition(
        effects=_read_members(
            Effect, "effect", [*table.effect, *table.effects], (*path, key), notes
        ),
        access=_read_members(Access, "kind of access", table.access, (*path, "access"), notes),
        rows_over=table.rows_over,
        rows_up_to=table.rows_up_to,
        table_rows_over=table.table_rows_over,
        table_rows_up_to=table.table_rows_up_to,
        business_hours=table.business_hours,
        freeze=table.freeze,
        **globs,
    )


_GLOBS: Final = (
    "objects",
    "functions",
    "tags",
    "targets",
    "tiers",
    "environments",
    "agents",
    "tasks",
)


def _glob(text: str, path: Path, notes: Notes) -> Glob:
    """A pattern, which must not be empty."""
    if not text.strip():
        notes.problem(path, "the pattern is empty", "`*` stands for everything")
    return Glob(text)


def _read_members(
    kind: type[_Member], what: str, words: list[str], path: Path, notes: Notes
) -> frozenset[_Member]:
    """Words as members of a closed set."""
    known = {str(member.value): member for member in kind}
    for at, word in enumerate(words):
        if word not in known:
            notes.problem((*path, at), f"unknown {what} `{word}`", nearest(word, known))
    return frozenset(known[word] for word in words if word in known)


def _read_examples(value: dict[str, object], path: Path, notes: Notes) -> tuple[Example, ...]:
    """The examples of a rule, each a statement or a table with figures."""
    table, _ = checked(ExamplesTable, value, path, notes)
    if table is None:
        return ()
    examples: list[Example] = []
    for word, expect in _VERDICTS.items():
        members = getattr(table, word)
        if members is None:
            continue
        if not isinstance(members, list):
            notes.problem((*path, word), f"`{word}` must be a list of statements")
            continue
        for at, member in enumerate(members):
            given = {"sql": member} if isinstance(member, str) else member
            example, _ = checked(ExampleTable, given, (*path, word, at), notes)
            if example is not None:
                examples.append(
                    Example(
                        sql=example.sql,
                        expect=expect,
                        rows=example.rows,
                        table_rows=example.table_rows,
                    )
                )
    return tuple(examples)
