"""Stopping on request: Ctrl-C and a polite kill are noted, so that the update under way is finished and saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """Training was stopped by Ctrl-C or SIGTERM after an update; in a folder, everything is saved."""


@dataclass
class StopRequest:
    """Whether somebody wants training to stop."""

    stop: bool = False


@contextmanager
def stop_on_request() -> Iterator[StopRequest]:
    """Within the block SIGINT and SIGTERM set `StopRequest.stop`; a second one interrupts at once.

    Outside the main thread, where Python takes no signals, the request is never set.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, frame: FrameType | None) -> None:
        if request.stop:
            raise Interrupted
        request.stop = True

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
