"""Pool: work in parallel processes, one for each piece of work; on Linux a server that imported torch forks them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from traceback import extract_tb
from types import FrameType
from typing import Any, Literal, Protocol

from structseq.errors import StructseqError
from structseq.run.training_run import Interrupted, stop_on_request

# What the server of processes imports once; torch's optimizers need torch._dynamo, which takes a second and a half.
PRELOADED = ["structseq.experiment.trial", "structseq.structures.kernels", "torch._dynamo"]
STOPPING = (signal.SIGINT, signal.SIGTERM)
# Seconds between two calls of ``tick``
TICK = 0.25
# An answer must fit into the pipe's buffer: maximum number of remarks, and of characters of a reason
REMARKS, REASON = 20, 2000

Status = Literal["done", "failed", "stopped"]
# Status, reason and remarks; the status is empty if the process sent nothing
Answer = tuple[Status | Literal[""], str, tuple[str, ...]]


class Work(Protocol):
    """A picklable piece of work; ``run`` returns warnings for the user."""

    def run(self, *shared: Any) -> list[str]: ...


@dataclass(frozen=True)
class WorkResult:
    """How work ended: "failed" has a ``reason``, "stopped" means on request; ``warnings`` are for the user."""

    work: Any
    status: Status
    reason: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(eq=False)
class _Running:
    work: Any
    process: BaseProcess
    receiver: connection.Connection

    def result(self, *, stopping: bool) -> WorkResult:
        """The answer of the ended process, or else its exit code, as a result."""
        answer: Answer = ("", "", ())
        with suppress(EOFError, OSError):
            if self.receiver.poll():
                answer = self.receiver.recv()
        self.process.join()
        self.receiver.close()
        status, reason, remarks = answer
        if status == "done" or (status == "failed" and not stopping):
            return WorkResult(self.work, status, reason, remarks)
        if stopping:
            return WorkResult(self.work, "stopped")
        return WorkResult(self.work, "failed", _exit_reason(self.process.exitcode or 0))


class Pool:
    """Run at most ``jobs`` processes at once; each calls ``Work.run`` with ``shared``.

    Work fails if its process dies. If the main process dies, the others save and stop.
    """

    def __init__(self, jobs: int, *shared: Any) -> None:
        self.jobs, self.shared = jobs, shared
        self.running: list[_Running] = []
        self.stopping = False

    def run(
        self, work: Sequence[Work], *, tick: Callable[[list[Any]], None] | None = None
    ) -> Generator[WorkResult, None, None]:
        """Yield results as work ends; call ``tick`` regularly with the running work.

        After Ctrl-C or SIGTERM, processes save and stop, then `Interrupted` is raised. A second signal kills them.
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
                    self.stopping = True
                    for running in self.running:
                        running.process.terminate()
                    while self.running:
                        yield from self._ended(TICK)
                    raise Interrupted
            finally:
                for running in self.running:
                    running.process.kill()
                for running in self.running:
                    running.result(stopping=True)
                self.running = []

    def _start(self, work: Any) -> Iterator[WorkResult]:
        """Start a process; yield a failure if that is impossible."""
        context = _context()
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_run_in_process, args=(sender, work, self.shared), daemon=True)
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
        """Results of ended processes; waits at most ``timeout`` seconds for one."""
        connection.wait([running.process.sentinel for running in self.running], timeout)
        ended = [running for running in self.running if not running.process.is_alive()]
        self.running = [running for running in self.running if running not in ended]
        return [running.result(stopping=self.stopping) for running in ended]


def _context() -> ForkServerContext | SpawnContext:
    # On macOS, forking after torch is imported is not safe; Windows has no fork.
    if sys.platform == "linux":
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        return context
    return multiprocessing.get_context("spawn")


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Block SIGINT and SIGTERM, which a process could otherwise receive before it is ready.

    The server of processes inherits the block, so a signal to the whole process group does not end it.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # if it started below, it would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run_in_process(sender: connection.Connection, work: Work, shared: Sequence[Any]) -> None:
    """Main function of a process."""
    remarks: list[str] = []
    _set_up_signals()
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *place, **more: remarks.append(f"warning: {message}")
        answer: Answer
        try:
            remarks += work.run(*shared)
            answer = "done", "", tuple(remarks[:REMARKS])
        except KeyboardInterrupt:
            answer = "stopped", "", ()
        except Exception as problem:
            answer = "failed", reason_of(problem)[:REASON], tuple(remarks[:REMARKS])
    with suppress(OSError):  # the main process has ended
        sender.send(answer)
    sender.close()


def _set_up_signals() -> None:
    """SIGTERM and the end of the parent process stop the work; SIGINT is ignored."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # In its own process group, the process does not receive Ctrl-C from the terminal; the pool passes it on
    if hasattr(os, "setpgid"):
        with suppress(OSError):
            os.setpgid(0, 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    parent = multiprocessing.parent_process()

    def stop_with_parent() -> None:
        assert parent is not None
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    if parent is not None:
        threading.Thread(target=stop_with_parent, daemon=True).start()


def reason_of(problem: Exception) -> str:
    """Why work failed, in one sentence; for unexpected exceptions with the place in the code."""
    if isinstance(problem, StructseqError):
        # Only `train` has --resume
        return str(problem).replace("resume it with --resume", "run the same command again")
    message = str(problem).splitlines()[0] if str(problem) else "no message"
    if isinstance(problem, MemoryError) or "allocate memory" in message or "out of memory" in message:
        return "there is not enough memory; run fewer trials at once with --jobs, or lower encoder.width"
    if isinstance(problem, OSError):
        return f"{problem.filename or 'the file system'}: {problem.strerror or problem}"
    place = extract_tb(problem.__traceback__)[-1]
    return f"{type(problem).__name__} at {Path(place.filename).name}:{place.lineno}: {message}"


def _exit_reason(status: int) -> str:
    if status == 0:
        return "its process was stopped by another program; run the same command again to resume it"
    if status > 0:
        return f"its process ended with status {status} without a message"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    memory = ", as the system does when memory is short: run fewer at once with --jobs" if name == "SIGKILL" else ""
    return f"its process was killed ({name}{memory}); run the same command again to resume it"
