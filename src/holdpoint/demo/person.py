"""The demo's person: reads holds and answers them through the gate's own interface."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event
from typing import Final

import httpx2

from holdpoint.model.hold import Answer

POLL_S: Final = 0.3  # chosen: quick for somebody who watches, idle for the gate
REQUEST_TIMEOUT_S: Final = 10.0
START_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One answer that was given."""

    hold_id: str
    summary: str
    answer: Answer


def answer_for(text: str) -> tuple[Answer, str]:
    """What the person says to a statement, and the note: the bulk change of prices is a no."""
    if text.upper().startswith("UPDATE PRODUCTS"):
        return Answer.REJECT, "only discontinued products, please"
    return Answer.APPROVE, "agreed: cancelled orders may go"


def answer_holds(
    base_url: str, token: str, stop: Event, say: Callable[[Given], None]
) -> tuple[Given, ...]:
    """Answer every open hold until ``stop`` is set; returns the answers.

    ``token`` is a person's token. Raises ``httpx2.HTTPError`` when the gate refuses or is gone.
    """
    given: list[Given] = []
    headers = {"authorization": f"Bearer {token}"}
    with httpx2.Client(base_url=base_url, headers=headers, timeout=REQUEST_TIMEOUT_S) as client:
        while not stop.wait(POLL_S):
            listed = client.get("/api/holds").raise_for_status().json()
            for hold in listed["holds"]:
                if hold["open"]:
                    given.append(answer_one(client, hold))
                    say(given[-1])
    return tuple(given)


def answer_one(client: httpx2.Client, hold: Mapping[str, str]) -> Given:
    """Read one hold whole and answer it; the digest says which text the answer is for."""
    whole = client.get(f"/api/holds/{hold['id']}").raise_for_status().json()["hold"]
    answer, note = answer_for(whole["case"]["text"])
    body = {"answer": answer.value, "note": note, "digest": whole["digest"]}
    client.post(f"/api/holds/{hold['id']}/answer", json=body).raise_for_status()
    return Given(hold_id=hold["id"], summary=hold["summary"], answer=answer)


def wait_for_page(base_url: str) -> None:
    """Wait until the review page answers; raises ``httpx2.HTTPError`` if it does not in time."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            httpx2.get(f"{base_url}/sign-in", timeout=REQUEST_TIMEOUT_S).raise_for_status()
            return
        except httpx2.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
