"""Reads ``holdpoint.toml``, checks all of it at once, gives frozen values."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Any, Final

from holdpoint.config.advice import advise
from holdpoint.config.budgets import read_budgets
from holdpoint.config.locate import Lines, Path
from holdpoint.config.problems import ConfigError, Notes, Problem
from holdpoint.config.quantities import read_duration
from holdpoint.config.rules import (
    Groups,
    ReadRule,
    read_groups,
    read_need,
    read_rules,
)
from holdpoint.config.schema import SECTIONS, HoldsTable, PolicyTable, checked
from holdpoint.config.server import read_server
from holdpoint.config.targets import read_targets
from holdpoint.config.values import Config, HoldsConfig
from holdpoint.model.decision import ApprovalNeed
from holdpoint.model.limits import (
    BIG_TABLE_ROWS,
    CONFIG_BYTES_MAX,
    HOLD_EXPIRES_S,
    HOLD_WAIT_S,
    WRITE_ROWS_MAX,
)
from holdpoint.model.target import Target
from holdpoint.policy.compile import (
    Policy,
    PolicyError,
    Reader,
    check_rule,
    compile_policy,
    nearest,
    read_postgres,
)
from holdpoint.policy.rules import Thresholds

_TOML_PLACE: Final = re.compile(r"\s*\(at (?:line (?P<line>\d+), column \d+|end of document)\)")


def load(path: str | FilePath, *, read: Reader | None = None) -> Config:
    """Read and check a configuration file. Raises ``ConfigError`` with every problem.

    ``read`` reads the examples of rules; the reader of ``holdpoint.sql`` unless given.
    """
    file = str(path)
    try:
        with FilePath(path).open("rb") as opened:
            content = opened.read(CONFIG_BYTES_MAX + 1)
    except OSError as error:
        words = (error.strerror or "it cannot be read").lower()
        hint = (
            "`holdpoint policy init` writes a starting one" if not FilePath(path).exists() else ""
        )
        raise ConfigError([Problem(file, 0, "", f"cannot be opened: {words}", hint)]) from error
    if len(content) > CONFIG_BYTES_MAX:
        words = f"the file has over {CONFIG_BYTES_MAX:,} bytes"
        raise ConfigError([Problem(file, 0, "", words)])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(file, line, "", "the file is not UTF-8")]) from error
    return parse(text, file=file, base=FilePath(path).absolute().parent, read=read)


def parse(
    text: str, *, file: str = "holdpoint.toml", base: FilePath, read: Reader | None = None
) -> Config:
    """Check the text of a configuration; ``base`` is what relative paths start from."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_not_toml(error, text, file)]) from error
    except RecursionError as error:
        raise ConfigError([Problem(file, 0, "", "the file is nested too deeply")]) from error
    notes = Notes(file, Lines(text))
    for key in document:
        if key not in SECTIONS:
            notes.problem((key,), f"unknown key `{key}`", nearest(key, SECTIONS))
    server = read_server(document.get("server", {}), base, notes)
    groups = read_groups(document.get("groups"), notes)
    holds = _read_holds(document.get("holds", {}), groups, notes)
    targets = read_targets(
        document.get("targets"),
        base,
        notes,
        lambda table, path: read_need(table, groups, path, notes, holds.need.expires_s),
    )
    budgets = read_budgets(document.get("budgets"), targets, notes)
    advise(targets, notes)
    rules = read_rules(document.get("rules"), groups, notes, holds.need.expires_s)
    thresholds = _read_thresholds(document.get("policy", {}), notes)
    policy = _compiled(rules, targets, thresholds, holds.need, notes, read or read_postgres)
    notes.raise_any()
    assert policy is not None, "no policy only with a problem"
    return Config(
        file=file,
        server=server,
        holds=holds,
        targets=targets,
        policy=policy,
        budgets=budgets,
        groups=MappingProxyType(groups),
        advice=tuple(notes.advice),
    )


def _not_toml(error: tomllib.TOMLDecodeError, text: str, file: str) -> Problem:
    """What the TOML parser says, in our form."""
    words = str(error)
    found = _TOML_PLACE.search(words)
    line = text.count("\n") + 1
    if found is not None:
        words = words[: found.start()]
        line = int(found["line"]) if found["line"] else line
    return Problem(file, line, "", f"not TOML: {words[:1].lower()}{words[1:]}")


def _read_holds(value: object, groups: Groups, notes: Notes) -> HoldsConfig:
    """``[holds]``."""
    path: Path = ("holds",)
    table, _ = checked(HoldsTable, value, path, notes)
    if table is None:
        return HoldsConfig()
    wait_s = read_duration(table.wait, (*path, "wait"), notes, HOLD_WAIT_S)
    need = ApprovalNeed(expires_s=HOLD_EXPIRES_S)
    if table.approve is not None:
        need = read_need(table.approve, groups, (*path, "approve"), notes, HOLD_EXPIRES_S)
    return HoldsConfig(wait_s=wait_s, need=need)


def _read_thresholds(value: object, notes: Notes) -> Thresholds:
    """``[policy]``."""
    table, _ = checked(PolicyTable, value, ("policy",), notes)
    if table is None:
        return Thresholds()
    rows, size = table.write_rows_max, table.big_table_rows
    return Thresholds(
        write_rows_max=WRITE_ROWS_MAX if rows is None else rows,
        big_table_rows=BIG_TABLE_ROWS if size is None else size,
    )


def _compiled(
    rules: list[ReadRule],
    targets: tuple[Target, ...],
    thresholds: Thresholds,
    need: ApprovalNeed,
    notes: Notes,
    read: Reader,
) -> Policy | None:
    """The policy; with problems elsewhere, the rules that could be read are still checked."""
    if not notes.problems:
        try:
            return compile_policy(
                [each.rule for each in rules], targets, thresholds=thresholds, need=need, read=read
            )
        except PolicyError as error:
            for problem in error.problems:
                _note_rule(rules, problem.place, problem.message, problem.hint, notes)
        return None
    seen: dict[str, Any] = {}
    for each in rules:
        if each.rule.id in seen:
            words = f"there is another rule `{each.rule.id}`"
            notes.problem((*each.place, "id"), words, "give each rule its own id")
        seen[each.rule.id] = each
        if each.whole:
            for problem in check_rule(each.rule, targets, each.place, read):
                notes.problem(problem.place, problem.message, problem.hint)
    return None


def _note_rule(rules: list[ReadRule], place: Path, message: str, hint: str, notes: Notes) -> None:
    """A problem found in compiling; its place counts the rules that were handed over."""
    at = place[1]
    assert isinstance(at, int), "a rule's place starts with its number"
    notes.problem((*rules[at].place, *place[2:]), message, hint)
