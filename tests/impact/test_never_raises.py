"""Whatever the reading and the catalog are, there is a picture, each list within its limit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from impact_shop import Shop

from holdpoint import sql
from holdpoint.impact.picture import describe
from holdpoint.model.catalog import (
    CatalogRows,
    Column,
    Constraint,
    DataType,
    Dependency,
    EventTrigger,
    Function,
    Grant,
    Index,
    Relation,
    RelationKind,
    Rule,
    Trigger,
)
from holdpoint.model.changes import Change, Name, NewColumn, NewConstraint, WrittenType
from holdpoint.model.effects import (
    Effect,
    Mark,
    MarkKind,
    ObjectUse,
    Reading,
    RelationUse,
    Statement,
    Verb,
)
from holdpoint.model.impact import Impact, Undo
from holdpoint.model.limits import IMPACT_LISTED_MAX
from holdpoint.sql.names import Catalog

CASES = sorted((Path(__file__).parent.parent / "corpus" / "cases").glob("*.jsonl"))
CORPUS = [json.loads(line)["sql"] for path in CASES for line in path.read_text().splitlines()]


def check(impact: Impact) -> None:
    lists = (impact.tables, impact.cascades, impact.firings, impact.dependents, impact.users)
    assert all(len(each) <= IMPACT_LISTED_MAX for each in lists)
    assert impact.undo is not None
    for table in impact.tables:
        assert bool(table.blocks) is (table.lock is not None)


# Effects that leave nothing behind in the database.
PASSING = {Effect.READ, Effect.EXHAUSTION, Effect.SESSION_ESCAPE}
# Statements that write without changing what anybody stored: housekeeping, locks of rows.
KEEPING = {"VACUUM", "ANALYZE", "REINDEX", "CLUSTER", "SELECT", "DECLARE CURSOR"}


def test_every_statement_of_the_corpus_has_a_picture(shop: Shop) -> None:
    """And whatever has an effect has something to undo."""
    assert CORPUS
    for text in CORPUS:
        for catalog in (None, shop.catalog):
            reading = sql.read(text, catalog=catalog)
            impact = describe(reading, catalog)
            check(impact)
            if impact.undo is Undo.NOTHING:
                for statement in reading.statements:
                    assert statement.effects <= PASSING or statement.tag in KEEPING, text


# A small world of names, so that things meet; oids may point at nothing, or in circles.
NAMES = st.sampled_from(["a", "b", "t", "orders", "", "Ünder", 'qu"ote', "x.y", "("])
OIDS = st.integers(0, 8)
TEXTS = st.sampled_from(["", "a IS NOT NULL", "EXECUTE x", "(((", "nextval('a'::regclass)", " DO "])
COLUMNS = st.lists(NAMES, max_size=3).map(tuple)
ACTIONS = st.sampled_from(
    [
        *("DROP", "RENAME", "TRUNCATE", "CREATE INDEX", "CREATE TABLE", "ALTER", "REINDEX"),
        *("AT_AddColumn", "AT_AlterColumnType", "AT_SetNotNull", "AT_AddConstraint", ""),
        *("AT_DropColumn", "AT_DropConstraint", "AT_AttachPartition", "AT_AlterConstraint"),
        *("AT_SetRelOptions", "REFRESH MATERIALIZED VIEW", "LOCK TABLE", "unheard of"),
    ]
)
KINDS = st.sampled_from(
    [*("TABLE", "INDEX", "SCHEMA", "FUNCTION", "TYPE", "VIEW", "OWNED", "EXTENSION", "DATABASE")]
)
QUALIFIED = st.builds(Name, NAMES, NAMES)
NEW_CONSTRAINTS = st.builds(
    NewConstraint,
    kind=st.sampled_from("cfnpux?"),
    columns=COLUMNS,
    references=st.none() | QUALIFIED,
    index=NAMES,
    checks=st.booleans(),
)
TYPES = st.builds(
    WrittenType,
    st.builds(Name, NAMES, st.sampled_from(["varchar", "numeric", "text", "int4", "mood"])),
    st.none() | st.lists(st.integers(-5, 100_000), max_size=3).map(tuple),
    st.booleans(),
)
CHANGES = st.builds(
    Change,
    action=ACTIONS,
    on=QUALIFIED,
    kind=KINDS,
    part=NAMES,
    column=st.none()
    | st.builds(
        NewColumn,
        type=st.none() | TYPES,
        default=st.booleans(),
        functions=st.lists(QUALIFIED, max_size=2).map(tuple),
        constraints=st.lists(NEW_CONSTRAINTS, max_size=2).map(tuple),
    ),
    constraint=st.none() | NEW_CONSTRAINTS,
    others=st.lists(QUALIFIED, max_size=2).map(tuple),
    options=COLUMNS,
    cascade=st.booleans(),
    concurrently=st.booleans(),
    replace=st.booleans(),
)
STATEMENTS = st.builds(
    Statement,
    tag=st.sampled_from(["DELETE", "UPDATE", "DROP TABLE", "", "VACUUM", "NOTIFY", "DROP ROLE"]),
    text=TEXTS,
    effects=st.frozensets(st.sampled_from(Effect), max_size=3),
    objects=st.lists(st.builds(ObjectUse, NAMES, NAMES), max_size=2).map(tuple),
    functions=COLUMNS,
    marks=st.lists(st.builds(Mark, st.sampled_from(MarkKind), NAMES), max_size=2).map(tuple),
    changes=st.lists(CHANGES, max_size=3).map(tuple),
    uses=st.lists(
        st.builds(
            RelationUse,
            schema=NAMES,
            name=NAMES,
            verb=st.sampled_from(Verb),
            columns=COLUMNS,
            oid=OIDS,
            through=st.lists(st.sampled_from(["view a.b", "view ", "trigger x"]), max_size=2).map(
                tuple
            ),
        ),
        max_size=3,
    ).map(tuple),
)
RELATIONS = st.builds(
    Relation,
    oid=OIDS,
    schema=NAMES,
    name=NAMES,
    kind=st.sampled_from(RelationKind),
    owner=NAMES,
    rows=st.integers(-1, 10),
    columns=st.lists(
        st.builds(
            Column,
            name=NAMES,
            type_oid=st.sampled_from([23, 25, 1043, 1700, 1184, 3]),
            default=TEXTS,
            type_modifier=st.none() | st.integers(-1, 2**31),
        ),
        max_size=3,
    ).map(tuple),
    indexes=st.lists(st.builds(Index, OIDS, NAMES, COLUMNS), max_size=2).map(tuple),
    constraints=st.lists(
        st.builds(
            Constraint,
            name=NAMES,
            kind=st.sampled_from("cfnpux"),
            columns=COLUMNS,
            references=OIDS,
            referenced_columns=COLUMNS,
            on_delete=st.sampled_from("arcnd?"),
            on_update=st.sampled_from("arcnd?"),
            expression=TEXTS,
            valid=st.booleans(),
        ),
        max_size=3,
    ).map(tuple),
    triggers=st.lists(
        st.builds(
            Trigger,
            name=NAMES,
            function=OIDS,
            events=st.frozensets(st.sampled_from(["insert", "update", "delete", "truncate"])),
            timing=st.sampled_from(["before", "after", "instead", ""]),
            per_row=st.booleans(),
            enabled=st.sampled_from("OARD"),
            columns=COLUMNS,
            when=TEXTS,
        ),
        max_size=2,
    ).map(tuple),
    rules=st.lists(
        st.builds(
            Rule, NAMES, st.sampled_from(["delete", "update"]), st.booleans(), st.just("O"), TEXTS
        ),
        max_size=1,
    ).map(tuple),
    grants=st.lists(st.builds(Grant, NAMES, NAMES), max_size=2).map(tuple),
    parents=st.lists(OIDS, max_size=2).map(tuple),
)
CATALOGS = st.builds(
    CatalogRows,
    version=st.just(180001),
    role=NAMES,
    search_path=COLUMNS,
    relations=st.lists(RELATIONS, max_size=4).map(tuple),
    functions=st.lists(
        st.builds(Function, oid=OIDS, schema=NAMES, name=NAMES, body=TEXTS), max_size=2
    ).map(tuple),
    types=st.lists(
        st.builds(DataType, OIDS, NAMES, NAMES, st.sampled_from("bcdermx"), OIDS, OIDS), max_size=2
    ).map(tuple),
    event_triggers=st.lists(
        st.builds(EventTrigger, NAMES, st.sampled_from(["sql_drop", "table_rewrite", ""]), OIDS),
        max_size=2,
    ).map(tuple),
    dependencies=st.lists(
        st.builds(Dependency, OIDS, st.sampled_from(["view", "function", "rule"]), NAMES, NAMES),
        max_size=4,
    ).map(tuple),
)
ODD = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


@ODD
@given(st.lists(STATEMENTS, max_size=3).map(tuple), st.none() | CATALOGS)
def test_odd_statements_over_odd_catalogs(
    statements: tuple[Statement, ...], rows: CatalogRows | None
) -> None:
    catalog = Catalog(rows) if rows is not None else None
    check(describe(Reading(text="", statements=statements), catalog))


WORDS = """
ALTER TABLE orders ADD DROP COLUMN state CASCADE CREATE INDEX ON ( ) TYPE text varchar DELETE
FROM customers TRUNCATE , ; id DEFAULT random NOT NULL REFERENCES UPDATE SET = 1 CONSTRAINT CHECK
VALIDATE PARTITION OF USING
"""


@ODD
@given(st.lists(st.sampled_from(WORDS.split()), max_size=12).map(" ".join))
def test_odd_texts(shop: Shop, text: str) -> None:
    check(shop.impact(text))
    check(describe(sql.read(text), None))


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM " + "a" * 100_000,
        "DROP TABLE " + ", ".join(f"t{at}" for at in range(5_000)),
        "ALTER TABLE t " + ", ".join(f"ADD COLUMN c{at} int" for at in range(1_600)),
        ";".join("DELETE FROM customers" for _ in range(900)),
    ],
    ids=["name", "many tables", "many columns", "many statements"],
)
def test_large_statements(shop: Shop, text: str) -> None:
    check(shop.impact(text))
