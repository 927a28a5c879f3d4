"""Frames are cut the same way whatever pieces they arrive in."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdpoint.wire.postgres.errors import ProtocolError
from holdpoint.wire.postgres.frames import Frame, FrameReader, frame


def all_frames(reader: FrameReader) -> list[Frame]:
    found: list[Frame] = []
    while (one := reader.next_frame()) is not None:
        found.append(one)
    return found


@given(
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=30)), max_size=8),
    st.integers(1, 7),
)
def test_pieces_of_any_size(sent: list[tuple[int, bytes]], piece: int) -> None:
    stream = b"".join(frame(kind, payload) for kind, payload in sent)
    reader = FrameReader(bytes_max=64)
    found: list[Frame] = []
    for start in range(0, len(stream), piece):
        reader.feed(stream[start : start + piece])
        found += all_frames(reader)
    assert found == sent
    assert reader.buffered() == 0


@pytest.mark.parametrize("length", [0, 1, 3, 65, 2**31 - 1, 2**31, 2**32 - 1])
def test_a_bad_length_is_refused_before_its_payload_comes(length: int) -> None:
    reader = FrameReader(bytes_max=64)
    reader.feed(b"Q" + length.to_bytes(4, "big"))
    with pytest.raises(ProtocolError, match="invalid message length"):
        reader.next_frame()


@pytest.mark.parametrize("length", [0, 4, 7, 65, 2**31, 2**32 - 1])
def test_a_bad_length_of_a_first_packet_is_refused(length: int) -> None:
    reader = FrameReader(bytes_max=64)
    reader.feed(length.to_bytes(4, "big"))
    with pytest.raises(ProtocolError, match="startup packet"):
        reader.next_packet()


def test_bytes_in_front_of_a_tls_handshake_are_seen() -> None:
    """CVE-2021-23214: what follows an SSLRequest in clear must not survive into the session."""
    reader = FrameReader(bytes_max=64)
    reader.feed(b"\0\0\0\x08\x04\xd2\x16\x2f" + frame(0x51, b"DROP TABLE t\0"))
    assert reader.next_packet() == b"\x04\xd2\x16\x2f"
    assert reader.buffered() == 18


@given(st.lists(st.binary(max_size=20), max_size=6), st.booleans())
def test_accepted_or_protocol_error(pieces: list[bytes], untyped: bool) -> None:
    reader = FrameReader(bytes_max=32)
    with suppress(ProtocolError):
        for piece in pieces:
            reader.feed(piece)
            if untyped:
                reader.next_packet()
            else:
                all_frames(reader)
