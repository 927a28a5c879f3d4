"""What policy makes of a case."""

from __future__ import annotations

from dataclasses import dataclass

from holdpoint.model.finding import Finding
from holdpoint.model.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Quorum:
    """Who must approve: ``count`` distinct humans out of ``group`` (empty = anyone)."""

    group: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalNeed:
    """All of ``all_of`` and, if any are given, one of ``any_of``; distinct humans throughout."""

    all_of: tuple[Quorum, ...] = (Quorum(),)
    any_of: tuple[Quorum, ...] = ()
    expires_s: float = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The verdict and its reasons. HOLD and DENY carry at least one finding.

    ``rules`` are the ids of the rules that matched (``careful:<effect>`` for the built-in policy).
    ``memoisable`` is True when the verdict is ALLOW and rests on the text, the tier and the policy
    alone: no probe, no parameter, no clock.
    """

    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    rules: tuple[str, ...] = ()
    need: ApprovalNeed = ApprovalNeed()
    memoisable: bool = False

    def __post_init__(self) -> None:
        assert self.verdict is Verdict.ALLOW or self.findings, "a refusal says why"
        assert self.verdict is Verdict.ALLOW or not self.memoisable, "only ALLOW is remembered"
