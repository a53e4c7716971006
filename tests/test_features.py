"""Features: tokens and frames as numbers, the same numbers with torch and without."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import miniature
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from structseq.config import Options
from structseq.data.example import Example
from structseq.data.vocabulary import Vocabulary
from structseq.features.encoding import TokenEncoder, build_features, count_vocabularies
from structseq.features.words import Affixes, AffixOptions, word_shape
from structseq.model import Model

ROOT = Path(__file__).parents[1]
VECTORS = "Rome 1 2 3\nto 3 4 5\nkaohsiung 5 6 7\n"
SENTENCES = [["to", "Rome", "KAOHSIUNG"], [], ["\u200b", "x" * 90, "Rome", "June", "to"]]


def model(folder: Path, *layers: Mapping[str, Any]) -> Model:
    """With pretrained vectors and a column."""
    (folder / "vectors.txt").write_text(VECTORS, encoding="utf-8")
    own = {"inputs": {"words": {"vectors": str(folder / "vectors.txt")}}, "data": {"columns": {"pos": 2}}}
    return miniature.model(own, *layers)


# -- the room ----------------------------------------------------------------------------------------------------------

ALONE = """
import json, sys
from structseq.config import InputOptions
from structseq.data.vocabulary import Vocabulary
from structseq.features.encoding import TokenEncoder, build_features
request = json.load(sys.stdin)
vocabularies = {name: Vocabulary(items, counts, open=open) for name, (items, counts, open) in request["known"].items()}
words = sorted({word for sentence in request["sentences"] for word in sentence})
features = build_features(InputOptions.checked(request["options"]), vocabularies)
columns = {"pos": [["N"] * len(sentence) for sentence in request["sentences"]]}
batch = TokenEncoder.of(vocabularies).encode_tokens(request["sentences"], columns)
assert "torch" not in sys.modules
index = {name: feature.index(words).tolist() for name, feature in features.items()}
print(json.dumps([index, batch.ids.tolist(), batch.oov_words, batch.columns["pos"].tolist()]))
"""


def test_all_numbers_of_a_model_are_known_without_torch(tmp_path: Path) -> None:
    whole = model(tmp_path)
    known = {name: (v.items, v.counts, v.open) for name, v in whole.vocabularies.items()}
    request = {"options": whole.options.to_dict()["inputs"], "known": known, "sentences": SENTENCES}
    done = subprocess.run(
        [sys.executable, "-c", ALONE], input=json.dumps(request), capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]
    index, ids, oov_words, pos = json.loads(done.stdout)
    words = sorted({word for sentence in SENTENCES for word in sentence})
    assert list(index) == list(whole.inputs.features) == ["words", "vectors", "characters", "affixes"]
    for name, feature in whole.inputs.features.items():
        assert index[name] == feature.index(words).tolist()
    batch = whole.inputs.encode_tokens(SENTENCES, {"pos": [["N"] * len(sentence) for sentence in SENTENCES]})
    assert (ids, tuple(oov_words), pos) == (batch.ids.tolist(), batch.oov_words, batch.columns["pos"].tolist())


def test_numbers_of_no_words_have_their_shape(tmp_path: Path) -> None:
    whole = model(tmp_path)
    for name, feature in build_features(whole.options.inputs, whole.vocabularies).items():
        nothing, something = feature.index([]), feature.index(["to", "Rome"])
        assert nothing.dtype == something.dtype == np.int64
        assert len(nothing) == 0 and nothing.ndim == something.ndim and len(something) == 2, name


OFF = {
    "words": ({"words": {"width": 0}}, ["characters", "affixes"]),
    "characters": ({"characters": {"width": 0}}, ["words", "affixes"]),
    "shapes": ({"affixes": {"shape": 0}}, ["words", "characters", "affixes"]),
    "affixes": ({"affixes": {"shape": 0, "width": 0}}, ["words", "characters"]),
    "affixes by their lengths": ({"affixes": {"shape": 0, "prefixes": [], "suffixes": []}}, ["words", "characters"]),
}


@pytest.mark.parametrize("name", OFF)
def test_what_is_turned_off_is_not_built_but_counted(name: str) -> None:
    inputs, left = OFF[name]
    options = Options.of({"inputs": inputs}).inputs
    vocabularies, widths, vectors = count_vocabularies(options, ["pos"], miniature.corpus().train)
    assert list(vocabularies) == ["words", "characters", "shapes", "affixes", "column.pos"]
    assert widths == {} and vectors is None
    assert list(build_features(options, vocabularies)) == left


def test_known_words_are_counted_too() -> None:
    known = Vocabulary(["Oslo", "Quito"], [2, 3])
    counted = count_vocabularies(Options().inputs, [], [Example.of(["Oslo", "via"])], known)
    words = counted.vocabularies["words"]
    assert dict(zip(words.items, words.counts, strict=True)) == {"Oslo": 3, "Quito": 3, "via": 1}
    assert "Q" in counted.vocabularies["characters"]


def test_of_frames_only_the_width_is_counted() -> None:
    assert count_vocabularies(Options().inputs, [], [Example.of_frames(np.zeros((2, 7)))]) == ({}, {"frames": 7}, None)


def test_vectors_are_scaled_when_a_model_takes_them(tmp_path: Path) -> None:
    whole = model(tmp_path)
    weights = whole.inputs.features["vectors"].embedding.weight.detach()
    assert whole.widths == {"vectors": 3} and weights.shape == (4, 3) and not weights[0].any()
    assert float(weights[1:].square().mean()) == pytest.approx(1 / 3)
    torch.testing.assert_close(weights[1:] / weights[1, 0], torch.arange(3.0) + torch.tensor([[1.0], [3.0], [5.0]]))


def test_columns_are_found_by_their_names() -> None:
    known = {"words": Vocabulary(["a"]), "column.pos": Vocabulary(["N"], open=True), "characters": Vocabulary(["a"])}
    assert list(TokenEncoder.of(known).columns) == ["pos"]


# -- shapes and affixes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "shape"),
    [
        ("", ""),
        ("a", "x"),
        ("Taipei", "Xxx"),
        ("TAIPEI", "XX"),
        ("McDonald's", "XxXxx'x"),
        ("1,000", "d,dd"),
        ("2nd", "dxx"),
        ("U.S.", "X.X."),
        ("...", ".."),
        ("....!!!!", "..!!"),
        ("中文字", "xx"),
        ("Éa", "Xx"),
        ("٣", "d"),
        ("a\u200bb", "x\u200bx"),
        ("x" * 1000, "xx"),
        ("9" * 33 + "X" * 33, "ddXX"),
    ],
)
def test_word_shapes(word: str, shape: str) -> None:
    assert word_shape(word) == shape


@given(word=st.text(max_size=100))
@settings(max_examples=100)
def test_a_shape_has_no_run_of_three_and_is_its_own_kind(word: str) -> None:
    shape = word_shape(word)
    assert len(shape) <= min(len(word), 64)
    assert not any(shape[i] == shape[i + 1] == shape[i + 2] for i in range(len(shape) - 2))


def test_affixes_are_counted_by_distinct_word() -> None:
    words = Vocabulary(["Walking", "walking", "talked", "at"], [1, 7, 1, 1])
    found = Affixes.count(AffixOptions(prefixes=(2,), suffixes=(3,), min_count=2), words)
    shapes, affixes = found["shapes"], found["affixes"]
    assert dict(zip(affixes.items, affixes.counts, strict=True)) == {"-3:ing": 2, "2:wa": 2}
    assert dict(zip(shapes.items, shapes.counts, strict=True)) == {"xx": 3}
