"""The agents' interface: ask for a tier, look how it stands, collect it. It answers nothing.

An agent signs in with its own secret or a task's (HTTP Basic, RFC 7617), checked against the same
verifier as at the gate. Nothing here knows people, cookies or answers, and a person's credential is
refused by its class; the other way round the pages know no agent (``door.caller_of``).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import anyio
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from holdpoint.doors.web.credentials import CredentialClass, class_of, new_secret
from holdpoint.doors.web.door import peer_of
from holdpoint.doors.web.errors import Refused
from holdpoint.doors.web.limiter import Limiter
from holdpoint.doors.web.render import iso
from holdpoint.doors.web.views import hold_view
from holdpoint.engine.holds import HoldRefused
from holdpoint.engine.recorder import Recorder
from holdpoint.engine.requests import (
    NoSuchRequest,
    NotNow,
    RequestDesk,
    RequestRefused,
    request_of,
)
from holdpoint.model import limits
from holdpoint.model.hold import Answer, Hold, HoldState
from holdpoint.model.record import Record, RecordKind
from holdpoint.model.task import Barred, Login
from holdpoint.store.credentials import Credentials
from holdpoint.wire.postgres import scram

FIELDS: Final = ("tier", "reason", "for_s")
WRONG: Final = ("the name or the secret is not right", "agents sign in as they do at the gate")


@dataclass(slots=True, kw_only=True)
class AgentDoor:
    """What the agents' handlers share. ``clock`` gives the time, aware, UTC.

    ``mock_secret`` makes up verifiers for names that nobody has, the same as at the gate.
    """

    desk: RequestDesk
    recorder: Recorder
    credentials: Credentials
    mock_secret: bytes
    clock: Callable[[], datetime]
    page: str
    tries: Limiter = field(
        default_factory=lambda: Limiter(
            tries=limits.AGENT_TRIES_MAX,
            window_s=limits.SIGN_IN_WINDOW_S,
            keys_max=limits.SIGN_IN_PEERS_MAX,
        )
    )
    requests: Limiter = field(
        default_factory=lambda: Limiter(
            tries=limits.REQUESTS_MAX,
            window_s=limits.REQUESTS_WINDOW_S,
            keys_max=limits.SIGN_IN_PEERS_MAX,
        )
    )
    checking: anyio.CapacityLimiter = field(
        default_factory=lambda: anyio.CapacityLimiter(limits.PASSWORD_CHECKS_MAX)
    )


def routes() -> list[Route]:
    """Every address of agents; none of them leads to an answer."""
    return [
        Route("/agent/requests", ask, methods=["POST"]),
        Route("/agent/requests/{request_id}", look, methods=["GET"]),
        Route("/agent/requests/{request_id}/collect", collect, methods=["POST"]),
    ]


async def ask(request: Request) -> Response:
    """``{"tier", "reason", "for_s"}``: ask for a tier. The same again finds the first one."""
    door, login = await _signed_in(request)
    body = await _body(request, FIELDS)
    tier, reason = body.get("tier"), body.get("reason")
    for_s = body.get("for_s", int(limits.REQUEST_S))
    if not isinstance(tier, str) or not isinstance(reason, str):
        raise Refused(400, "`tier` and `reason` must be strings")
    if isinstance(for_s, bool) or not isinstance(for_s, int):
        raise Refused(400, "`for_s` must be a whole number of seconds")
    try:
        asked = door.desk.check(login, tier, reason, for_s)
    except RequestRefused as refused:
        raise Refused(400, refused.message, refused.hint) from refused
    hold = await door.desk.find(asked)
    if hold is None:
        if not door.requests.take(login.agent, door.clock()):
            raise Refused(
                429,
                f"{limits.REQUESTS_MAX} requests in {limits.REQUESTS_WINDOW_S / 60:.0f} minutes "
                "are as many as people can read",
                "wait for answers before asking for more",
            )
        try:
            hold = await door.desk.open(asked, peer_of(request))
        except HoldRefused as refused:
            raise Refused(429, str(refused)) from refused
    return _answer(door, hold)


async def look(request: Request) -> Response:
    """How a request stands."""
    door, login = await _signed_in(request)
    return _answer(door, await _own(door, login, request))


async def collect(request: Request) -> Response:
    """Get what people gave: the credential is in this one response and nowhere else."""
    door, login = await _signed_in(request)
    await _body(request, ())
    secret = new_secret(CredentialClass.AGENT, secrets.token_bytes)
    verifier = scram.make_verifier(secret, secrets.token_bytes(scram.SALT_BYTES))
    try:
        task = await door.desk.collect(login, request.path_params["request_id"], verifier)
    except NoSuchRequest as refused:
        raise Refused(404, refused.message, refused.hint) from refused
    except NotNow as refused:
        raise Refused(409, refused.message, refused.hint) from refused
    path = task.tiers[0].replace("/", "%2F")
    return JSONResponse(
        {
            "ok": True,
            "task": {
                "id": task.id,
                "agent": task.agent,
                "tiers": list(task.tiers),
                "expires_at": iso(task.expires_at),
            },
            "secret": secret,
            "connection": f"postgresql://{task.id}:{secret}@{door.desk.gate}/{path}",
        }
    )


async def _own(door: AgentDoor, login: Login, request: Request) -> Hold:
    try:
        return await door.desk.look(login, request.path_params["request_id"])
    except NoSuchRequest as refused:
        raise Refused(404, refused.message, refused.hint) from refused


def _answer(door: AgentDoor, hold: Hold) -> Response:
    view = hold_view(hold, door.clock())
    late = hold.state is HoldState.OPEN and not view.open
    state = HoldState.EXPIRED if late else hold.state
    case = request_of(hold) or {}
    notes = [each.note for each in hold.approvals if each.answer is Answer.REJECT]
    return JSONResponse(
        {
            "ok": True,
            "request": {
                "id": hold.id,
                "state": state.value,
                "tier": f"{hold.target}/{hold.tier}",
                "reason": case.get("reason", ""),
                "for_s": case.get("for_s", 0),
                "approvals": view.approved,
                "wanted": view.wanted,
                "note": next(iter(notes), ""),
                "expires_at": iso(hold.expires_at),
                "page": f"{door.page}{hold.id}",
            },
        }
    )


async def _body(request: Request, fields: tuple[str, ...]) -> dict[str, Any]:
    """The JSON object of a request, with no other fields than these."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, "the request must be sent as `application/json`")
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise Refused(400, "the request cannot be read as JSON") from error
    if not isinstance(body, dict):
        raise Refused(400, "the request must be a JSON object")
    foreign = sorted(set(body) - set(fields))
    if foreign:
        known = ", ".join(f"`{name}`" for name in fields) or "none"
        raise Refused(400, f"the request has fields that mean nothing here; known are {known}")
    return body


# --- who is asking --------------------------------------------------------------------------------


async def _signed_in(request: Request) -> tuple[AgentDoor, Login]:
    """The agent behind a request. Raises ``Refused``; the words are the same for every reason."""
    door = request.app.state.agents
    assert isinstance(door, AgentDoor)
    name, secret = _basic(request)
    key = f"{peer_of(request)} {name}"
    if not door.tries.take(key, door.clock()):
        raise Refused(
            429,
            "too many wrong secrets for this name from this address",
            f"wait {limits.SIGN_IN_WINDOW_S / 60:.0f} minutes",
        )
    known = await to_thread.run_sync(_standing, door, name)
    verifier = known.scram_verifier or scram.mock_verifier(door.mock_secret, name)
    fits = await to_thread.run_sync(_fits, verifier, secret, limiter=door.checking)
    if not fits or isinstance(known, Barred):
        reasons = [] if fits else ["the secret was wrong"]
        reasons += [known.why] if isinstance(known, Barred) else []
        body = {"agent": name, "peer": peer_of(request), "reason": "; ".join(reasons)}
        await door.recorder.write(Record(RecordKind.SESSION_REFUSED, {**body, "door": "web"}))
        raise Refused(401, *WRONG)
    door.tries.forgive(key)
    return door, known


def _standing(door: AgentDoor, name: str) -> Login | Barred:
    return door.credentials.standing([name], door.clock())[name]


def _fits(verifier: str, secret: str) -> bool:
    """Whether a secret fits its verifier; takes a millisecond."""
    known = scram.parse_verifier(verifier)
    keys = scram.derive_keys(scram.prepare_password(secret), known.salt, known.iterations)
    return hmac.compare_digest(keys.stored_key, known.stored_key)


def _basic(request: Request) -> tuple[str, str]:
    """The name and the secret of the ``Authorization`` header; only an agent's are looked at."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    try:
        pair = base64.b64decode(value.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        pair = ""
    name, colon, secret = pair.partition(":")
    if class_of(value.strip()) is CredentialClass.PERSON or (
        class_of(secret) is CredentialClass.PERSON
    ):
        raise Refused(403, "this is a person's credential; only agents ask here",
                      "people answer on the review page or with `holdpoint hold`")  # fmt: skip
    if scheme.lower() != "basic" or not colon:
        raise Refused(
            401,
            "an agent's name and secret are needed",
            "send them as HTTP Basic, or use `holdpoint task request`",
        )
    is_secret = class_of(secret) is CredentialClass.AGENT
    if (
        not is_secret
        or len(secret) > limits.PASSWORD_CHARS_MAX
        or len(name) > limits.NAME_CHARS_MAX
    ):
        raise Refused(401, *WRONG)
    return name, secret
