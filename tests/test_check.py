"""Check counts a file of any size in one pass."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from structseq.data.annotation.document import Notes
from structseq.data.example import Example
from structseq.data.options import DataOptions
from structseq.spans import summary
from structseq.tasks import contents
from structseq.tasks.contents import Contents, Words, hashes, in_sorted
from structseq.tasks.inspection import compare_files, inspect_file


def lines_of(path: Path, **options: object) -> dict[str, str]:
    """The findings by name."""
    return {line[2:20].strip(): line[21:] for line in inspect_file(path, DataOptions(**options)).lines}


def test_only_the_first_sentences_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, dev = tmp_path / "train.conll", tmp_path / "dev.conll"
    train.write_text("a\tO\n\nb\tO\n\nb\tB-x\n\nc\tO\n\nc\tB-x\n\n")
    dev.write_text("a\tO\n\nc\tO\n\n")
    data = DataOptions()
    found = inspect_file(train, data)
    assert lines_of(train)["repetitions"] == "2 sentences repeat an earlier one"
    line, *_ = compare_files([found, inspect_file(dev, data, found)], data)
    assert f"2 of 2 sentences also occur in {train}" in line
    monkeypatch.setattr(contents, "COMPARED", 3)
    monkeypatch.setattr("structseq.tasks.inspection.COMPARED", 3)
    found = inspect_file(train, data)
    lines = lines_of(train)
    assert lines["repetitions"] == "1 sentence repeats an earlier one, among the first 3"
    assert lines["contradictions"].startswith("1 sentence occurs") and lines["contradictions"].endswith(
        "among the first 3"
    )
    line, *_ = compare_files([found, inspect_file(dev, data, found)], data)
    assert f"1 of 2 sentences also occur in the first 3 of {train}" in line and "0 of 2 tokens" in line


def test_places_are_lines_though_comments_come_between_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    sentence = "# id = 1\na\tO\n# id = 2\nb\u200b\tI-x\n\n"
    path.write_text("a\tB-x\n\n" * 40 + sentence * 7, encoding="utf-8")
    shown = [line.strip() for line in inspect_file(path, DataOptions()).lines if line.startswith("    ")]
    numbers = [80 + 5 * n + 4 for n in range(5)]
    assert [line.split(": ")[0] for line in shown if "opens" in line] == [f"{path}:{n}" for n in numbers]
    assert [line.split(": ")[0] for line in shown if "ZERO WIDTH" in line] == [f"{path}:{n}" for n in numbers]
    assert shown.count("and 2 more") == 2


def test_words_are_counted_across_merges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_RECENT", 50)
    words, chance, expected = Words(), random.Random(0), set[str]()
    for _ in range(30):
        new = {f"w{chance.randrange(600)}" for _ in range(40)}
        words.add(new)
        expected |= new
    assert len(words) == len(expected)
    known = words.sorted()
    assert (np.diff(known) > 0).all()
    asked = [f"w{n}" for n in range(600)]
    assert in_sorted(hashes(asked, 600), known).tolist() == [word in expected for word in asked]
    assert not in_sorted(known, Words().sorted()).any()


def test_memory_does_not_grow_with_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, limits in ((contents, {"COMPARED": 500, "_CHUNK": 5000}), (summary, {"_REMEMBERED": 500})):
        for name, limit in limits.items():
            monkeypatch.setattr(module, name, limit)

    def sentences(count: int) -> Iterator[Example]:
        chance = random.Random(0)
        for number in range(count):
            words = [f"w{chance.randrange(300)}" for _ in range(8)] + [f"a\u200b{number % 9}"]
            tags = [chance.choice(["O", "B-x", "I-x"]) for _ in words]
            yield replace(Example.of(words, tags), source=f"a.conll:{10 * number + 1}")

    peaks = []
    for count in (2000, 8000):
        monkeypatch.setattr(contents, "stream_examples", lambda *_, count=count, **__: sentences(count))
        tracemalloc.start()
        found = Contents.read(Path("a.conll"), DataOptions(), Notes())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert (len(found), found.odd.count, len(found.words)) == (count, count, 309)
    assert peaks[1] < peaks[0] + 100_000
