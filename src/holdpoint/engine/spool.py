"""The spool of plain reads: a file in memory that survives the death of the process.

Plain reads are too many to be synced one by one. Their entries go into a preallocated, mapped file
(no system call), and the recorder's writer thread turns them into one chained record per group.
What a killed process left in the file is read back at the next start.

Layout: one page of headers, then two halves; while one fills, the other is being written away.
A half begins with its end (8 bytes), followed by JSON values, each with a comma after it. The end
is moved on when a value is whole, so a value that the process died in does not count. Only the
death of the process is of interest: what a power failure does to the file is not, since the order
in which its pages reach the disk is nobody's promise; then the header's checksum or the JSON fails.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from holdpoint.model import limits
from holdpoint.store import StoreError

HEADER_BYTES: Final = 4096
HALF_BYTES: Final = (limits.SPOOL_BYTES - HEADER_BYTES) // 2
END: Final = struct.Struct("@Q")  # where a half ends; native, so that it is one store of 8 bytes
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
        END.pack_into(self.memory, start, start + END.size)
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
            payloads=tuple(self._values(half)),
        )

    def _values(self, half: int) -> list[bytes]:
        start = HEADER_BYTES + half * HALF_BYTES
        (end,) = END.unpack_from(self.memory, start)
        first = start + END.size
        if not first < end <= start + HALF_BYTES:
            return []
        try:
            values = orjson.loads(b"[" + self.memory[first : end - 1] + b"]")
        except orjson.JSONDecodeError:  # a power failure: the pages are of different moments
            return []
        return [orjson.dumps(value) for value in values]
