"""Find the few server frames that matter in a stream of rows, looking at headers only.

This is the innermost loop of the relay: one step per row of every result. It compiles to C.
"""

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


def skip_unneeded(data: bytes, position: i64, end: i64) -> i64:
    """Return the position of the first frame from ``position`` on that the gate must look at.

    A result below ``end`` is the start of such a frame, or of a header that is not complete yet
    (fewer than 5 bytes left). A result at or past ``end`` says that everything was skipped and how
    far the last frame reaches beyond these bytes. Raises ``ProtocolError`` on a length below 4.
    """
    while position + HEADER_BYTES <= end:
        kind: i64 = data[position]
        if (
            kind != DATA_ROW
            and kind != COPY_DATA
            and kind != BIND_COMPLETE
            and kind != ROW_DESCRIPTION
            and kind != NO_DATA
            and kind != PARAMETER_DESCRIPTION
            and kind != NOTICE
            and kind != NOTIFICATION
            and kind != COPY_DONE
        ):
            return position
        length = i64(read_i32_be(data, position + 1))
        if length < 4:
            raise ProtocolError("a message of the server has a length below 4")
        position += 1 + length
    return position
