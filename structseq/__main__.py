"""The command line's door: settings that must stand before torch is loaded, then `structseq.cli`.

How long an idle OpenMP thread spins before it sleeps is read from the environment once, when torch loads its OpenMP
library. Spinning is cheap on a quiet machine and ruinous on a busy one, where the spinning thread holds the very core
that the working one waits for. Programs that only ``import structseq`` keep their own settings.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping

# The user's word on waiting, in any OpenMP library: where one of these is set, nothing is added.
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")

# libgomp (torch's Linux wheels) counts turns of the waiting loop; LLVM's and Intel's (macOS, conda) milliseconds.
_DEFAULTS = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}


def set_threading_defaults(environment: MutableMapping[str, str] = os.environ) -> dict[str, str]:
    """Let idle OpenMP threads sleep soon, unless the user has said how they should wait.

    Must run before torch is imported; returns what was set.

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
    """Run the command line; the exit status."""
    set_threading_defaults()
    from structseq import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
