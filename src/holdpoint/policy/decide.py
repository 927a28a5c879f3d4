"""The decision: a pure function of policy and case.

``verdict = max(base, every matching hold and deny rule, HOLD if anything is unknown or a rule
raised)``. The base is ALLOW where an allow rule covers a statement, else the answer of ``careful``
for the tier. So the order of rules never matters, adding a hold or deny rule never loosens, and an
allow rule loosens nothing but the base.

Statements of one message are weighed one by one and the strictest counts. What is noticed goes to
a ``_Scale``; the findings of the decision put the reason that decided first.
"""

from __future__ import annotations

from holdpoint.model.case import Case
from holdpoint.model.decision import ApprovalNeed, Decision
from holdpoint.model.effects import Effect, Reading, Statement
from holdpoint.model.finding import Finding
from holdpoint.model.impact import Basis, Figure
from holdpoint.model.target import Target, Tier
from holdpoint.model.verdict import Verdict
from holdpoint.policy import reasons
from holdpoint.policy.approval import combined
from holdpoint.policy.calendar import freeze_at, in_business_hours
from holdpoint.policy.careful import (
    EVERY_EFFECT,
    TABLE,
    Answer,
    bits_of,
    is_production,
    size_matters,
)
from holdpoint.policy.facts import cost_matters, facts_needed
from holdpoint.policy.grants import GRANTS_RULE, all_inside, not_granted, outside
from holdpoint.policy.match import Match, circumstances_met, figure_known, figures_met, speaks_of
from holdpoint.policy.rules import Policy, Rule, TierTable
from holdpoint.policy.table import table_of

__all__ = ["decide", "facts_needed", "passes_on_text"]

# Among reasons of one verdict the most telling stands first: what cannot be read, what the tier or
# the team says, what is missing.
_RANK_TEXT = 0
_RANK_RULE = 1
_RANK_CAREFUL = 2
_RANK_SCHEDULE = 3
_RANK_MISSING = 4
_READING = frozenset({Effect.READ})
READ_COST_RULE = "careful:read_cost"


def decide(policy: Policy, case: Case) -> Decision:
    """What the policy says to the case. Same inputs, same decision."""
    reading = case.reading
    table = table_of(policy, case.target, case.tier)
    if reading.problem is None and not case.findings and not cost_matters(case.target, reading):
        settled = table.settled.get(reading.effects)
        if settled is not None and _is_coherent(reading) and all_inside(table.granted, reading):
            return settled.remembered if reading.text_only else settled.once
    return _weigh(policy, table, case)


def passes_on_text(policy: Policy, target: Target, tier: Tier, reading: Reading) -> bool:
    """Whether ``decide`` allows the reading for whoever sends it, whatever the rest of the case.

    The same shortcut as in ``decide``, without a case: for texts that are to be remembered. A
    reading that carries hazards is for ``decide`` to weigh.
    """
    if reading.problem is not None or not reading.text_only or cost_matters(target, reading):
        return False
    table = table_of(policy, target, tier)
    settled = table.settled.get(reading.effects)
    if settled is None or not settled.remembered.memoisable or not _is_coherent(reading):
        return False
    return all_inside(table.granted, reading)


def _is_coherent(reading: Reading) -> bool:
    """Whether the whole says no less than its parts, and nothing in it is unknown."""
    if reading.unknowns:
        return False
    effects = reading.effects
    for statement in reading.statements:
        if statement.unknowns or not statement.effects <= effects:
            return False
    return bool(reading.statements) or not (reading.objects or reading.functions)


class _Scale:
    """What speaks for holding or denying, and whether anything but the text decided."""

    def __init__(self, need: ApprovalNeed) -> None:
        self.need = need
        self.weights: list[tuple[int, int, str, int, Finding, ApprovalNeed]] = []
        self.rules: set[str] = set()
        self.circumstantial = False

    def add(
        self,
        verdict: Verdict,
        rank: int,
        rule_id: str,
        finding: Finding,
        need: ApprovalNeed | None = None,
    ) -> None:
        """Put one reason on the scale."""
        at = len(self.weights)
        self.weights.append((-int(verdict), rank, rule_id, at, finding, need or self.need))
        if rule_id:
            self.rules.add(rule_id)


def _weigh(policy: Policy, table: TierTable, case: Case) -> Decision:
    """Decide by weighing every statement against ``careful`` and every rule that can match."""
    scale = _Scale(policy.need)
    reading = case.reading
    if reading.problem is not None:
        scale.add(Verdict.DENY, _RANK_TEXT, "", reasons.unreadable(reading.problem))
    else:
        _weigh_unknowns(scale, reading)
    bits = bits_of(reading.effects)
    for statement in reading.statements:
        bits |= bits_of(statement.effects)
        _weigh_base(scale, policy, table, case, statement)
        _weigh_grants(scale, table, case, statement)
    for mask, rule in table.refusing:
        if mask & bits or mask == EVERY_EFFECT:
            _weigh_rule(scale, case, rule)
    if cost_matters(case.target, reading):
        _weigh_read_cost(scale, case)
    return _read_off(scale, case)


def _weigh_unknowns(scale: _Scale, reading: Reading) -> None:
    """HOLD for whatever was not understood, and for a reading that contradicts itself."""
    unknowns = list(reading.unknowns)
    for statement in reading.statements:
        unknowns += [words for words in statement.unknowns if words not in unknowns]
        if Effect.UNKNOWN in statement.effects and not statement.unknowns and not unknowns:
            unknowns.append("the reader did not understand a part of it")
    if not unknowns and Effect.UNKNOWN in reading.effects:
        unknowns.append("the reader did not understand a part of it")
    if unknowns:
        scale.add(Verdict.HOLD, _RANK_MISSING, "careful:unknown", reasons.unknown(unknowns))
        return
    parts: set[Effect] = set()
    for statement in reading.statements:
        parts |= statement.effects
    if reading.effects - parts - _READING:
        words = ["the whole does what none of its statements does"]
        scale.add(Verdict.HOLD, _RANK_MISSING, "careful:unknown", reasons.unknown(words))
    elif not reading.statements and (reading.objects or reading.functions):
        words = ["it names objects or functions but no statement"]
        scale.add(Verdict.HOLD, _RANK_MISSING, "careful:unknown", reasons.unknown(words))


def _weigh_base(
    scale: _Scale, policy: Policy, table: TierTable, case: Case, statement: Statement
) -> None:
    """The base: nothing where an allow rule covers the statement, else ``careful``."""
    answers = TABLE[table.tier.access]
    told = {effect: answers[effect] for effect in statement.effects}
    if all(answer is Answer.ALLOW for answer in told.values()):
        scale.rules.update(f"careful:{effect.value}" for effect in statement.effects)
        return
    if _is_covered(scale, table, case, statement):
        return
    denied = [effect for effect in told if told[effect] is Answer.DENY]
    for effect in denied:
        scale.rules.add(f"careful:{effect.value}")
    if denied:
        finding = reasons.not_given(case, statement, sorted(denied))
        scale.add(Verdict.DENY, _RANK_CAREFUL, f"careful:{min(denied).value}", finding)
    for effect in sorted(told):
        answer = told[effect]
        rule_id = f"careful:{effect.value}"
        if answer is Answer.BY_ROWS:
            _weigh_rows(scale, policy, case, statement, rule_id)
        elif answer is Answer.BY_SCHEDULE:
            _weigh_schedule(scale, policy, case, statement, rule_id)
        elif answer is Answer.HOLD and effect is not Effect.UNKNOWN:
            finding = reasons.held_effect(case, statement, effect)
            scale.add(Verdict.HOLD, _RANK_CAREFUL, rule_id, finding)
        scale.rules.add(rule_id)


def _weigh_grants(scale: _Scale, table: TierTable, case: Case, statement: Statement) -> None:
    """Deny what the tier's grants do not cover; no allow rule widens them."""
    if table.granted is None:
        return
    for use in outside(table.granted, statement):
        finding = not_granted(case, table.granted, statement, use)
        scale.add(Verdict.DENY, _RANK_CAREFUL, GRANTS_RULE, finding)


def _is_covered(scale: _Scale, table: TierTable, case: Case, statement: Statement) -> bool:
    """Whether an allow rule covers the statement; notes which, and whether by circumstance."""
    bits = bits_of(statement.effects)
    circumstantial: str = ""
    for mask, rule in table.allowing:
        if not mask & bits:
            continue
        try:
            if not speaks_of(rule, statement) or not circumstances_met(rule.when, case):
                continue
            figures = figures_met(rule, statement, case.impact.most_rows, case.impact.table_rows)
        except Exception as error:  # noqa: BLE001 - fail closed: a rule that raises holds
            scale.add(Verdict.HOLD, _RANK_MISSING, rule.id, reasons.raised(rule.id, error))
            continue
        if figures is not Match.YES:
            continue
        if not rule.when.circumstantial:
            scale.rules.add(rule.id)
            return True
        circumstantial = circumstantial or rule.id
    if circumstantial:
        scale.rules.add(circumstantial)
        scale.circumstantial = True
    return bool(circumstantial)


def _weigh_rows(
    scale: _Scale, policy: Policy, case: Case, statement: Statement, rule_id: str
) -> None:
    """A filtered write: held over the threshold and when the database gave no answer.

    Rows that only show while it runs are held to the threshold then: ``bounds``.
    """
    scale.circumstantial = True
    rows = case.impact.most_rows
    if figure_known(rows):
        assert rows.value is not None, "a known figure has a value"
        bound = policy.thresholds.write_rows_max
        if rows.value > bound:
            finding = reasons.many_rows(statement, case.impact, bound)
            scale.add(Verdict.HOLD, _RANK_CAREFUL, rule_id, finding)
    elif rows.basis is not Basis.NOT_ASKED and rows.basis is not Basis.WHEN_RUN:
        finding = reasons.no_figure(statement, "the number of rows it changes", rows, rule_id)
        scale.add(Verdict.HOLD, _RANK_MISSING, rule_id, finding)


def _weigh_schedule(
    scale: _Scale, policy: Policy, case: Case, statement: Statement, rule_id: str
) -> None:
    """A schema change: held in production's hours and freezes, and on tables big or unseen."""
    scale.circumstantial = True
    target = case.target
    try:
        environment = target.environment_of(case.tier)
        if is_production(environment):
            freeze = freeze_at(target, case.at)
            if freeze is not None:
                finding = reasons.in_freeze(statement, target, freeze)
                scale.add(Verdict.HOLD, _RANK_SCHEDULE, rule_id, finding)
            elif in_business_hours(target, case.at):
                finding = reasons.in_hours(statement, target, environment)
                scale.add(Verdict.HOLD, _RANK_SCHEDULE, rule_id, finding)
    except Exception as error:  # noqa: BLE001 - fail closed: a calendar that raises holds
        scale.add(Verdict.HOLD, _RANK_MISSING, rule_id, reasons.raised(rule_id, error))
    if not size_matters(statement):
        return
    size = case.impact.table_rows
    if not figure_known(size):
        finding = reasons.no_figure(statement, "the size of the table", size, rule_id)
        scale.add(Verdict.HOLD, _RANK_MISSING, rule_id, finding)
        return
    assert size.value is not None, "a known figure has a value"
    if size.value > policy.thresholds.big_table_rows:
        finding = reasons.big_table(statement, size, policy.thresholds.big_table_rows)
        scale.add(Verdict.HOLD, _RANK_SCHEDULE, rule_id, finding)


def _weigh_read_cost(scale: _Scale, case: Case) -> None:
    """A read: held when its plan costs more than the target lets pass, or is not known."""
    scale.circumstantial = True
    read, bound = case.impact.read, case.target.read_cost_over
    if read is None or bound is None:  # no database was asked
        return
    statement = case.reading.statements[0]
    if read.basis is Basis.UNKNOWN:
        figure = Figure(None, Basis.UNKNOWN, read.why)
        finding = reasons.no_figure(statement, "what it costs to read", figure, READ_COST_RULE)
        scale.add(Verdict.HOLD, _RANK_MISSING, READ_COST_RULE, finding)
    elif read.cost > bound:
        finding = reasons.costly_read(statement, read, bound, READ_COST_RULE)
        scale.add(Verdict.HOLD, _RANK_CAREFUL, READ_COST_RULE, finding)


def _weigh_rule(scale: _Scale, case: Case, rule: Rule) -> None:
    """One hold or deny rule against each statement; the first that it matches gives the reason."""
    undecided: Statement | None = None
    try:
        for statement in case.reading.statements:
            if not speaks_of(rule, statement):
                continue
            if rule.when.circumstantial:
                scale.circumstantial = True
            if not circumstances_met(rule.when, case):
                continue
            found = figures_met(rule, statement, case.impact.most_rows, case.impact.table_rows)
            if found is Match.YES:
                finding = reasons.by_rule(case, statement, rule)
                scale.add(rule.then, _RANK_RULE, rule.id, finding, rule.need)
                return
            if found is Match.UNDECIDED and undecided is None:
                undecided = statement
    except Exception as error:  # noqa: BLE001 - fail closed: a rule that raises holds
        finding = reasons.raised(rule.id, error)
        scale.add(Verdict.HOLD, _RANK_MISSING, rule.id, finding, rule.need)
        return
    if undecided is not None:
        asked, figure = "the number of rows it changes", case.impact.most_rows
        if not rule.when.about_rows or figure_known(figure):
            asked, figure = "the size of the table", case.impact.table_rows
        finding = reasons.no_figure(undecided, asked, figure, rule.id)
        scale.add(Verdict.HOLD, _RANK_MISSING, rule.id, finding, rule.need)


def _read_off(scale: _Scale, case: Case) -> Decision:
    """The strictest verdict, its reasons in order, then the hazards of the case."""
    rules = tuple(sorted(scale.rules))
    if not scale.weights:
        return Decision(
            verdict=Verdict.ALLOW,
            findings=case.findings,
            rules=rules,
            memoisable=case.reading.text_only and not scale.circumstantial and not _probed(case),
        )
    weights = sorted(scale.weights, key=_by_weight)
    verdict = Verdict(-weights[0][0])
    # What would only have held is left out of a denial: its hints would mislead.
    weights = [weight for weight in weights if weight[0] == weights[0][0]]
    findings = [weight[4] for weight in weights]
    findings += [finding for finding in case.findings if not _is_said(finding, findings)]
    needs = [weight[5] for weight in weights]
    return Decision(
        verdict=verdict,
        findings=tuple(dict.fromkeys(findings)),
        rules=rules,
        need=combined(needs) if verdict is Verdict.HOLD else scale.need,
    )


def _by_weight(
    weight: tuple[int, int, str, int, Finding, ApprovalNeed],
) -> tuple[int, int, str, int]:
    """What reasons are sorted by: strictest first, then rank, then the rule's name."""
    return weight[:4]


def _is_said(finding: Finding, findings: list[Finding]) -> bool:
    """Whether a hazard repeats a reason: only a text that cannot be read is told by both."""
    return finding.code == reasons.UNREADABLE and any(
        other.code == reasons.UNREADABLE for other in findings
    )


def _probed(case: Case) -> bool:
    """Whether a figure of the case came, or should have come, from a database."""
    return not (
        case.impact.most_rows.basis is Basis.NOT_ASKED
        and case.impact.table_rows.basis is Basis.NOT_ASKED
        and case.impact.read is None
    )
