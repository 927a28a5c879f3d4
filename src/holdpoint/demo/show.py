"""What the demo prints. Everything goes to standard error when a report in JSON is wanted."""

from __future__ import annotations

import threading
from typing import Final

from rich.console import Console
from rich.text import Text

from holdpoint.demo.agent import Voice
from holdpoint.demo.person import Given
from holdpoint.demo.stage import AGENT, PERSON, Stage
from holdpoint.model.hold import Answer

STYLES: Final = {
    Voice.THOUGHT: ("agent   ", "italic"),
    Voice.SQL: ("  sends ", "cyan"),
    Voice.RESULT: ("  gets  ", "green"),
    Voice.HELD: ("  waits ", "yellow"),
    Voice.REFUSED: ("  gets  ", "red"),
}


class Show:
    """Prints from several threads, one line at a time; understandable without colour."""

    def __init__(self, *, to_stderr: bool) -> None:
        self.console = Console(stderr=to_stderr, highlight=False, soft_wrap=True)
        self._one_at_a_time = threading.Lock()

    def step(self, text: str) -> None:
        """One step of a long part."""
        self.line(f"  … {text}", "dim")

    def line(self, text: str, style: str = "") -> None:
        """One line, not read as markup."""
        with self._one_at_a_time:
            self.console.print(Text(text, style=style))

    def addresses(self, stage: Stage, orders: int) -> None:
        """The one string for the agent and the one link for the person.

        Between rules and not in a box: they are made to be copied, so nothing may wrap or cut them.
        """
        with self._one_at_a_time:
            self.console.rule(f"a shop with {orders:,} orders and a replica is behind the gate")
            self.console.print("[bold]For the agent[/], instead of the database's address:")
            self.console.print(Text(f"  {stage.agent_url()}"))
            self.console.print("[bold]For you[/], signs you in, once, within 15 minutes:")
            self.console.print(Text(f"  {stage.sign_in_link}"))
            self.console.rule()

    def invitation(self, stage: Stage) -> None:
        """What to try by hand, when no agent is played."""
        self.line("Try it, then answer the hold on the page:")
        for tier, statement in (
            ("", "SELECT count(*) FROM orders"),
            ("write", "DELETE FROM orders"),
        ):
            self.line(f'  psql "{stage.agent_url(tier)}" -c "{statement}"')
        self.line("What the database gives each tier, from another terminal:")
        self.line(f"  export HOLDPOINT_CONFIG={stage.configuration}")
        self.line("  holdpoint access verify")
        self.line("(`holdpoint` is `.venv/bin/holdpoint` after `make`.)")
        self.line("or run `holdpoint demo --agent`. Ctrl-C ends the demo and removes it.")

    def narrate(self, voice: Voice, text: str) -> None:
        """One line of the agent's narration."""
        label, style = STYLES[voice]
        self.line(f"{label}{text}", style)

    def answered(self, given: Given) -> None:
        """What the person answered."""
        word = "approves" if given.answer is Answer.APPROVE else "rejects"
        self.line(f"{PERSON}    {word} {given.hold_id}: {given.summary}", "bold")

    def report(self, lines: list[str], surprises: tuple[str, ...]) -> None:
        """The end: what happened, then what should not have."""
        self.line("")
        for text in lines:
            self.line(text)
        for surprise in surprises:
            self.line(f"error: {surprise}", "red")
        if not surprises:
            self.line(f"ok: everything `{AGENT}` did stands in the trail, and the trail verifies")
