"""The command line's entry: sets how OpenMP threads wait, then calls `structseq.cli`."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping

_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")

# Iterations of the waiting loop in libgomp (torch's Linux wheels); milliseconds in LLVM's and Intel's (macOS, conda).
_DEFAULTS = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}


def set_threading_defaults(environment: MutableMapping[str, str] = os.environ) -> dict[str, str]:
    """Let idle OpenMP threads sleep soon, unless ``environment`` has such a setting; returns the new variables.

    On a busy machine an idle thread that spins takes the core of a working one. Call this before torch is imported.

    >>> set_threading_defaults({"OMP_WAIT_POLICY": "active"})
    {}
    >>> set_threading_defaults({})["GOMP_SPINCOUNT"]
    '1000'
    """
    if any(name in environment for name in _WAITING):
        return {}
    environment.update(_DEFAULTS)
    return dict(_DEFAULTS)


def main() -> int:
    set_threading_defaults()
    from structseq import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
