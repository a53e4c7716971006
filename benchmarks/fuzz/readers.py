"""Reads damaged and well-formed files of every format, with random options.

Nothing but an error of structseq may be raised; and what is read must have the tokens and tags that an independent
reader finds (columns, CoNLL-U, JSON lines, CSV), or that were written (the others). Case N of a seed is always the same
file; an option `--case N` runs it alone.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import shutil
import sys
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import oracles
from driver import Draw, Fault, Fuzzer
from mutation import changed, json_text, mutated
from pools import Pool, pools
from texts import WELL_FORMED

from structseq.data.example import Example
from structseq.data.formats import FORMATS, read, read_documents, read_verbatim
from structseq.errors import StructseqError

# How often each format is drawn; reading one of the last four takes many times longer
WEIGHTS = dict.fromkeys(FORMATS, 10.0) | {"xmi": 0.4, "spacy": 0.4, "parquet": 1.0, "audio": 0.6}

JSON = ("jsonl", "doccano", "label-studio", "prodigy", "argilla", "audio")

_COLUMNS = (0, 1, 2, 5, -1, -2, -6, 10**20, "token", "tag", "word", "", "1", "ner_tags")
_ENCODINGS = (
    *("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "gb18030", "shift_jis", "utf-7"),
    *(
        "ascii",
        "euc-kr",
        "cp037",
        "idna",
        "punycode",
        "rot13",
        "hex",
        "undefined",
        "raw_unicode_escape",
        "",
        "\0",
        "x y",
    ),
)
# Values that an option may have, wrong ones among them
OPTIONS: Mapping[str, tuple[Any, ...]] = {
    "token_column": _COLUMNS,
    "tag_column": (*_COLUMNS, None),
    "columns": ({"pos": 1}, {"pos": "upos"}, {"pos": "tags"}, {"tokens": 0}, {"": -1}, {"a": "feats:x"}, {"p": 99}, {}),
    "tags": (False, False, True),
    "encoding": _ENCODINGS,
    "separator": ("auto", "tab", "space", "comma"),
    "comments": ("auto", "always", "never", "some"),
    "field": ("upos", "xpos", "feats:Case", "misc:NER", "misc:", "form", "id", "other", 3, 11, -1),
    "labels": ((), ("O", "B-PER", "I-PER"), ("",)),
    "scheme": ("BIO", "IO", "BIOES", "BILOU", "IOE1", "plain", "none"),
    "misaligned": ("error", "expand", "contract", "drop", "other"),
    "overlapping": ("error", "longest", "first", "outermost", "innermost"),
    "fragments": ("error", "hull", "split", "first", "drop"),
    "offsets": ("auto", "codepoint", "utf16", "bytes"),
    "split": ("auto", "lines", "none", "words"),
    "tokenizer": ("words-1", "whitespace-1", "words-9"),
    "layer": ("", "NamedEntity", "NamedEntity.value", ".", "a.b.c", "POS"),
    "sentence_column": ("sentence", "", 0, "tag"),
    "text_column": ("text", "", 1),
    "span_column": ("spans", "entities", ""),
    "symbols": ("characters", "words", "bytes"),
    "audio": ({"rate": 8000}, {"window": 0.01}, {"silence": "_"}),
    "span_key": ("spans", "x"),
    "text_key": ("text", "tokens"),
}


@dataclass
class Reading:
    """One file, or a folder of files under their names, and how it is read."""

    kind: str
    files: Mapping[str, bytes]
    options: Mapping[str, Any]
    format: str
    way: str  # "examples", "verbatim" or "documents"
    place: Path | None  # where the files are written; None: read from a stream
    expected: Iterable[tuple[Any, ...]] | None = None  # of what was written and not damaged
    oracle: bool = False

    def shown(self) -> Mapping[str, Any]:
        data = {name: repr(content[:4000]) for name, content in self.files.items()}
        options = {name: repr(value) for name, value in self.options.items()}
        return {"format": self.format, "way": self.way, "options": options, "stream": self.place is None, "files": data}

    def run(self) -> str:
        try:
            found: list[Any] = list(_READERS[self.way](self._source(), self.format, **self.options))
        except StructseqError as problem:
            str(problem)
            return "refused, well-formed" if self.expected is not None else "refused"
        if self.way == "verbatim":
            return self._same_text(found)
        if self.way == "documents":
            return "read"
        if self.expected is not None:
            self._compare(found, list(self.expected), "what was written")
            return "same as written"
        return self._same_as_oracle(found) if self.oracle else "read"

    def _source(self) -> Any:
        if self.place is None:
            (content,) = self.files.values()
            return io.BytesIO(content)
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir()
        for name, content in self.files.items():
            (self.place / name).write_bytes(content)
        return self.place if len(self.files) > 1 and self.kind != "audio" else self.place / next(iter(self.files))

    def _text(self) -> str:
        (content,) = self.files.values()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        return content.decode(self.options.get("encoding", "utf-8"))

    def _same_text(self, found: list[Any]) -> str:
        text = self._text()
        if self.kind == "jsonl" and text.lstrip("\ufeff \t\r\n")[:1] == "[":  # a list is written as lines
            return "read"
        if "".join(block.text for block in found).removeprefix("\ufeff") != text.removeprefix("\ufeff"):
            raise Fault("the joined texts are not the file")
        return "read, same text"

    def _same_as_oracle(self, found: list[Any]) -> str:
        expected = getattr(oracles, self.kind)(self._text(), self.options)
        if expected is None:
            return "read"
        self._compare(found, expected, "what the oracle reads")
        return "same as oracle"

    def _compare(self, found: list[Example], expected: list[tuple[Any, ...]], what: str) -> None:
        own = [(tuple(each.inputs.get("tokens", ())), tuple(each.targets.get("tags", ()))) for each in found]
        if own != expected:
            pair = next(
                (pair for pair in zip(own, expected, strict=False) if pair[0] != pair[1]), (len(own), len(expected))
            )
            raise Fault(f"other tokens or tags than {what}: {pair!r:.600}")


_READERS = {"examples": read, "verbatim": read_verbatim, "documents": read_documents}


def start(folder: Path) -> Draw:
    return partial(_draw, pools(folder / "pools"), folder / "case", list(WEIGHTS), list(WEIGHTS.values()))


def _draw(
    known: Mapping[str, Pool], place: Path, names: list[str], weights: list[float], chance: random.Random
) -> Reading:
    kind = chance.choices(names, weights)[0]
    format = "auto" if chance.random() < 0.15 else kind
    if kind in WELL_FORMED and chance.random() < 0.6:
        return _written_here(kind, format, chance)
    files, expected = known[kind].draw(chance)
    if chance.random() < 0.1 and format == kind:
        return Reading(kind, files, {}, kind, "examples", _place(files, place, chance), expected)
    other = known[chance.choice(names)].draw(chance)[0] if chance.random() < 0.2 else known[kind].draw(chance)[0]
    files = _damaged(kind, files, chance.choice(list(other.values())), chance)
    options, way = _options(chance), "examples"
    if FORMATS[kind].documents and chance.random() < 0.3:
        way = "documents"
    elif FORMATS[kind].verbatim and chance.random() < 0.3:
        way, options = "verbatim", {}
    return Reading(kind, files, options, format if way == "examples" else kind, way, _place(files, place, chance))


def _written_here(kind: str, format: str, chance: random.Random) -> Reading:
    """A file whose oracle can be asked: well-formed, or damaged a little."""
    text, options = WELL_FORMED[kind](chance)
    encoding = chance.choice(("utf-8",) * 8 + ("utf-16", "gb18030", "utf-32", "utf-8-sig"))
    if encoding != "utf-8" and not text.startswith("\ufeff"):
        options["encoding"] = encoding
    data = text.encode(options.get("encoding", "utf-8"))
    if chance.random() < 0.5:
        other, _ = WELL_FORMED[kind](chance)
        data = mutated(data, chance, other.encode())
    if chance.random() < 0.03:
        data = gzip.compress(data, mtime=0)
    return Reading(
        kind, {f"case.{kind}": data}, options, kind if options else format, "examples", None, oracle=format == kind
    )


def _place(files: Mapping[str, bytes], place: Path, chance: random.Random) -> Path | None:
    return place if len(files) > 1 or next(iter(files)).endswith(".ann") or chance.random() < 0.05 else None


def _options(chance: random.Random) -> dict[str, Any]:
    names = chance.sample(list(OPTIONS), chance.choice((0, 0, 1, 1, 2, 4)))
    return {name: chance.choice(OPTIONS[name]) for name in names if name != "tags" or chance.random() < 0.5}


def _damaged(kind: str, files: Mapping[str, bytes], other: bytes, chance: random.Random) -> dict[str, bytes]:
    at = chance.choice(list(files))
    data = files[at]
    act = chance.random()
    if act < 0.0003:
        data = _large(data, chance)
    elif kind in JSON and at[-4:] != ".wav" and act < 0.6:
        data = _damaged_json(data, chance)
    elif kind == "spacy" and act < 0.8:
        data = zlib.compress(mutated(zlib.decompress(data), chance, other))
    elif act < 0.98:
        data = mutated(data, chance, other)
    else:
        data = mutated(gzip.compress(data, mtime=0), chance, other)
    return {**files, at: data}


def _damaged_json(data: bytes, chance: random.Random) -> bytes:
    """A value of a record changed, or a record repeated."""
    try:
        whole = json.loads(data)
        records, listed = (whole, True) if isinstance(whole, list) else ([whole], False)
    except ValueError:
        records, listed = [json.loads(line) for line in data.splitlines() if line.strip()], False
    for _ in range(chance.choice((1, 1, 2, 4))):
        records = changed(records, chance)
        if not isinstance(records, list):
            return json_text(records, chance)
    if listed or chance.random() < 0.1:
        return json_text(records, chance)
    return b"\n".join(json_text(record, chance) for record in records) + b"\n"


def _large(data: bytes, chance: random.Random) -> bytes:
    """A file that is long in one direction."""
    size = chance.choice((100_000, 3_000_000))
    made = chance.choice(
        (b"[" * size, b'{"a":' * size, b"a" * size, b"\n" * size, b"a\tO\n" * (size // 4), b"\t" * size)
    )
    if chance.random() < 0.3:
        return gzip.compress(bytes(100_000_000), 1, mtime=0)
    return data + made if chance.random() < 0.5 else made


FUZZER = Fuzzer(__doc__ or "", 1_000_000, 5000, start)

if __name__ == "__main__":
    sys.exit(FUZZER.main())
