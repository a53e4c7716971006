"""ExperimentFolder: the output folder of a comparison; a second call resumes only the same experiment.

::

    DIR/experiment.json              the identity that all trials share: options, data
    DIR/.lock                        held by the process that compares
    DIR/trials/NAME-SEED/            a trial: a run folder, then the finished model
    DIR/trials/NAME-SEED/trial.json  its record
    DIR/comparison.json, .csv, report.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from structseq.config import outside_classes
from structseq.errors import TrainingError
from structseq.experiment.plan import Plan
from structseq.experiment.trial import Trial
from structseq.files import LOCK, leftover, lock, sweep, write_file
from structseq.run import Identity
from structseq.storage.entries import json_bytes

FORMAT = 1


class ExperimentFolder:
    """The output folder of a comparison."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def file(self) -> Path:
        return self.path / "experiment.json"

    def check(self) -> None:
        """Raise `TrainingError` for a path that holds something else than a comparison."""
        if not self.path.exists() or self.file.exists():
            return
        if not self.path.is_dir():
            raise TrainingError(f"{self.path}: is a file, not a folder; choose a new or empty folder for --output")
        if not all(map(leftover, self.path.iterdir())):
            raise TrainingError(
                f"{self.path}: holds files that are not a comparison; choose a new or empty folder for --output"
            )

    @contextmanager
    def opened(self, identity: Identity) -> Iterator[None]:
        """Lock the folder for the experiment ``identity``, new or resumed; a folder that stays empty is removed.

        Raises `TrainingError` if the folder holds another experiment, is locked by another process or is not writable.
        """
        made = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with lock(self.path / LOCK, f"{self.path}: another process is comparing into this folder; wait for it"):
                sweep(self.path)
                if not self.file.exists():
                    write_file(self.file, json_bytes({"format": FORMAT, **identity.to_dict()}))
                self._compare(identity)
                (self.path / "trials").mkdir(exist_ok=True)
                try:
                    yield
                finally:
                    with suppress(OSError):
                        (self.path / "trials").rmdir()  # fails if there is a trial
                        self.file.unlink()
        except BrokenPipeError:  # nobody reads the output; the folder is not at fault
            raise
        except OSError as problem:
            raise TrainingError(
                f"{problem.filename or self.path}: cannot be written ({problem.strerror or problem}); "
                "choose a folder that can be written"
            ) from None
        finally:
            if made:
                with suppress(OSError):  # not empty
                    self.path.rmdir()

    def _compare(self, identity: Identity) -> None:
        try:
            begun = Identity.from_dict(json.loads(self.file.read_text(encoding="utf-8")))
        except (ValueError, TypeError, AttributeError):
            raise TrainingError(
                f"{self.file}: does not say how the comparison was begun; choose another --output"
            ) from None
        difference = identity.difference(begun)
        if difference:
            raise TrainingError(
                f"{self.path}: cannot go on with this comparison, because {difference}; "
                "call it as it was begun, or choose another --output"
            )

    def trials(self, plan: Plan, identity: Identity) -> list[Trial]:
        """Every trial of ``plan``; ``identity`` is what they share."""
        trials = []
        for system, seed in plan:
            options = plan.options(system).to_dict()
            path = self.path / "trials" / f"{system.folder}-{seed}"
            own = replace(identity, options=options, seed=seed)
            trusted = tuple(outside_classes(options).values())
            encoder, head = system.encoder.name, system.head.name
            trials.append(Trial(system.name, encoder, head, system.settings, seed, path, options, own, trusted))
        return trials
