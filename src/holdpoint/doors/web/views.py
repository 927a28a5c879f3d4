"""Holds as people and programs see them: the same values for the page and for its JSON twin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from holdpoint.doors.web.impacts import ImpactView, impact_view
from holdpoint.doors.web.render import iso
from holdpoint.doors.web.sqltext import SqlText, sql_text
from holdpoint.engine.quorum import eligible
from holdpoint.engine.requests import KIND, duration
from holdpoint.model.decision import ApprovalNeed, Quorum
from holdpoint.model.hold import Answer, Hold, HoldState
from holdpoint.model.limits import WEB_FINDINGS_SHOWN
from holdpoint.model.task import Task
from holdpoint.store.names import folded

# A word for the badge and a sentence that says what it means. Never merged with each other.
STANDING: Final[Mapping[HoldState, tuple[str, str]]] = {
    HoldState.OPEN: ("waits for an answer", "it has not run; it waits for an answer"),
    HoldState.APPROVED: ("approved", "it may run once; the agent has not come back for it yet"),
    HoldState.CLAIMED: (
        "approved and used",
        "the gate let it run once; the trail has the outcome",
    ),
    HoldState.REJECTED: ("rejected", "it did not run"),
    HoldState.EXPIRED: ("expired", "its time ran out before it ran; it did not run"),
    HoldState.ABANDONED: (
        "abandoned",
        "the agent's client went away while it waited; it did not run",
    ),
    HoldState.CANCELLED: ("cancelled", "the agent's client cancelled it; it did not run"),
    HoldState.SUPERSEDED: (
        "superseded",
        "it would have done more than was approved, so it did not run",
    ),
}
LATE: Final = ("expired", "its time ran out before enough people answered; it did not run")

# The same for a request for a tier, of which nothing runs.
REQUEST_STANDING: Final[Mapping[HoldState, tuple[str, str]]] = {
    **STANDING,
    HoldState.OPEN: ("waits for an answer", "the agent has no access yet"),
    HoldState.APPROVED: ("approved", "the agent has not collected its credential yet"),
    HoldState.CLAIMED: ("approved and collected", "the agent has its credential; see its task"),
    HoldState.REJECTED: ("rejected", "the agent got no access"),
    HoldState.EXPIRED: ("expired", "its time ran out before it was collected; no access was given"),
    HoldState.SUPERSEDED: (
        "superseded",
        "the configuration changed after it was approved; no access was given",
    ),
}
REQUEST_LATE: Final = ("expired", "its time ran out before enough people answered")

_FIGURES: Final = {"rows": "rows changed", "table_rows": "rows in the largest table it alters"}
_BASIS: Final = {
    "exact": "counted",
    "estimate": "the database planner's estimate",
    "unknown": "asked, and no answer came: it may be any number",
    "when run": "shows only while it runs",
    "not asked": "the decision did not need it",
}
_NO_VALUE: Final = {"not asked": "not asked for"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureView:
    """One figure of the impact with its basis, both in words."""

    name: str
    value: str
    basis: str
    doubtful: bool
    asked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterView:
    """One bind value: ``$1`` and what it holds. ``kind`` is ``null``, ``text`` or ``hex``."""

    name: str
    kind: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementView:
    """One statement of the text: its tag, (access, object) pairs, and what was not understood."""

    tag: str
    objects: tuple[tuple[str, str], ...]
    unknowns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldView:
    """A hold ready for a template. ``bar`` says why the reader cannot answer it, or is empty."""

    hold: Hold
    case: Mapping[str, Any]
    open: bool
    tone: str
    badge: str
    meaning: str
    need: tuple[str, ...]
    approved: int
    wanted: int
    figures: tuple[FigureView, ...]
    impact: ImpactView
    parameters: tuple[ParameterView, ...] | None
    statements: tuple[StatementView, ...]
    owner: str
    bar: str
    task: Task | None = None

    @property
    def asks_access(self) -> bool:
        """Whether an agent asks for a tier here, and no statement waits."""
        return self.case.get("kind") == KIND

    @property
    def asked_time(self) -> str:
        """For how long access is asked."""
        value = self.case.get("for_s")
        return duration(value) if isinstance(value, int) else ""

    @property
    def reasons(self) -> int:
        """How many findings stand open on the page; those that decided come first."""
        return WEB_FINDINGS_SHOWN

    @property
    def text(self) -> SqlText:
        """The statement, ready for the page. Made when asked for: lists do not need it."""
        return sql_text(str(self.case.get("text", self.case.get("unreadable", ""))))

    def listed(self, key: str) -> tuple[str, ...]:
        """A list of words of the case document, empty when it is not there."""
        value = self.case.get(key)
        return tuple(str(each) for each in value) if isinstance(value, list) else ()

    def fact(self, key: str) -> str:
        """One plain value of the case document, empty when it is not there."""
        value = self.case.get(key, "")
        return value if isinstance(value, str) else ""


def _case(hold: Hold) -> Mapping[str, Any]:
    """The case document; an unreadable one is shown as such rather than hidden."""
    try:
        document = orjson.loads(hold.case_json)
    except orjson.JSONDecodeError:
        return {"unreadable": hold.case_json}
    return document if isinstance(document, dict) else {"unreadable": hold.case_json}


def _statements(case: Mapping[str, Any]) -> tuple[StatementView, ...]:
    listed = case.get("statements")
    return tuple(
        StatementView(
            tag=str(each.get("tag", "")),
            objects=tuple(
                (str(use.get("access", "")), str(use.get("name", "")))
                for use in each.get("objects", [])
            ),
            unknowns=tuple(str(unknown) for unknown in each.get("unknowns", [])),
        )
        for each in (listed if isinstance(listed, list) else [])
    )


def _figure(name: str, figure: Mapping[str, Any]) -> FigureView:
    value, basis = figure.get("value"), str(figure.get("basis", "unknown"))
    words = _BASIS.get(basis, basis)
    why = str(figure.get("why", ""))
    return FigureView(
        name=_FIGURES.get(name, name),
        value=f"{value:,}" if isinstance(value, int) else _NO_VALUE.get(basis, "not known"),
        basis=f"{words} ({why})" if why else words,
        doubtful=basis in ("unknown", "when run"),
        asked=basis != "not asked",
    )


def _parameters(values: object) -> tuple[ParameterView, ...] | None:
    if not isinstance(values, list):
        return None
    views = []
    for number, value in enumerate(values, start=1):
        kind = next((kind for kind in ("text", "hex") if kind in value), "null")
        views.append(
            ParameterView(name=f"${number}", kind=kind, value=str(value.get(kind, "NULL")))
        )
    return tuple(views)


def _quorum(quorum: Quorum) -> str:
    return (
        f"{quorum.count} from `{quorum.group}`" if quorum.group else f"{quorum.count} from anyone"
    )


def need_words(need: ApprovalNeed) -> tuple[str, ...]:
    """Who must approve, in words; all lines must be met."""
    lines = [_quorum(quorum) for quorum in need.all_of]
    if need.any_of:
        lines.append("and one of these: " + "; ".join(_quorum(quorum) for quorum in need.any_of))
    return tuple(lines)


def _wanted(need: ApprovalNeed) -> int:
    """The fewest people that can meet the need: everyone fills one seat."""
    fewest = min((max(1, quorum.count) for quorum in need.any_of), default=0)
    return max(1, sum(max(1, quorum.count) for quorum in need.all_of) + fewest)


def _tone(state: HoldState, *, late: bool) -> str:
    """The colour family of the badge; the badge's word always says the same."""
    if state is HoldState.OPEN:
        return "gone" if late else "waits"
    if state in (HoldState.APPROVED, HoldState.CLAIMED):
        return "yes"
    return "no" if state is HoldState.REJECTED else "gone"


def bar_to_answer(hold: Hold, person: str, groups: frozenset[str], owner: str) -> str:
    """Why this person's answer would be refused, in words; empty if nothing is known against it.

    For the reader's comfort only: the hold book decides, by its own look at the store.
    """
    if owner and folded(owner) == folded(person):
        return f"you answer for `{hold.agent}`, so somebody else must decide"
    if any(folded(given.approver) == folded(person) for given in hold.approvals):
        return "you have answered; one answer per person counts"
    if not eligible(hold.need, groups):
        wanted = sorted({quorum.group for quorum in (*hold.need.all_of, *hold.need.any_of)})
        return "you are in no group that counts here; ask someone of " + ", ".join(
            f"`{group}`" for group in wanted
        )
    return ""


def hold_view(
    hold: Hold, now: datetime, *, owner: str = "", bar: str = "", task: Task | None = None
) -> HoldView:
    """Everything that a template shows of a hold at this moment."""
    case = _case(hold)
    late = hold.state is HoldState.OPEN and hold.expires_at <= now
    if case.get("kind") == KIND:
        badge, meaning = REQUEST_LATE if late else REQUEST_STANDING[hold.state]
    else:
        badge, meaning = LATE if late else STANDING[hold.state]
    impact = case.get("impact")
    return HoldView(
        hold=hold,
        case=case,
        open=hold.state is HoldState.OPEN and not late,
        tone=_tone(hold.state, late=late),
        badge=badge,
        meaning=meaning,
        need=need_words(hold.need),
        approved=sum(1 for given in hold.approvals if given.answer is Answer.APPROVE),
        wanted=_wanted(hold.need),
        figures=tuple(
            _figure(name, figure)
            for name, figure in (impact or {}).items()
            if name in _FIGURES and isinstance(figure, Mapping)
        ),
        impact=impact_view(impact),
        parameters=_parameters(case.get("parameters")),
        statements=_statements(case),
        owner=owner,
        bar=bar,
        task=task,
    )


def hold_document(view: HoldView, *, whole: bool = True) -> dict[str, Any]:
    """The JSON twin of a hold; ``whole`` adds the case."""
    hold = view.hold
    document: dict[str, Any] = {
        "id": hold.id,
        "kind": KIND if view.asks_access else "statement",
        "state": hold.state.value,
        "standing": view.badge,
        "meaning": view.meaning,
        "open": view.open,
        "digest": hold.digest,
        "agent": hold.agent,
        "owner": view.owner,
        "task": hold.task,
        "session": hold.session,
        "target": hold.target,
        "tier": hold.tier,
        "summary": hold.summary,
        "findings": [asdict(finding) for finding in hold.findings],
        "need": list(view.need),
        "approvals": [
            {
                "approver": given.approver,
                "answer": given.answer.value,
                "note": given.note,
                "at": iso(given.at),
            }
            for given in hold.approvals
        ],
        "created_at": iso(hold.created_at),
        "expires_at": iso(hold.expires_at),
    }
    if whole:
        document["case"] = view.case
    return document
