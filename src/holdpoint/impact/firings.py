"""Triggers and rules that a statement sets off, on its tables and on those that cascades reach.

Sources: the manual's chapter 37 (Triggers) and its page of CREATE TRIGGER for which fire on
partitions and inheritors, section 39.4 (rules), chapter 38 (event triggers).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from holdpoint.impact.bodies import Summary, names_in
from holdpoint.impact.resolving import ENABLED, Touch, descendants, partitioned_ancestors
from holdpoint.model.catalog import EventTrigger, Relation, RelationKind, Rule, Trigger
from holdpoint.model.changes import Change
from holdpoint.model.effects import Effect, Statement
from holdpoint.model.impact import Firing, Work
from holdpoint.model.limits import FINDING_QUOTE_CHARS_MAX
from holdpoint.sql.names import Catalog

_DEFINES: Final = frozenset((Effect.DDL, Effect.DESTRUCTIVE, Effect.PRIVILEGE))
# Objects of the whole cluster fire no event triggers (manual, section 38.1).
_SHARED: Final = ("DATABASE", "ROLE", "TABLESPACE", "EVENT TRIGGER", "ALTER SYSTEM")


def firings_of(touched: Iterable[Touch], catalog: Catalog, summary: Summary) -> tuple[Firing, ...]:
    """What is set off by changes of rows, each trigger once per table."""
    found: dict[tuple[str, str], Firing] = {}
    for touch in touched:
        for table, trigger in _triggers(touch, catalog):
            key = (table.label, trigger.name)
            if key not in found:
                firing = _of_trigger(table, trigger, catalog, summary)
                if not _fires(trigger, touch):
                    firing = replace(
                        firing, when=f"{firing.when}, if it moves to another partition"
                    )
                found[key] = firing
        for rule in touch.relation.rules:
            if rule.event == touch.verb.value and rule.enabled in ENABLED:
                found.setdefault((touch.relation.label, rule.name), _of_rule(touch.relation, rule))
    return tuple(found.values())


def _triggers(touch: Touch, catalog: Catalog) -> Iterator[tuple[Relation, Trigger]]:
    """The table's own triggers, and per row those of the tables that hold its rows.

    A row trigger of a partitioned table is copied to each partition: the copies are one trigger.
    """
    relation = touch.relation
    for trigger in relation.triggers:
        if _fires(trigger, touch) or _moves(trigger, touch):
            yield relation, trigger
    if relation.kind is RelationKind.VIEW:
        return
    for member in descendants(relation, catalog):
        copied = {
            (each.name, each.function)
            for ancestor in partitioned_ancestors(member, catalog)
            for each in ancestor.triggers
        }
        for trigger in member.triggers:
            is_copy = (trigger.name, trigger.function) in copied
            fires = _fires(trigger, touch) or _moves(trigger, touch)
            if trigger.per_row and not is_copy and fires:
                yield member, trigger


def _fires(trigger: Trigger, touch: Touch) -> bool:
    if trigger.enabled not in ENABLED or touch.verb.value not in trigger.events:
        return False
    listed = touch.verb.value == "update" and trigger.columns and touch.columns
    return not listed or not set(trigger.columns).isdisjoint(touch.columns)


def _moves(trigger: Trigger, touch: Touch) -> bool:
    """Whether it fires because an UPDATE moves a row: that deletes it here and inserts it there."""
    partitioned = touch.relation.kind is RelationKind.PARTITIONED
    if touch.verb.value != "update" or not partitioned or not trigger.per_row:
        return False
    return trigger.enabled in ENABLED and not trigger.events.isdisjoint(("insert", "delete"))


def _of_trigger(table: Relation, trigger: Trigger, catalog: Catalog, summary: Summary) -> Firing:
    function = catalog.function(trigger.function)
    does, outside = summary(trigger.function)
    events = " or ".join(sorted(trigger.events))
    timing = "instead of" if trigger.timing.startswith("instead") else trigger.timing
    when = f"{timing} {events}, each {'row' if trigger.per_row else 'statement'}"
    if trigger.when:
        when = f"{when}, when {_cut(trigger.when)}"
    return Firing(
        table=table.label,
        name=trigger.name,
        when=when,
        function=function.label if function is not None else "",
        does=does,
        outside=outside,
    )


def _of_rule(table: Relation, rule: Rule) -> Firing:
    does, outside = names_in(_after_do(rule.definition))
    how = "instead of" if rule.instead else "also on"
    return Firing(
        table=table.label,
        name=rule.name,
        when=f"{how} {rule.event}",
        does=does or (_cut(_after_do(rule.definition)),),
        outside=outside,
    )


def _after_do(definition: str) -> str:
    """What a rule does: its whole text where the place of DO is not sure."""
    _, found, tail = definition.partition(" DO ")
    return tail.strip() if found and " DO " not in tail else definition


def _cut(text: str) -> str:
    if len(text) <= FINDING_QUOTE_CHARS_MAX:
        return text
    return text[:FINDING_QUOTE_CHARS_MAX] + " ..."


def event_firings(
    statement: Statement, work: Work, catalog: Catalog, summary: Summary
) -> tuple[Firing, ...]:
    """Event triggers that a definition sets off; ``work`` is the heaviest of its changes."""
    if statement.effects.isdisjoint(_DEFINES) or _is_shared(statement.tag):
        return ()
    found: list[Firing] = []
    for trigger in catalog.rows.event_triggers:
        if trigger.enabled in ENABLED and _fires_on(trigger, statement, work):
            function = catalog.function(trigger.function)
            does, outside = summary(trigger.function)
            found.append(
                Firing(
                    table="",
                    name=trigger.name,
                    when=f"event trigger: {trigger.event.replace('_', ' ')}",
                    function=function.label if function is not None else "",
                    does=does,
                    outside=outside,
                )
            )
    return tuple(found)


def _is_shared(tag: str) -> bool:
    return tag.endswith(_SHARED) and tag != "COMMENT"


def _fires_on(trigger: EventTrigger, statement: Statement, work: Work) -> bool:
    if trigger.tags and statement.tag not in trigger.tags:
        return False
    if trigger.event == "sql_drop":
        return any(map(_drops, statement.changes)) or not statement.changes
    if trigger.event == "table_rewrite":
        return work in (Work.REWRITE, Work.UNKNOWN)
    return trigger.event in ("ddl_command_start", "ddl_command_end")


def _drops(change: Change) -> bool:
    # ALTER TABLE drops what a column or constraint held; CASCADE and CREATE OR REPLACE may, too.
    return change.action == "DROP" or "Drop" in change.action or change.cascade
