"""What the demo prints. Everything goes to standard error when a report in JSON is wanted."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, Group
from rich.markup import escape
from rich.panel import Panel
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

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Say that the long part runs, and when it is over."""
        self.line("preparing PostgreSQL, the shop and the gate; this takes up to half a minute")
        yield

    def step(self, text: str) -> None:
        """One step of a long part."""
        self.line(f"  … {text}", "dim")

    def line(self, text: str, style: str = "") -> None:
        """One line, not read as markup."""
        with self._one_at_a_time:
            self.console.print(Text(text, style=style))

    def addresses(self, stage: Stage, orders: int) -> None:
        """The one string for the agent and the one link for the person, in a box."""
        with self._one_at_a_time:
            self.console.print(
                Panel(
                    Group(
                        "[bold]For the agent[/]   instead of the database's address",
                        f"  {escape(stage.agent_url())}",
                        "[bold]For you[/]         signs you in, once, within 15 minutes",
                        f"  {escape(stage.sign_in_link)}",
                    ),
                    title=f"a shop with {orders:,} orders stands behind the gate",
                    expand=False,
                )
            )

    def invitation(self, stage: Stage) -> None:
        """What to try by hand, when no agent is played."""
        self.line("Try it, then answer the hold on the page:")
        for tier, statement in (
            ("", "SELECT count(*) FROM orders"),
            ("write", "DELETE FROM orders"),
        ):
            self.line(f'  psql "{stage.agent_url(tier)}" -c "{statement}"')
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


def is_terminal() -> bool:
    """Whether a person looks at the output."""
    return sys.stdout.isatty()
