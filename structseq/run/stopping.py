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
class Wish:
    """Whether somebody wants training to stop."""

    stop: bool = False


@contextmanager
def stopping_politely() -> Iterator[Wish]:
    """Within the block SIGINT and SIGTERM set `Wish.stop`; a second one interrupts at once.

    Outside the main thread, where Python takes no signals, the wish is never set.
    """
    wish = Wish()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return

    def note(number: int, frame: FrameType | None) -> None:
        if wish.stop:
            raise Interrupted
        wish.stop = True

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
