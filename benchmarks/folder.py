"""A folder of CoNLL data, train.conll, dev.conll and test.conll: what every benchmark measures on."""

from __future__ import annotations

import hashlib
from pathlib import Path

from structseq.data.reading import Corpus
from structseq.errors import DataError

PARTS = ("train", "dev", "test")


def files(folder: Path) -> dict[str, Path]:
    """The three files by part; raises `DataError` where one is missing."""
    paths = {part: folder / f"{part}.conll" for part in PARTS}
    for path in paths.values():
        if not path.is_file():
            raise DataError(f"expected train.conll, dev.conll and test.conll, found no {path.name}", file=folder)
    return paths


def read_folder(folder: Path, *, sentences: int | None = None) -> Corpus:
    """The folder's corpus, empty sentences left out; of each part the first ``sentences`` where a number is given."""
    paths = files(folder)
    whole = Corpus.read(*(paths[part] for part in PARTS))
    parts = [[example for example in part if len(example)] for part in (whole.train, whole.dev, whole.test)]
    return Corpus(*(tuple(part[:sentences]) for part in parts))


def fingerprint(folder: Path) -> str:
    """A short hash of the three files, so that results are never mixed with those of other data."""
    digest = hashlib.sha256()
    for path in files(folder).values():
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
