"""A server in small for the kill tests: records until it is killed. Prints what it was promised.

Each line on standard output is a promise: `seq N` is a record that was durable, `read N` a read
that was logged before it ran.
"""

import asyncio
import sys

from holdpoint.engine.recorder import Recorder
from holdpoint.model.record import Record, RecordKind
from holdpoint.store import Store


def promise(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def session(recorder: Recorder, name: str) -> None:
    while True:
        started = await recorder.write(
            Record(RecordKind.STATEMENT_STARTED, {"session": name, "text": "DELETE FROM t"})
        )
        promise(f"seq {started}")
        number = recorder.read_started(name, "SELECT 1", b"\x00\x01")
        promise(f"read {number}")
        await asyncio.sleep(0)
        recorder.read_finished(number, 1, "")
        finished = await recorder.write(
            Record(RecordKind.STATEMENT_FINISHED, {"session": name, "started": started})
        )
        promise(f"seq {finished}")


async def main() -> None:
    recorder = Recorder(Store.open(sys.argv[1]))
    promise(f"run {await recorder.start()}")
    await asyncio.gather(*(session(recorder, f"s-{number}") for number in range(4)))


asyncio.run(main())
