"""Identity: options, seed and data of a run, so that it cannot resume with others."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from structseq.config import Options
from structseq.data.threefile import folder_of, is_threefile
from structseq.errors import DataError
from structseq.run.corpus import CorpusFiles
from structseq.section import flatten
from structseq.training import threads_of

LIBRARIES = ("structseq", "torch", "numpy", "numba")


@dataclass(frozen=True)
class Identity:
    """Everything that the weights of a run depend on.

    ``data`` has path and SHA-256 of each part (train, dev, test, vectors, init). ``threads``, ``versions`` and
    ``machine`` may change only the last bits.
    """

    options: Mapping[str, Any]
    seed: int
    data: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    threads: int = 1
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: str = ""

    @staticmethod
    def of(options: Mapping[str, Any], seed: int, files: Mapping[str, Path], *, threads: int) -> Identity:
        """The identity of a run on this machine; reads all ``files``."""
        data = {part: {"path": str(path), "sha256": digest(path, links=part != "init")} for part, path in files.items()}
        return Identity(options, seed, data, threads, versions(), f"{platform.system()} {platform.machine()}")

    @staticmethod
    def of_run(options: Options, seed: int, files: CorpusFiles, *, init: Path | None = None) -> Identity:
        """The identity of a run, which may start from the model folder ``init``."""
        used = used_files(options, files) | ({"init": init} if init else {})
        return Identity.of(options.to_dict(), seed, used, threads=threads_of(options.training))

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Identity:
        """The inverse of `to_dict`; unknown keys are ignored. Raises `TypeError` for values of another shape."""
        if not isinstance(values, Mapping):
            raise TypeError(f"expected a table, found {values!r}")
        identity = Identity(**{name: values[name] for name in Identity.__dataclass_fields__ if name in values})
        identity._check_types()
        return identity

    def _check_types(self) -> None:
        tables = (self.options, self.data, self.versions)
        whole = all(isinstance(number, int) for number in (self.seed, self.threads))
        if not (whole and isinstance(self.machine, str) and all(isinstance(table, Mapping) for table in tables)):
            raise TypeError("expected other types")
        for part in self.data.values():
            if not (isinstance(part, Mapping) and all(isinstance(part.get(key), str) for key in ("path", "sha256"))):
                raise TypeError("expected a path and its SHA-256")
        try:
            _ = list(flatten(self.options))
        except RecursionError:
            raise TypeError("expected fewer nested tables") from None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def difference(self, original: Identity) -> str | None:
        """The first difference in options, seed or data, as a clause; None if equal."""
        if self.seed != original.seed:
            return f"the seed was {original.seed} and is {self.seed} now"
        old, new = ({n: v for n, v in flatten(identity.options) if v != {}} for identity in (original, self))
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                return f"option {name} was {old.get(name)!r} and is {new.get(name)!r} now"
        for part in dict.fromkeys([*original.data, *self.data]):
            before, after = original.data.get(part), self.data.get(part)
            if before is None or after is None:
                was, is_now = (found["path"] if found else "not given" for found in (before, after))
                return f"the {part} data were {was} and are {is_now} now"
            if before["sha256"] != after["sha256"]:
                had, has = (f"SHA-256 {found['sha256'][:12]}…" for found in (before, after))
                return f"the {part} data differ: {before['path']} had {had}, {after['path']} has {has}"
        return None

    def warnings(self, original: Identity) -> list[str]:
        """Differences that may change the last bits of the weights, one sentence each."""
        changes = [(f"on {original.machine}", f"on {self.machine}")]
        if max(self.threads, original.threads) > 2:  # one thread and two give the same bits
            changes.append((f"with {original.threads} threads", f"with {self.threads} threads"))
        for library in sorted(original.versions.keys() | self.versions.keys()):
            before, after = (each.versions.get(library, "none") for each in (original, self))
            changes.append((f"with {library} {before}", f"with {library} {after}"))
        return [f"the run began {before} and resumes {after}" for before, after in changes if before != after]


def used_files(options: Options, files: CorpusFiles) -> dict[str, Path]:
    """The files of a run by part: train, dev, test, vectors."""
    named = {"train": files.train, "dev": files.dev, "test": files.test, "vectors": options.inputs.words.vectors}
    return {part: Path(path) for part, path in named.items() if path}


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def digest(path: Path, *, links: bool = True) -> str:
    """SHA-256 of a file, or of names and contents of a folder's files, also linked ones; raises `DataError`."""
    path = folder_of(path) if is_threefile(path) else path

    def of_file(file: Path) -> str:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()

    try:
        if not path.is_dir():
            return of_file(path)
        files = sorted(file for file in path.rglob("*") if file.is_file() and (links or not file.is_symlink()))
        names_and_sums = "".join(f"{file.relative_to(path)} {of_file(file)}\n" for file in files)
    except OSError as problem:
        raise DataError(f"cannot be read ({problem.strerror or problem})", file=path) from None
    return hashlib.sha256(names_and_sums.encode("utf-8", "surrogateescape")).hexdigest()
