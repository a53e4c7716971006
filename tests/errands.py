"""Errands: small pieces of work for a pool of processes, in a module that those processes can import."""

from __future__ import annotations

import os
import signal
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

from structseq.errors import ConfigError


@dataclass(frozen=True)
class Errand:
    """``what`` to do: its process writes its number into ``file`` first."""

    what: str
    file: Path

    def run(self, *shared: str) -> list[str]:
        self.file.write_text(f"{os.getpid()} {os.getpgid(0)}")
        if self.what == "fails":
            raise ConfigError(f"{shared[0]} was wrong")
        if self.what == "breaks":
            raise ZeroDivisionError("a fault\nof many lines")
        if self.what == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "waits":
            try:
                time.sleep(60)
            finally:
                self.file.with_suffix(".saved").write_text("saved")
        warnings.warn("a warning", UserWarning, stacklevel=1)
        return [f"{shared[0]} was used"]
