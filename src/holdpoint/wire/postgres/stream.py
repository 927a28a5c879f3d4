"""Find the few server frames that matter in a stream of rows, looking at headers only.

This is the innermost loop of the relay: one step per row of every result. It compiles to C. The
rows and bytes of a result are counted on the way, because every header is looked at anyway.
"""

from typing import Final

from librt.strings import read_i32_be
from mypy_extensions import i64

from holdpoint.wire.postgres.errors import ProtocolError

# Frames whose content the gate never needs; they pass as the bytes they came as.
DATA_ROW: i64 = 0x44  # D
COPY_DATA: i64 = 0x64  # d
ROW_DESCRIPTION: i64 = 0x54  # T
BIND_COMPLETE: i64 = 0x32  # 2
NO_DATA: i64 = 0x6E  # n
PARAMETER_DESCRIPTION: i64 = 0x74  # t
NOTICE: i64 = 0x4E  # N
NOTIFICATION: i64 = 0x41  # A
COPY_DONE: i64 = 0x63  # c

HEADER_BYTES: i64 = 5

NOT_OVER: Final = 0
OVER_ROWS: Final = 1
OVER_BYTES: Final = 2
UNLIMITED: Final = 2**62  # more rows and bytes than ever come


class Room:
    """How many rows and bytes of a result may still pass; COPY data counts as its rows do.

    Notices count in bytes: they can carry as much as rows. ``over`` says which of the two the next
    frame would exceed.
    """

    def __init__(self, rows: int = UNLIMITED, size: int = UNLIMITED) -> None:
        self.rows: i64 = rows
        self.size: i64 = size
        self.over = NOT_OVER


def skip_unneeded(data: bytes, position: i64, end: i64, room: Room) -> i64:
    """Return the position of the first frame from ``position`` on that the gate must look at.

    A result below ``end`` is the start of such a frame, or of a header that is not complete yet
    (fewer than 5 bytes left). A result at or past ``end`` says that everything was skipped and how
    far the last frame reaches beyond these bytes. One for which there is no ``room`` is such a
    frame, too: ``room.over`` says so. Raises ``ProtocolError`` on a length below 4.
    """
    rows: i64 = room.rows
    size: i64 = room.size
    while position + HEADER_BYTES <= end:
        kind: i64 = data[position]
        no_row = kind != DATA_ROW and kind != COPY_DATA
        if no_row and (
            kind != BIND_COMPLETE
            and kind != ROW_DESCRIPTION
            and kind != NO_DATA
            and kind != PARAMETER_DESCRIPTION
            and kind != NOTICE
            and kind != NOTIFICATION
            and kind != COPY_DONE
        ):
            break
        length = i64(read_i32_be(data, position + 1))
        if length < 4:
            raise ProtocolError("a message of the server has a length below 4")
        if not no_row:
            if rows < 1:
                room.over = OVER_ROWS
                break
            rows -= 1
        if size <= length:
            room.over = OVER_BYTES
            break
        size -= 1 + length
        position += 1 + length
    room.rows = rows
    room.size = size
    return position


def is_of_result(kind: i64) -> bool:
    """Tell whether a frame is a part of a result, or only says that one comes or is over."""
    return (
        kind == DATA_ROW
        or kind == COPY_DATA
        or kind == BIND_COMPLETE
        or kind == ROW_DESCRIPTION
        or kind == NO_DATA
        or kind == PARAMETER_DESCRIPTION
        or kind == COPY_DONE
        or kind == 0x48  # CopyOutResponse
    )
