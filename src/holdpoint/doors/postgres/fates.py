"""What becomes of a client's frame. This module compiles with mypyc."""

from typing import Final

PASS: Final = 0
STOPPED: Final = 1  # it goes through the whole gate
STOPPED_BEFORE: Final = 2  # it must wait for answers that are due, or the session is broken
DROPPED: Final = 3  # refused; a Parse that fails stands in its place
DROPPED_QUERY: Final = 4  # refused; a Query that fails stands in its place
FENCED: Final = 5  # a fence goes first, then the frame is looked at again
IGNORED: Final = 6  # the server would not look at it: it is not forwarded
FLUSHED: Final = 7  # a Flush goes in its place
GUARDED: Final = 8  # forwarded, then nothing more until it is answered
BOUNDED: Final = 9  # an Execute that runs under a bound of rows, before anything else goes on
