"""The agents' door of a review server: two agents, and a shop with three tiers to ask for."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime

from holdpoint.doors.web.agent_api import AgentDoor
from holdpoint.engine.holds import HoldBook
from holdpoint.engine.requests import RequestDesk
from holdpoint.model.target import AccessLevel, Allowance, Target, Tier
from holdpoint.policy.compile import compile_policy
from holdpoint.store import Store
from holdpoint.wire.postgres.scram import make_verifier

SECRET = "hpa_" + "s" * 43
NOBODY = (Allowance(agents=("nobody",)),)
SHOP = Target(
    name="shop",
    tiers=(
        Tier(name="replica", access=AccessLevel.READ_ONLY, url_source=""),
        Tier(name="write", access=AccessLevel.READ_WRITE, url_source="", allowances=NOBODY),
        Tier(name="owner", access=AccessLevel.OWNER, url_source="", allowances=NOBODY),
    ),
)


def agent_door(store: Store, book: HoldBook, clock: Callable[[], datetime], url: str) -> AgentDoor:
    """Agents `robin` of `olga` and `gpt` of `bo`, and the desk of a shop with three tiers."""
    now = datetime.now(UTC)
    for name, owner in (("robin", "olga"), ("gpt", "bo")):
        store.agents.add(name, owner, make_verifier(SECRET, b"salt" * 4), now)
    policy = compile_policy((), (SHOP,))
    desk = RequestDesk(book, policy, {"shop": SHOP}, clock)
    desk.gate = "gate.example:6543"
    return AgentDoor(
        desk=desk,
        recorder=book._recorder,
        credentials=store.credentials,
        mock_secret=b"mock" * 8,
        clock=clock,
        page=f"{url}/h/",
    )


def basic(name: str = "robin", secret: str = SECRET) -> dict[str, str]:
    pair = base64.b64encode(f"{name}:{secret}".encode()).decode()
    return {"authorization": f"Basic {pair}"}
