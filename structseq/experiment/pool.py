"""Pool: trials in processes of their own, as many at once as there are cores; a process that dies is told of.

A process is started afresh (spawn), works on one trial and ends. It leaves the terminal's group of processes, so that
Ctrl-C reaches the command alone, which passes it on once; and it stops politely when the command has gone.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from traceback import extract_tb
from types import FrameType
from typing import Any, Literal, Protocol

from structseq.errors import StructseqError
from structseq.run.training_run import Interrupted, stop_on_request

# Seconds between two looks at how far the running trials are
TICK = 0.25
# What a process says at most: it must fit into a pipe that nobody reads before the process has ended
REMARKS, REASON = 20, 2000

Status = Literal["done", "failed", "stopped"]


class Work(Protocol):
    """What a pool works on: plain values that another process can be told."""

    def run(self, *shared: Any) -> list[str]:
        """Do it; remarks worth telling."""
        ...


@dataclass(frozen=True)
class WorkResult:
    """How one piece of work ended.

    Attributes
    ----------
    work:
        It.
    status:
        "failed" with a ``reason``; "stopped" when somebody asked for it.
    remarks:
        Worth telling, a sentence each.
    """

    work: Any
    status: Status
    reason: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(eq=False)
class _Running:
    work: Any
    process: SpawnProcess
    receiver: connection.Connection

    def ended(self, *, wanted: bool) -> WorkResult:
        """What it said before it ended, or what can be told from how; ``wanted``: whether it was asked to stop."""
        said: tuple[Status, str, tuple[str, ...]] | None = None
        with suppress(EOFError, OSError):
            if self.receiver.poll():
                said = self.receiver.recv()
        self.process.join()
        self.receiver.close()
        if said is not None and said[0] == "done":
            return WorkResult(self.work, *said)
        if wanted:
            return WorkResult(self.work, "stopped")
        if said is not None and said[0] == "failed":
            return WorkResult(self.work, *said)
        return WorkResult(self.work, "failed", _died(self.process.exitcode or 0))


class Pool:
    """Work in so many processes at once.

    Parameters
    ----------
    jobs:
        At least 1.
    shared:
        What every ``Work.run`` is called with.
    """

    def __init__(self, jobs: int, *shared: Any) -> None:
        self.jobs, self.shared = jobs, shared
        self.running: list[_Running] = []
        self.stopping = False

    def run(
        self, work: Sequence[Work], *, tick: Callable[[list[Any]], None] | None = None
    ) -> Generator[WorkResult, None, None]:
        """Yield how each piece of work ended, as it ends; ``tick`` is called now and then with what is running.

        Ctrl-C and SIGTERM stop all processes politely, each saving what it has; then `Interrupted` is raised. A second
        one ends them at once.
        """
        waiting = list(work)
        with stop_on_request() as request:
            try:
                while (waiting or self.running) and not request.stop:
                    while waiting and len(self.running) < self.jobs and not request.stop:
                        yield from self._start(waiting.pop(0))
                    if tick:
                        tick([running.work for running in self.running])
                    yield from self._ended(TICK)
                if request.stop:
                    yield from self._stop()
                    raise Interrupted
            finally:
                self._kill()

    def _start(self, work: Any) -> Iterator[WorkResult]:
        """Start a process for it; where the system gives none, the work has failed."""
        context = multiprocessing.get_context("spawn")
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(sender, work, self.shared), daemon=True)
        try:
            with _without_interrupts():
                process.start()
        except OSError as problem:
            yield WorkResult(work, "failed", f"no process could be started for it ({problem.strerror or problem})")
        else:
            self.running.append(_Running(work, process, receiver))
        finally:
            sender.close()

    def _ended(self, timeout: float) -> list[WorkResult]:
        """Those that have ended, waiting for one no longer than ``timeout`` seconds."""
        connection.wait([running.process.sentinel for running in self.running], timeout)
        over = [running for running in self.running if not running.process.is_alive()]
        self.running = [running for running in self.running if running not in over]
        return [running.ended(wanted=self.stopping) for running in over]

    def _stop(self) -> Iterator[WorkResult]:
        """Ask every process to save and stop, and wait for them."""
        self.stopping = True
        for running in self.running:
            running.process.terminate()
        while self.running:
            yield from self._ended(TICK)

    def _kill(self) -> None:
        for running in self.running:
            running.process.kill()
        for running in self.running:
            running.ended(wanted=True)
        self.running = []


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Within the block Ctrl-C waits; a process started in it never sees one that came before it was ready."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # or it would be started within, and let signals through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(sender: connection.Connection, work: Work, shared: Sequence[Any]) -> None:
    """What a process does: the work, and one word of how it went."""
    remarks: list[str] = []
    _settle()
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *place, **more: remarks.append(f"warning: {message}")
        said: tuple[Status, str, tuple[str, ...]]
        try:
            remarks += work.run(*shared)
            said = "done", "", tuple(remarks[:REMARKS])
        except KeyboardInterrupt:
            said = "stopped", "", ()
        except Exception as problem:
            said = "failed", reason_of(problem)[:REASON], tuple(remarks[:REMARKS])
    with suppress(OSError):  # nobody listens any more
        sender.send(said)
    sender.close()


def _settle() -> None:
    """Signals as a process of a pool wants them, and an eye on the command that started it."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgid"):
        with suppress(OSError):
            os.setpgid(0, 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    parent = multiprocessing.parent_process()

    def follow() -> None:
        assert parent is not None
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    if parent is not None:
        threading.Thread(target=follow, daemon=True).start()


def reason_of(problem: Exception) -> str:
    """Why work failed, as a sentence; a fault that is nobody's but ours with its place in the code."""
    if isinstance(problem, StructseqError):
        # A run's own advice; a comparison has no such option.
        return str(problem).replace("go on with --resume", "give the same command again")
    told = str(problem).splitlines()[0] if str(problem) else "no more was said"
    if isinstance(problem, MemoryError) or "allocate memory" in told or "out of memory" in told:
        return "there is not enough memory; run fewer trials at once with --jobs, or lower encoder.width"
    if isinstance(problem, OSError):
        return f"{problem.filename or 'the file system'}: {problem.strerror or problem}"
    place = extract_tb(problem.__traceback__)[-1]
    return f"{type(problem).__name__} at {Path(place.filename).name}:{place.lineno}: {told}"


def _died(status: int) -> str:
    """Why a process ended without a word."""
    if status == 0:
        return "its process was asked to stop by somebody else; the same command goes on with it"
    if status > 0:
        return f"its process ended with status {status} and said nothing"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    memory = ", as the system does when memory is short: run fewer at once with --jobs" if name == "SIGKILL" else ""
    return f"its process was killed ({name}{memory}); the same command goes on with it"
