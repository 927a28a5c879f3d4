"""The dangers a statement can carry: one file, one code, one documentation page each.

A module here has ``CODE``, ``TITLE``, ``MARKS`` (the kinds of marks it speaks of), ``applies``
(which of those it means), ``describe`` (mark to finding), and examples that hit and miss, which the
tests run. Hazards that only a catalog shows bring ``EXAMPLES_SCHEMA``, the tables of their
examples. A module of ``IMPACT_HAZARDS`` speaks of figures instead: it has no ``MARKS``, its
``describe`` takes an impact, and its examples are impacts. The lists below are written out, not
discovered: what is installed is what was tested. ``make new-hazard`` writes the stubs.

Codes that need more than a text and its impact (``HP2204`` rows over the bound, ``HP3301`` business
hours, ``HP3302`` freeze, ``HP7xxx``) are made by policy; their pages stand beside these.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

from holdpoint.impact.hazards import (
    alter_table,
    assume_role,
    backend,
    cascade,
    cascade_rows,
    code,
    constant_where,
    costly_read,
    create_index,
    definer_call,
    delete_without_where,
    dependents,
    drop_column,
    drop_index,
    drop_other,
    drop_schema,
    drop_table,
    dynamic_sql,
    encoding,
    event_trigger,
    extension,
    foreign,
    guard,
    language,
    large_object,
    lock,
    long_lock,
    maintenance,
    merge_unfiltered,
    names_unsure,
    no_catalog,
    not_understood,
    privilege,
    product,
    program,
    read_write,
    reading_setting,
    rename,
    role_unsure,
    search_path,
    security_definer,
    server_file,
    shared_table,
    sleep,
    syntax_error,
    system_setting,
    through,
    too_large,
    trigger_outside,
    truncate,
    two_phase,
    unanswered,
    unbounded,
    unknown_function,
    unreadable_body,
    unsafe_setting,
    update_without_where,
)
from holdpoint.model.effects import Mark, MarkKind, Reading, Statement
from holdpoint.model.finding import Finding
from holdpoint.model.impact import Impact


class Hazard(Protocol):
    """What a module of this package has."""

    @property
    def CODE(self) -> str:
        """``HP`` and four digits."""
        ...

    @property
    def TITLE(self) -> str:
        """The danger in a few words."""
        ...

    @property
    def MARKS(self) -> frozenset[MarkKind]:
        """The kinds of marks the hazard speaks of."""
        ...

    @property
    def EXAMPLES_HIT(self) -> Collection[str]:
        """Statements that carry it."""
        ...

    @property
    def EXAMPLES_MISS(self) -> Collection[str]:
        """Statements that look like it and do not."""
        ...

    def applies(self, mark: Mark) -> bool:
        """Whether this hazard is the one meant by a mark of its kinds."""
        ...

    def describe(self, mark: Mark, statement: Statement) -> Finding:
        """The finding for one mark of a statement."""
        ...


class ImpactHazard(Protocol):
    """What a module of this package has that speaks of figures."""

    @property
    def CODE(self) -> str:
        """``HP`` and four digits."""
        ...

    @property
    def TITLE(self) -> str:
        """The danger in a few words."""
        ...

    @property
    def EXAMPLES_HIT(self) -> Collection[Impact]:
        """Impacts that show it."""
        ...

    @property
    def EXAMPLES_MISS(self) -> Collection[Impact]:
        """Impacts that look like it and do not."""
        ...

    def describe(self, impact: Impact) -> tuple[Finding, ...]:
        """The findings for an impact; none where it is harmless."""
        ...


HAZARDS: Final[tuple[Hazard, ...]] = (
    syntax_error,
    not_understood,
    unknown_function,
    too_large,
    encoding,
    reading_setting,
    dynamic_sql,
    unreadable_body,
    no_catalog,
    names_unsure,
    update_without_where,
    delete_without_where,
    constant_where,
    merge_unfiltered,
    through,
    cascade,
    trigger_outside,
    drop_table,
    drop_column,
    drop_index,
    truncate,
    drop_schema,
    drop_other,
    alter_table,
    create_index,
    maintenance,
    event_trigger,
    rename,
    guard,
    privilege,
    assume_role,
    security_definer,
    definer_call,
    read_write,
    search_path,
    unsafe_setting,
    role_unsure,
    program,
    server_file,
    extension,
    language,
    system_setting,
    foreign,
    backend,
    large_object,
    code,
    two_phase,
    sleep,
    lock,
    product,
    unbounded,
)
"""Every hazard that marks show, by code."""

IMPACT_HAZARDS: Final[tuple[ImpactHazard, ...]] = (
    unanswered,
    shared_table,
    cascade_rows,
    dependents,
    long_lock,
    costly_read,
)
"""Every hazard that figures show, by code."""

SILENT: Final = frozenset((MarkKind.CREATE,))
"""Kinds of marks that are no danger by themselves: they tell policy what is created."""

_BY_KIND: Final[dict[MarkKind, tuple[Hazard, ...]]] = {
    kind: tuple(hazard for hazard in HAZARDS if kind in hazard.MARKS) for kind in MarkKind
}
_NOT_PARSED: Final = Statement(tag="UNKNOWN", text="", effects=frozenset())


def findings_of(reading: Reading) -> tuple[Finding, ...]:
    """Every danger that the text shows, in the order of its statements, each once."""
    if reading.problem is not None:
        mark = Mark(MarkKind.UNREADABLE, "syntax", reading.problem.message)
        return (syntax_error.describe(mark, _NOT_PARSED),)
    found: dict[Finding, None] = {}
    for statement in reading.statements:
        for mark in statement.marks:
            for hazard in _BY_KIND[mark.kind]:
                if hazard.applies(mark):
                    found[hazard.describe(mark, statement)] = None
    return tuple(found)


def findings_of_impact(impact: Impact) -> tuple[Finding, ...]:
    """Every danger that the figures show, in the order of the codes, each once."""
    found: dict[Finding, None] = {}
    for hazard in IMPACT_HAZARDS:
        found.update(dict.fromkeys(hazard.describe(impact)))
    return tuple(found)
