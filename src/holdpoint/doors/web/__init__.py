"""The web door: where people see holds and answer them. It never touches the gate."""

from holdpoint.doors.web.app import close_streams, create_web
from holdpoint.doors.web.door import WebSettings

__all__ = ["WebSettings", "close_streams", "create_web"]
