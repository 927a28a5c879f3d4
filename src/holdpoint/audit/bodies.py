"""What records and holds say about a case: one shape for the trail, the page and the digest.

Every value is a JSON value without floats, so that it has one canonical form (RFC 8785).
"""

from __future__ import annotations

import hashlib
from typing import Any

from holdpoint.audit.impacts import impact_document
from holdpoint.audit.record import canonical_bytes
from holdpoint.audit.redact import redact
from holdpoint.model import limits
from holdpoint.model.case import Case, Parameter
from holdpoint.model.decision import Decision
from holdpoint.model.effects import Statement
from holdpoint.model.finding import Finding
from holdpoint.model.impact import Impact
from holdpoint.model.record import Record, RecordKind
from holdpoint.model.steps import Execution

DIGEST_DOMAIN = b"holdpoint case v1\n"


def digest_of(case: Case) -> str:
    """Return the hex SHA-256 that an approval binds to.

    It covers who asks for which task, the exact text and parameters, target, tier, role, policy,
    and how everything that the text uses or sets off is defined; not the moment, and not the
    figures, whose bound is kept beside it (``row_bound_of``).
    """
    bound = {
        "agent": case.agent,
        "task": case.task,
        "target": case.target.name,
        "tier": case.tier.name,
        "role": case.role,
        "text": case.reading.text,
        "parameters": _parameters(case.parameters),
        "policy": case.policy_digest,
        "schema": case.reading.schema,
    }
    return hashlib.sha256(DIGEST_DOMAIN + canonical_bytes(bound)).hexdigest()


def row_bound_of(impact: Impact) -> int | None:
    """Return the most rows that an approval of this impact covers; None when none are counted."""
    if impact.most_rows.value is None:
        return None
    return int(impact.most_rows.value * limits.ROW_BOUND_SLACK) + 1


def case_document(case: Case, decision: Decision) -> dict[str, Any]:
    """Return exactly what a human sees of a case, secrets in statements redacted."""
    return {
        "version": 1,
        "agent": case.agent,
        "task": case.task,
        "task_tiers": list(case.task_tiers),
        "session": case.session,
        "peer": case.peer,
        "target": case.target.name,
        "environment": case.target.environment_of(case.tier),
        "tier": case.tier.name,
        "access": case.access.value,
        "role": case.role,
        "text": redact(case.reading.text),
        "parameters": _parameters(case.parameters),
        "statements": [_statement(statement) for statement in case.reading.statements],
        "effects": sorted(effect.value for effect in case.reading.effects),
        "impact": impact_document(case.impact),
        "findings": [finding_document(finding) for finding in decision.findings],
        "rules": list(decision.rules),
        "row_bound": row_bound_of(case.impact),
        "policy_digest": case.policy_digest,
        "digest": digest_of(case),
    }


def finding_document(finding: Finding) -> dict[str, Any]:
    """Return the JSON shape of a finding, the same through every door."""
    return {
        "code": finding.code,
        "message": finding.message,
        "detail": finding.detail,
        "hint": finding.hint,
    }


def decided_record(kind: RecordKind, case: Case, decision: Decision, hold_id: str = "") -> Record:
    """Return the record of a decision: denied, or about to run."""
    body = case_document(case, decision)
    body["verdict"] = decision.verdict.name.lower()
    if hold_id:
        body["hold"] = hold_id
    return Record(kind, body)


def finished_record(started: int, session: str, execution: Execution) -> Record:
    """Return the record of an outcome; it names the record of the start."""
    kind = (
        RecordKind.STATEMENT_FINISHED
        if execution.complete
        else RecordKind.STATEMENT_OUTCOME_UNKNOWN
    )
    body = {
        "started": started,
        "session": session,
        "ran": execution.ran,
        "tag": execution.tag,
        "rows": execution.rows,
        "sqlstate": execution.sqlstate,
        "duration_us": execution.duration_us,
    }
    if execution.changed >= 0:
        body["changed"] = execution.changed
    if execution.rolled_back:
        body["rolled_back"] = True
    return Record(kind, body)


def _parameters(parameters: tuple[Parameter, ...] | None) -> list[dict[str, Any]] | None:
    if parameters is None:
        return None
    return [_parameter(parameter) for parameter in parameters]


def _parameter(parameter: Parameter) -> dict[str, Any]:
    """Text parameters stay readable; bytes that are not text are written in hexadecimal."""
    value = parameter.value
    if value is None:
        return {"null": True}
    if not parameter.binary:
        try:
            return {"text": value.decode()}
        except UnicodeDecodeError:
            pass
    return {"hex": value.hex(), "type_oid": parameter.type_oid}


def _statement(statement: Statement) -> dict[str, Any]:
    return {
        "tag": statement.tag,
        "effects": sorted(effect.value for effect in statement.effects),
        "objects": [
            {"name": use.label, "kind": use.kind.value, "access": use.access.value}
            for use in statement.objects
        ],
        "functions": list(statement.functions),
        "unknowns": list(statement.unknowns),
    }
