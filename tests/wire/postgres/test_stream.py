"""The innermost loop: what it skips, where it stops, and what it counts on the way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdpoint.wire.postgres import frames
from holdpoint.wire.postgres.errors import ProtocolError
from holdpoint.wire.postgres.frames import frame
from holdpoint.wire.postgres.stream import (
    NOT_OVER,
    OVER_BYTES,
    OVER_ROWS,
    UNLIMITED,
    Room,
    skip_unneeded,
)

ROW = frame(frames.DATA_ROW, b"\0\1\0\0\0\1x")
COPY = frame(frames.COPY_DATA, b"x\n")
DESCRIPTION = frame(frames.ROW_DESCRIPTION, b"\0\0")
DONE = frame(frames.COMMAND_COMPLETE, b"SELECT 1\0")


def test_without_a_limit_rows_are_counted_down_from_far_away() -> None:
    room = Room()
    data = DESCRIPTION + ROW * 3 + COPY + DONE
    assert skip_unneeded(data, 0, len(data), room) == len(data) - len(DONE)
    assert room.rows == UNLIMITED - 4
    assert room.size == UNLIMITED - len(data) + len(DONE)
    assert room.over == NOT_OVER


@pytest.mark.parametrize("row", [ROW, COPY])
def test_it_stops_before_the_row_that_is_over(row: bytes) -> None:
    data = DESCRIPTION + row * 5 + DONE
    third = len(DESCRIPTION) + 2 * len(row)
    for room, over in ((Room(2), OVER_ROWS), (Room(9, third + len(row) - 1), OVER_BYTES)):
        assert skip_unneeded(data, 0, len(data), room) == third
        assert room.over == over
    for room in (Room(5), Room(9, len(data) - len(DONE))):
        assert skip_unneeded(data, 0, len(data), room) == len(data) - len(DONE)
        assert room.over == NOT_OVER


def test_a_row_that_reaches_beyond_counts_with_its_header() -> None:
    room = Room(1)
    data = ROW[:-2]
    assert skip_unneeded(data, 0, len(data), room) == len(ROW)
    assert room.rows == 0
    assert skip_unneeded(ROW, 0, len(ROW), room) == 0
    assert room.over == OVER_ROWS


def test_a_notice_counts_in_bytes_and_not_as_a_row() -> None:
    notice = frame(frames.NOTICE_RESPONSE, b"x" * 100)
    room = Room(0, 2 * len(notice))
    assert skip_unneeded(notice * 3, 0, 3 * len(notice), room) == 2 * len(notice)
    assert room.over == OVER_BYTES


@given(st.lists(st.sampled_from([ROW, COPY, DESCRIPTION]), max_size=20), st.data())
def test_pieces_count_as_the_whole_does(parts: list[bytes], draw: st.DataObject) -> None:
    data = b"".join(parts)
    room = Room(100, 10_000)
    position = start = 0
    while position < len(data):
        end = draw.draw(st.integers(start + 1, len(data)))
        position = skip_unneeded(data, position, end, room)
        start = end
        if position + 5 > end and end == len(data) and position < end:
            break
    assert 100 - room.rows == sum(part != DESCRIPTION for part in parts)
    assert 10_000 - room.size == len(data)


@pytest.mark.parametrize("length", [0, 3, -1])
def test_an_impossible_length_is_no_row(length: int) -> None:
    for kind in (frames.DATA_ROW, frames.NOTICE_RESPONSE):
        data = bytes([kind]) + length.to_bytes(4, "big", signed=True)
        with pytest.raises(ProtocolError):
            skip_unneeded(data, 0, len(data), Room())
