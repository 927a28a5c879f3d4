"""What the reader says of every case, against the truth that `test_corpus_truth.py` proves."""

from __future__ import annotations

import pytest
from corpus_cases import Case, cases
from corpus_reading import catalog_for, covered, read_case
from corpus_server import Databases

from holdpoint.model.effects import Effect
from holdpoint.sql.names import Catalog

CASES = cases()
READ = frozenset({Effect.READ})


def marked(gap: str) -> list[object]:
    """The cases as parameters; those with a known gap must fail, so that a repair is noticed."""
    return [
        pytest.param(
            case,
            id=case.id,
            marks=[pytest.mark.xfail(reason=getattr(case, gap))] if getattr(case, gap) else [],
        )
        for case in CASES
    ]


@pytest.mark.parametrize("case", marked("known_gap"))
def test_with_the_catalog(case: Case, databases: Databases, catalogs: dict[str, Catalog]) -> None:
    """Everything harmful is seen; what is harmless is called exactly what it is."""
    catalog = catalog_for(case, databases[case.database], catalogs[case.database])
    said = read_case(case, catalog).effects
    if case.opaque:
        assert Effect.UNKNOWN in said, "nobody can read what it does"
    elif case.harmless:
        assert said - READ == case.harmful
    else:
        assert covered(case.effects, said)


@pytest.mark.parametrize("case", marked("known_gap_text"))
def test_without_a_catalog(case: Case) -> None:
    """Never less than the truth, unless it says `unknown` or the limit is a documented one."""
    said = read_case(case).effects
    if case.limit:
        assert Effect.UNKNOWN not in said
        assert said - READ != case.harmful, "it sees that much now: the limit is none any more"
    elif case.catalog or case.opaque:
        assert Effect.UNKNOWN in said, "only a catalog can tell"
    elif case.harmless:
        assert said - READ == case.harmful, "no more and no less"
    else:
        assert covered(case.effects, said)
