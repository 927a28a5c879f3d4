"""The spool of plain reads: a file in memory that survives the death of the process.

Plain reads are too many to be synced one by one. Their entries go into a preallocated, mapped file
(no system call), and the recorder's writer thread turns them into one chained record per group.
What a killed process left in the file is read back at the next start.

Layout: one page of headers, then two halves; while one fills, the other is being written away.
A half is a run of frames ``length, checksum, payload``; the checksum is seeded with the half's
generation, so that frames of an earlier round, and torn ones, end the half.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdpoint.model import limits
from holdpoint.store import StoreError

HEADER_BYTES: Final = 4096
HALF_BYTES: Final = (limits.SPOOL_BYTES - HEADER_BYTES) // 2
FRAME: Final = struct.Struct("<II")  # length of the payload, checksum
_HEADER: Final = struct.Struct("<8s32sQQQ")  # magic, origin, run, generation, base_us
_HEADER_STRIDE: Final = 1024
_MAGIC: Final = b"HPSPOOL1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """What one half holds. ``run`` is the number of the `trail.opened` record it belongs to."""

    origin: str
    run: int
    generation: int
    base_us: int
    payloads: tuple[bytes, ...]


class SpoolFile:
    """The mapped file. One process at a time: opening it takes the server's lock on the store."""

    def __init__(self, path: Path, handle: int, memory: mmap.mmap) -> None:
        self.path: Final = path
        self.memory: Final = memory
        self._handle: Final = handle

    @classmethod
    def open(cls, path: Path) -> SpoolFile:
        """Open or make the file; raises ``StoreError`` with words."""
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Reserve every block now: a store into a hole of a full disk would be SIGBUS.
                os.posix_fallocate(handle, 0, limits.SPOOL_BYTES)
                memory = mmap.mmap(handle, limits.SPOOL_BYTES)
            except BaseException:
                os.close(handle)
                raise
        except BlockingIOError as error:
            raise StoreError(
                f"another server has this store open (`{path}` is locked): "
                "stop it, or name another store"
            ) from error
        except OSError as error:
            reason = os.strerror(error.errno).lower() if error.errno else str(error)
            raise StoreError(
                f"the spool `{path}` cannot be opened ({reason}): "
                f"it needs {limits.SPOOL_BYTES // 2**20} MiB of disk; check space and rights"
            ) from error
        return cls(path, handle, memory)

    def close(self) -> None:
        """Unmap the file and give up the lock. What it holds stays."""
        self.memory.close()
        os.close(self._handle)

    def begin(self, half: int, origin: str, run: int, generation: int, base_us: int) -> None:
        """Start a half anew; its earlier frames end to exist by the new generation."""
        start = HEADER_BYTES + half * HALF_BYTES
        self.memory[start : start + FRAME.size] = bytes(FRAME.size)
        name = origin.encode()[:32].ljust(32, b"\0")
        fields = _HEADER.pack(_MAGIC, name, run, generation, base_us)
        data = fields + zlib.crc32(fields).to_bytes(4, "little")
        place = half * _HEADER_STRIDE
        self.memory[place : place + len(data)] = data

    def leftovers(self) -> list[Leftover]:
        """Return what both halves hold, older first; a half without a whole header is empty."""
        found = [self._leftover(half) for half in (0, 1)]
        return sorted(
            (leftover for leftover in found if leftover is not None),
            key=lambda leftover: leftover.generation,
        )

    def _leftover(self, half: int) -> Leftover | None:
        place = half * _HEADER_STRIDE
        fields = self.memory[place : place + _HEADER.size]
        check = self.memory[place + _HEADER.size : place + _HEADER.size + 4]
        magic, name, run, generation, base_us = _HEADER.unpack(fields)
        if magic != _MAGIC or zlib.crc32(fields).to_bytes(4, "little") != check:
            return None
        return Leftover(
            origin=name.rstrip(b"\0").decode(errors="replace"),
            run=run,
            generation=generation,
            base_us=base_us,
            payloads=tuple(self._frames(half, seed(run, generation))),
        )

    def _frames(self, half: int, seed_: int) -> Iterator[bytes]:
        position = HEADER_BYTES + half * HALF_BYTES
        end = position + HALF_BYTES
        while position + FRAME.size <= end:
            size, check = FRAME.unpack_from(self.memory, position)
            position += FRAME.size
            if size == 0 or position + size > end:
                return
            payload = self.memory[position : position + size]
            if zlib.crc32(payload, seed_) != check:
                return
            yield payload
            position += size


def seed(run: int, generation: int) -> int:
    """Return what the checksums of one generation start from."""
    return zlib.crc32(struct.pack("<QQ", run, generation))
