"""One way to answer a hold, for the page and for the API alike."""

from __future__ import annotations

import hmac

from starlette.requests import Request

from holdpoint.doors.web.door import Caller, door_of, may_see
from holdpoint.doors.web.errors import Refused
from holdpoint.engine.holds import AnswerRefused
from holdpoint.model.hold import Answer, Hold, HoldState
from holdpoint.model.limits import NOTE_CHARS_MAX


async def hold_of(request: Request, caller: Caller) -> Hold:
    """The hold that the path names; one that the caller may not see does not exist."""
    hold = await door_of(request).book.get(request.path_params["hold_id"])
    if hold is None or not may_see(caller.person, hold):
        raise Refused(404, "there is no such hold", "see all holds on the first page")
    return hold


async def give_answer(
    request: Request, caller: Caller, *, answer: str, note: str, digest: str
) -> Hold:
    """Answer a hold; the hold as it then stands.

    ``digest`` is of the case that the person was shown. Raises ``Refused``: 400 for a malformed
    answer, 409 when another case or another state was answered, 403 when this person may not.
    """
    hold = await hold_of(request, caller)
    if answer not in (Answer.APPROVE.value, Answer.REJECT.value):
        raise Refused(400, "the answer must be `approve` or `reject`")
    if len(note) > NOTE_CHARS_MAX:
        raise Refused(400, f"the note is over {NOTE_CHARS_MAX:,} characters")
    if not _is_text(note):
        raise Refused(400, "the note has characters that cannot be written")
    if not hmac.compare_digest(digest.encode("utf-8", "surrogatepass"), hold.digest.encode()):
        raise Refused(
            409,
            "the answer was for another case than this hold's; nothing was answered",
            "look at the hold again",
        )
    door = door_of(request)
    try:
        return await door.book.answer(
            hold.id,
            caller.person,
            Answer(answer),
            note.replace("\r\n", "\n").strip(),
            approver_groups=door.groups_of(caller.person),
        )
    except AnswerRefused as refused:
        now = await door.book.get(hold.id)
        conflict = now is None or now.state is not HoldState.OPEN
        finding = refused.finding
        raise Refused(409 if conflict else 403, finding.message, finding.hint) from refused


def _is_text(words: str) -> bool:
    """Whether a string can be written as UTF-8; JSON can bring halves of characters."""
    try:
        words.encode()
    except UnicodeEncodeError:
        return False
    return True
