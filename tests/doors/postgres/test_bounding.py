"""An error may come between the Execute that stopped the relay and the first question about it."""

import pytest

from holdpoint.doors.postgres.bounding import Bounding
from holdpoint.doors.postgres.pending import Operation
from holdpoint.wire.postgres import messages

pytestmark = pytest.mark.anyio


class SkippingRelay:
    """A relay whose server has just failed: it skips, and answers, nothing up to a Sync."""

    skipping = True

    def __init__(self) -> None:
        self.went_on = False

    def fence(self) -> None:
        raise AssertionError("a frame that is never answered")

    def go_on(self) -> None:
        self.went_on = True


async def test_nothing_is_asked_of_a_server_that_skips() -> None:
    relay = SkippingRelay()
    operation = Operation(wrote=True, guarded=False, copies=False)
    operation.rows_max = 1
    bounding = Bounding(relay, lambda: False)  # type: ignore[arg-type] - what is asked of it
    await bounding.execute(messages.execute(b""), operation)
    assert relay.went_on
    assert not operation.sent
