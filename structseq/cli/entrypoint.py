"""The way out of every command: errors as one sentence on standard error, and the exit status."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, TextIO

import typer

from structseq.cli.arguments import CommandLineError, NobodyReads, Stopped
from structseq.data.textfile import one_line
from structseq.errors import StructseqError

BAD_INPUT, INTERRUPTED, NOBODY_READS = 2, 130, 141


def run_safely(app: typer.Typer, arguments: list[str] | None = None) -> int:
    """Run the command that ``arguments`` name (None: the process's own); the exit status.

    An exception that is nobody's mistake but ours passes through.
    """
    _settle_streams()
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        return _run(app, sys.argv[1:] if arguments is None else arguments)


def _run(app: typer.Typer, given: Sequence[str]) -> int:
    command = typer.main.get_command(app)
    try:
        status = command.main(args=list(given), prog_name="structseq", standalone_mode=False, obj=tuple(given))
        sys.stdout.flush()
    except StructseqError as problem:
        return _refuse(str(problem))
    except CommandLineError as problem:
        return _refuse(_usage(problem))
    except (Stopped, KeyboardInterrupt, typer.Abort) as stop:
        remark(str(stop) or "stopped; nothing was written")
        return INTERRUPTED
    except (NobodyReads, BrokenPipeError):
        # What is still buffered goes nowhere, so that nothing complains when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS
    except MemoryError:
        return _refuse("there is not enough memory; take less data, or lower encoder.width and training.batch_tokens")
    except OSError as problem:
        return _refuse(_told(problem))
    except RuntimeError as problem:
        if not _out_of_memory(problem):
            raise
        return _refuse("there is not enough memory for this model; lower encoder.width or training.batch_tokens")
    return status if isinstance(status, int) else 0


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    remark(f"warning: {message}")


def remark(message: str) -> None:
    """One line on standard error."""
    print(one_line(message), file=sys.stderr, flush=True)


def _refuse(message: str) -> int:
    remark(f"error: {message}")
    return BAD_INPUT


def _usage(problem: Any) -> str:
    """Typer's complaint as one of our sentences."""
    message = problem.format_message()
    near = getattr(problem, "possibilities", None)
    if getattr(problem, "option_name", None) and message.startswith("No such option"):
        hint = f"did you mean {near[0]}?" if near else "--help shows the known ones"
        return f"unknown option {problem.option_name}; {hint}"
    context = getattr(problem, "ctx", None)
    where = f" ({context.command_path} --help shows how)" if context is not None else ""
    return f"{message[:1].lower()}{message[1:].rstrip('.')}{where}"


def _told(problem: OSError) -> str:
    if problem.errno == errno.ENOSPC:
        return f"{problem.filename or 'the output'}: cannot be written, the disk is full; free some space"
    return f"{problem.filename or 'the file system'}: {problem.strerror or problem}"


def _out_of_memory(problem: RuntimeError) -> bool:
    return "allocate memory" in str(problem) or "out of memory" in str(problem)


def _settle_streams() -> None:
    """UTF-8 out, whatever the locale; what it cannot hold (half a surrogate pair) is escaped, never a failure."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="backslashreplace")
