"""HP3107: something stands on what is dropped or altered."""

from typing import Final

from holdpoint.impact.hazards.wording import clip, listed
from holdpoint.model.finding import Finding
from holdpoint.model.impact import Dependent, Impact

CODE: Final = "HP3107"
TITLE: Final = "something stands on what is dropped or altered"
EXAMPLES_HIT: Final = (
    Impact(dependents=(Dependent(kind="view", name="open_orders", on="orders"),)),
)
EXAMPLES_MISS: Final = (Impact(),)


def describe(impact: Impact) -> tuple[Finding, ...]:
    """One finding for each object that others stand on."""
    objects: dict[str, list[str]] = {}
    for each in impact.dependents:
        words = f"{clip(each.kind)} `{clip(each.name)}`"
        objects.setdefault(each.on, []).append(words)
    return tuple(
        Finding(
            code=CODE,
            message=f"on `{clip(name)}` stand{'s' if len(names) == 1 else ''} {listed(names)}",
            detail="; ".join(names) if len(names) > 3 else "",
            hint="with CASCADE they go too; without it the server refuses",
        )
        for name, names in objects.items()
    )
