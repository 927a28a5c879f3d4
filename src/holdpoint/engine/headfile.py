"""The side file of heads: what still knows the trail's length when the store's end is cut off.

One JSON line per head, appended after the commit that it covers, so it is never ahead of the store.
A copy of it on another machine is worth more than the file itself: whoever can cut the store can
cut this file too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from holdpoint.audit.export import head_from_line, head_line
from holdpoint.audit.heads import SignedHead
from holdpoint.model import limits
from holdpoint.store import StoreError


class HeadFile:
    """The file at ``path``. ``prepare`` a head within the transaction, ``publish`` it after."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self._waiting: SignedHead | None = None

    def prepare(self, head: SignedHead) -> None:
        """Keep the newest head for ``publish``."""
        self._waiting = head

    def publish(self) -> None:
        """Append the head. A full disk costs this copy, not the service: the next one follows."""
        head, self._waiting = self._waiting, None
        if head is None:
            return
        try:
            if self.path.exists() and self.path.stat().st_size > limits.HEADS_FILE_BYTES_MAX:
                self._thin_out()
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        try:
            size = _whole_lines(handle)
            data = head_line(head)
            if os.write(handle, data) != len(data):
                os.ftruncate(handle, size)
        except OSError:
            return
        finally:
            os.close(handle)

    def _thin_out(self) -> None:
        """Keep the newest heads and some older ones, as the store does; whole or not at all."""
        lines = self.path.read_bytes().splitlines(keepends=True)
        old, new = lines[: -limits.HEADS_RECENT_MAX], lines[-limits.HEADS_RECENT_MAX :]
        draft = self.path.with_name(self.path.name + ".new")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.writelines([*old[:: limits.HEADS_THIN_STEP], *new])
        draft.replace(self.path)

    def last(self) -> SignedHead | None:
        """Return the newest whole head; raises ``StoreError`` if its line is not one."""
        try:
            with self.path.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(0, end - 4096))
                lines = file.read().split(b"\n")[:-1]
        except FileNotFoundError:
            return None
        if not lines:
            return None
        try:
            return head_from_line(lines[-1])
        except ValueError as error:
            raise StoreError(
                f"the last line of `{self.path}` is not a signed head ({error}): "
                "keep the file as evidence and move it aside"
            ) from error


def _whole_lines(handle: int) -> int:
    """Cut a torn last line, and return the file's size."""
    size = os.fstat(handle).st_size
    if size == 0 or os.pread(handle, 1, size - 1) == b"\n":
        return size
    start = max(0, size - 4096)
    whole = start + os.pread(handle, size - start, start).rfind(b"\n") + 1
    os.ftruncate(handle, whole)
    return whole
