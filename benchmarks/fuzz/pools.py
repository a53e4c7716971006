"""Valid files of every format, made once by structseq's writers, with what was written."""

from __future__ import annotations

import random
import shutil
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import texts

from structseq.data.annotation.document import Annotation, Document
from structseq.data.example import Example
from structseq.data.formats import FORMATS, write, write_documents
from structseq.errors import StructseqError

FILES = 24  # of each format

Sentences = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
Entry = tuple[dict[str, bytes], Sentences | None]

# As INCEpTION writes it: stacked spans, a part of a token, a relation
_NE = "de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity"
_WEBANNO = f"""#FORMAT=WebAnno TSV 3.3
#T_SP={_NE}|identifier|value
#T_RL=webanno.custom.Knows|since|value|BT_{_NE}


#Text=Ms. Haag \U0001f60a plays\\tElianti.
1-1\t0-3\tMs.\t*[1]|Q5[2]\tPER[1]|PERpart[2]\t_\t_\t_\t
1-2\t4-8\tHaag\t*[1]\tPER[1]\t_\t_\t_\t
1-3\t9-11\t\U0001f60a\t_\t_\t_\t_\t_\t
1-4\t12-17\tplays\t_\t_\t_\t_\t_\t
1-4.1\t12-16\tplay\t*\tACT\\_1\\[2\\]\t2000|*\tfan|*\t1-1[1_0]|1-1[2_0]\t
1-5\t18-25\tElianti\t*\t*\t_\t_\t_\t
1-6\t25-26\t.\t_\t_\t_\t_\t_\t
"""
_BRAT = (
    "T1\tPER 0 2;3 5\tMs Ha\nT2\tORG 8 10\t台北\nR1\tKnows Arg1:T1 Arg2:T2\nE1\tPER:T1 a:T2\nA1\tNeg T1\n"
    "#1\tAnnotatorNotes T1\tsure\n*\tEquiv T1 T2\nN1\tReference T1 W:1\tx\n"
)
_LABEL_STUDIO = (
    '[{"id": 1, "data": {"text": "Ms Haag"}, "annotations": [{"result": [{"id": "a", "type": "labels", "from_name": '
    '"label", "to_name": "text", "value": {"start": 0, "end": 2, "text": "Ms", "labels": ["PER"]}}]}], '
    '"predictions": [{"model_version": "m", "score": 0.5, "result": []}]}]'
)
_OTHERS: Mapping[str, Sequence[dict[str, bytes]]] = {
    "webanno": [{"a.tsv": _WEBANNO.encode()}],
    "brat": [{"a.ann": _BRAT.encode(), "a.txt": "Ms Haag\n台北 \U0001f60a\n".encode()}],
    "label-studio": [{"a.json": _LABEL_STUDIO.encode()}],
    "jsonl": [{"a.jsonl": b'{"text": "to Taipei", "spans": [[3, 9, "city"]], "label": "x"}\n'}],
    "labelled": [{"a.tsv": b"intent\ttext\nbook\tto Taipei\n"}, {"a.tsv": b"book\tto Taipei\nask\t\n"}],
    "csv": [{"a.csv": b'text,spans,id\n"to Taipei","[[3, 9, ""city""]]",1\n'}],
}


@dataclass(frozen=True)
class Pool:
    entries: Sequence[Entry]

    def draw(self, chance: random.Random) -> Entry:
        return chance.choice(self.entries)


def pools(folder: Path) -> dict[str, Pool]:
    """A pool for each format; always the same."""
    made = {}
    for name in FORMATS:
        chance = random.Random(name)
        entries: list[Entry] = [(files, None) for files in _OTHERS.get(name, ())]
        tries = 0
        while len(entries) < FILES and tries < 50 * FILES:
            tries += 1
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            try:
                entries.append(_entry(name, folder, chance))
            except StructseqError:  # the format cannot hold what was drawn
                continue
        made[name] = Pool(entries)
    return made


def _entry(name: str, folder: Path, chance: random.Random) -> Entry:
    if name == "audio":
        return _recording(chance), None
    drawn = texts.sentences(chance, odd=chance.choice((0, 0, 0.02, 0.2)))
    if name in ("labelled", "pairs", "text"):
        return _lines(name, drawn), None
    several = name in ("threefile", "brat")
    target = folder / ("files" if several else f"file{next(iter(FORMATS[name].extensions), '')}")
    if name == "brat":
        target.mkdir()
    if FORMATS[name].documents and chance.random() < 0.3:
        write_documents(target, [_document(chance)], name, lossy=True)
        return _content(target), None
    write(target, [Example.of(tokens, tags) for tokens, tags in drawn], name)
    return _content(target), tuple(drawn)


def _content(target: Path) -> dict[str, bytes]:
    """The files, among them those that a writer puts beside its target."""
    folder = target if target.is_dir() else target.parent
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _document(chance: random.Random) -> Document:
    """A text with one or two annotations of whole tokens."""
    tokens = [token for token in texts.sentence(chance, odd=0)[0] if token.isalpha()] or ["Taipei"]
    text, first = " ".join(tokens), len(tokens[0])
    spans = [Annotation("city", ((0, first),), "1")]
    if len(tokens) > 1:
        spans.append(Annotation("day", ((first + 1, len(text)),), "2", {"sure": "yes"}))
    return Document(text, tuple(spans), labels=("book",), metadata={"id": "a"})


def _lines(name: str, drawn: Sequence[tuple[tuple[str, ...], tuple[str, ...]]]) -> dict[str, bytes]:
    rows = [(" ".join(tags), " ".join(tokens).replace("\t", " ")) for tokens, tags in drawn]
    if name == "text":
        return {"a.txt": "".join(f"{text}\n" for _, text in rows).encode()}
    head = "label\ttext\n" if name == "labelled" else "source\ttarget\n"
    return {"a.tsv": (head + "".join(f"{one}\t{other}\n" for one, other in rows)).encode()}


def _recording(chance: random.Random) -> dict[str, bytes]:
    """A list of one recording, and the recording: 0.1 s of noise."""
    samples = struct.pack("<800h", *[chance.randrange(-3000, 3000) for _ in range(800)])
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + 1600, b"WAVE", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16, b"data", 1600
    )
    listed = b'{"audio": "a.wav", "text": "7 3", "segments": [[0.01, 0.04, "7"], [0.05, 0.09, "3"]]}\n'
    return {"a.jsonl": listed, "a.wav": head + samples}
