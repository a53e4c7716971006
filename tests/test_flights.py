"""The shipped flights corpus: made anew to the byte, and what its README promises, counted from the files."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from scripts import imported, run_main

from structseq.data.columns import read_columns
from structseq.data.example import Example
from structseq.data.tokenizer import tokenize
from structseq.evaluation import entity_f1
from structseq.spans import scheme_of

FOLDER = Path(__file__).resolve().parent.parent / "corpora" / "flights"
LANGUAGES = ("en", "zh")
SPLITS = {"train": 4000, "dev": 500, "test": 1000}
DEMO = {
    "en": ("arrive Taipei on November 2nd", "leave Taipei on November 2nd"),
    "zh": ("十一月二號抵達台北", "十一月二號離開台北"),
}
SLOTS = {
    "departure", "destination", "via", "departure_date", "arrival_date", "return_date", "departure_time",
    "arrival_time", "return_time", "airline", "class", "passengers", "flight_number", "price",
}  # fmt: skip


Generate = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def generate() -> Iterator[Generate]:
    """The generator's command. It draws and counts the corpus of a seed only once."""
    with imported(FOLDER / "generate.py") as module, pytest.MonkeyPatch.context() as patch:
        tables: dict[tuple[int, ...], str] = {}

        def statistics(corpora: dict[str, Any], count: Callable[..., str] = module.statistics) -> str:
            drawn = tuple(map(id, corpora.values()))
            if drawn not in tables:
                tables[drawn] = count(corpora)
            return tables[drawn]

        patch.setattr(module, "corpus", cache(module.corpus))
        patch.setattr(module, "statistics", statistics)
        yield partial(run_main, module)


@cache
def split(language: str, name: str) -> tuple[Example, ...]:
    return tuple(read_columns(FOLDER / language / f"{name}.conll"))


@cache
def values(language: str, name: str) -> tuple[tuple[str, str], ...]:
    """Every slot value of a split as (slot, text in lower case)."""
    bio = scheme_of("BIO")
    return tuple(
        (span.label, " ".join(example.tokens[span.start : span.end]).lower())
        for example in split(language, name)
        for span in bio.decode(example.tags)
    )


def templates(language: str, name: str) -> set[str]:
    return {example.metadata["template"] for example in split(language, name)}


def everything(language: str) -> Iterator[Example]:
    for name in SPLITS:
        yield from split(language, name)


def unseen(language: str, name: str) -> float:
    """The share of a split's distinct slot values that training does not have."""
    distinct = set(values(language, name))
    return len(distinct - set(values(language, "train"))) / len(distinct)


@pytest.fixture(scope="module")
def made(generate: Generate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus made anew; Python hashes strings in another order in each process."""
    folder = tmp_path_factory.mktemp("flights")
    result = generate("--output", str(folder))
    assert result.returncode == 0, result.stderr
    return folder


def test_the_same_seed_gives_the_same_bytes(made: Path) -> None:
    names = sorted(str(path.relative_to(made)) for path in made.rglob("*") if path.is_file())
    assert names == sorted(["SHA256SUMS", *(f"{code}/{name}.conll" for code in LANGUAGES for name in SPLITS)])
    for name in names:
        assert (made / name).read_bytes() == (FOLDER / name).read_bytes(), name


def test_the_sums_are_those_of_the_files() -> None:
    lines = (FOLDER / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    assert len(lines) == len(LANGUAGES) * len(SPLITS)
    for line in lines:
        digest, name = line.split("  ")
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest, name


def test_check_finds_what_differs(generate: Generate, made: Path, tmp_path: Path) -> None:
    assert generate("--check").returncode == 0
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    (copy / "en" / "dev.conll").unlink()
    with (copy / "zh" / "test.conll").open("a", encoding="utf-8") as file:
        file.write("\n")
    result = generate("--check", "--output", str(copy))
    assert result.returncode == 1
    assert "en/dev.conll is missing" in result.stderr
    assert "zh/test.conll differs" in result.stderr
    assert len(result.stderr.splitlines()) == 2


def test_writing_keeps_the_rest_of_a_readme(generate: Generate, tmp_path: Path) -> None:
    words = (FOLDER / "README.md").read_text(encoding="utf-8")
    head, tail = words.split("<!-- statistics -->\n\n")[0], words.split("\n<!-- end of statistics -->")[1]
    (tmp_path / "README.md").write_text(
        f"{head}<!-- statistics -->\n\nold\n<!-- end of statistics -->{tail}", encoding="utf-8"
    )
    assert "README.md differ" in generate("--check", "--output", str(tmp_path)).stderr
    assert generate("--output", str(tmp_path)).returncode == 0
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == words
    assert "## Licence" in tail


def test_another_seed_gives_another_corpus(generate: Generate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules["splits"].SIZES, "train", 400)  # the first of all that would be drawn
    assert generate("--output", str(tmp_path), "--seed", "8").returncode == 0
    for code in LANGUAGES:
        drawn = (tmp_path / code / "train.conll").read_bytes()
        assert drawn.count(b"\n\n") == 400 and not (FOLDER / code / "train.conll").read_bytes().startswith(drawn)


def test_the_readme_has_the_statistics_and_the_readers_counts_agree(generate: Generate) -> None:
    tables = generate("--statistics").stdout
    assert tables in (FOLDER / "README.md").read_text(encoding="utf-8")
    for code in LANGUAGES:
        for name in SPLITS:
            tokens = sum(map(len, split(code, name)))
            found = values(code, name)
            row = next(line for line in tables.splitlines() if line.startswith(f"| {code}/{name} | {SPLITS[name]:,}"))
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            assert (cells[2], cells[5], cells[6], cells[7]) == (
                f"{tokens:,}", f"{len(found):,}", f"{len(set(found)):,}", str(len(templates(code, name)))
            )  # fmt: skip
    for code in LANGUAGES:
        for name in ("dev", "test"):
            assert f"| {code}/{name} | {100 * unseen(code, name):.1f} % |" in tables


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_commonest_tag_does_poorly_and_as_the_readme_says(code: str) -> None:
    counts: dict[str, Counter[str]] = {}
    for example in split(code, "train"):
        for token, tag in zip(example.tokens, example.tags, strict=True):
            counts.setdefault(token.lower(), Counter())[tag] += 1
    commonest = {token: max(counter, key=lambda tag: (counter[tag], tag)) for token, counter in counts.items()}
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in ("dev", "test"):
        gold = [example.tags for example in split(code, name)]
        guess = [tuple(commonest.get(token.lower(), "O") for token in example.tokens) for example in split(code, name)]
        score = entity_f1(gold, guess, scheme_of("BIO"))
        assert score < 0.5
        assert f"| {code}/{name} | {100 * score:.1f} |" in readme


@pytest.mark.parametrize("code", LANGUAGES)
def test_sizes_tags_and_metadata(code: str) -> None:
    bio = scheme_of("BIO")
    assert {name: len(split(code, name)) for name in SPLITS} == SPLITS
    for example in everything(code):
        assert len(example) > 0 and not bio.violations(example.tags), example.source
        assert set(example.metadata) == {"template", "intent"}, example.source
        assert re.fullmatch(rf"{re.escape(example.metadata['intent'])}-\d\d", example.metadata["template"])
    for name in SPLITS:
        assert {slot for slot, _ in values(code, name)} == SLOTS


@pytest.mark.parametrize("code", LANGUAGES)
def test_no_sentence_occurs_twice(code: str) -> None:
    keys = [" ".join(example.tokens).lower() for example in everything(code)]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_third_of_the_values_and_a_quarter_of_the_templates_are_new_in_test(code: str) -> None:
    known = set(values(code, "train"))
    found = values(code, "test")
    assert unseen(code, "test") >= 1 / 3
    assert sum(value not in known for value in found) >= len(found) / 3
    new = templates(code, "test") - templates(code, "train")
    assert len(new) >= len(templates(code, "test")) / 4
    assert sum(example.metadata["template"] in new for example in split(code, "test")) >= SPLITS["test"] / 4
    for slot in SLOTS - {"class", "airline"}:
        distinct = {value for value in found if value[0] == slot}
        assert len(distinct - known) >= len(distinct) / 3, slot


@pytest.mark.parametrize("code", LANGUAGES)
def test_dev_is_new_in_the_same_way_and_shares_nothing_new_with_test(code: str) -> None:
    assert unseen(code, "dev") >= 1 / 3
    train, dev, test = (templates(code, name) for name in SPLITS)
    assert len(dev - train) >= len(dev) / 6
    assert not (dev - train) & (test - train)
    # Cities and airlines are many and drawn often, so a new one in both would be one from a pool of their own.
    places = {"departure", "destination", "via", "airline"}
    known = {text for slot, text in values(code, "train") if slot in places}
    new = [{text for slot, text in values(code, name) if slot in places} - known for name in ("dev", "test")]
    assert new[0] and new[1] and not new[0] & new[1]


@pytest.mark.parametrize("code", LANGUAGES)
def test_no_sentence_gives_the_demo_away(code: str) -> None:
    gap = " " if code == "en" else ""
    city = "taipei" if code == "en" else "台北"
    day = (
        re.compile(r"\bnov(?:ember)? (?:2|2nd|second)\b|\b(?:2nd|second) of november\b|\b11/2\b")
        if code == "en"
        else re.compile(r"(?<!\d)11(?:月|/)2(?!\d)|十一月二(?!十)")
    )
    assert all(day.search(sentence.lower()) and city in sentence.lower() for sentence in DEMO[code])
    cities = days = 0
    for example in everything(code):
        text = gap.join(example.tokens).lower()
        cities += city in text
        days += bool(day.search(text))
        assert not (city in text and day.search(text)), example.source
    assert cities > 100 and days > 0


@pytest.mark.parametrize("code", LANGUAGES)
def test_training_knows_the_demos_words_in_both_roles(code: str) -> None:
    city, day = ("taipei", "november 2nd") if code == "en" else ("台 北", "十 一 月 二 號")
    known = set(values(code, "train"))
    assert {(slot, city) for slot in ("departure", "destination", "via")} <= known
    assert day in {text for _, text in known}


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_same_words_fill_many_slots(code: str) -> None:
    slots_of: dict[str, set[str]] = {}
    for example in split(code, "train"):
        for token, tag in zip(example.tokens, example.tags, strict=True):
            slots_of.setdefault(token.lower(), set()).add(tag.partition("-")[2])
    seven = slots_of["seven" if code == "en" else "七"]
    assert {"departure_time", "arrival_time", "passengers", "flight_number", "price"} <= seven
    assert {"", "departure", "destination", "via"} <= slots_of["tokyo" if code == "en" else "京"]
    if code == "en":
        assert {"", "class", "departure_date", "arrival_date"} <= slots_of["first"]
        assert {"", "departure_date", "arrival_date", "return_date"} <= slots_of["june"]


def test_tokens_are_those_of_the_named_tokenizers() -> None:
    for example in everything("en"):
        text = " ".join(example.tokens)
        text = re.sub(r" ([.,?!:;])", r"\1", text).replace("$ ", "$")
        assert tuple(token.text for token in tokenize(text, "words-1")) == example.tokens, example.source
    for example in everything("zh"):
        text = "".join(example.tokens)
        assert tuple(token.text for token in tokenize(text, "characters-1")) == example.tokens, example.source


def test_english_is_partly_in_the_spelling_of_speech() -> None:
    train = split("en", "train")
    lower = sum(all(token == token.lower() for token in example.tokens) for example in train)
    unmarked = sum(example.tokens[-1] not in ".?!" for example in train)
    assert len(train) / 6 < lower < len(train) / 2 and len(train) / 6 < unmarked < len(train) / 2


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_grammar_is_large(code: str) -> None:
    text = (FOLDER / "grammars" / f"{code}.txt").read_text(encoding="utf-8")
    blocks = {head: body.split("\n\n")[0].splitlines() for head, body in re.findall(r"(?m)^= (\w+)\n((?:.+\n)+)", text)}
    assert len(blocks["city"]) >= 150 and len(blocks["airline"]) >= 50
    assert len(set().union(*(templates(code, name) for name in SPLITS))) >= 150


def test_the_generators_own_examples() -> None:
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    for module in ("grammar", "almanac", "counts"):
        command = [sys.executable, "-W", "error", "-m", "doctest", str(FOLDER / f"{module}.py")]
        result = subprocess.run(
            command, cwd=FOLDER, env=environment, capture_output=True, encoding="utf-8", check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr


def test_a_grammar_that_cannot_be_read_names_its_line(tmp_path: Path) -> None:
    folder = tmp_path / "flights"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__", "*.conll"))
    shutil.copy(FOLDER.parent / "splitmix.py", tmp_path)
    grammar = folder / "grammars" / "en.txt"
    lines = grammar.read_text(encoding="utf-8").splitlines()
    grammar.write_text("\n".join([*lines, "fly (to {destination}"]) + "\n", encoding="utf-8")
    command = [sys.executable, str(folder / "generate.py"), "--output", str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert result.returncode != 0
    assert f"en.txt:{len(lines) + 1}: " in result.stderr
    assert not (tmp_path / "out").exists()
