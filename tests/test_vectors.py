"""Pretrained vectors: word2vec and GloVe text, plain and gzip, and what is wrong with a file said with its line."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from structseq.config import Options
from structseq.data.example import Example
from structseq.data.vocabulary import Vocabulary
from structseq.errors import DataError
from structseq.features.vectors import Vectors, read_vectors
from structseq.features.words import WordsOptions
from structseq.inputs.token_inputs import PretrainedVectors
from structseq.model import Model
from structseq.spans import scheme_of

GLOVE = "the 1 2\nof -3 4.5\nTaipei 1e-1 0\n"
EXPECTED = np.array([[1, 2], [-3, 4.5], [0.1, 0]])


def write(folder: Path, content: str | bytes, name: str = "vectors.txt", *, zipped: bool = False) -> Path:
    data = content if isinstance(content, bytes) else content.encode("utf-8")
    path = folder / name
    path.write_bytes(gzip.compress(data) if zipped else data)
    return path


def scaled(table: np.ndarray) -> np.ndarray:
    """Mean square 1/width, as trained embeddings have it."""
    return table / np.sqrt((table**2).mean()) / np.sqrt(table.shape[1])


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("header", ["", "3 2\n"])
@pytest.mark.parametrize("name", ["vectors.txt", "vectors.vec", "vectors.gz"])
def test_plain_and_gzip_are_read_under_any_name(zipped: bool, header: str, name: str, tmp_path: Path) -> None:
    words, table = read_vectors(write(tmp_path, header + GLOVE, name, zipped=zipped))
    assert words == ["the", "of", "Taipei"]
    assert table.dtype == np.float32
    np.testing.assert_array_equal(table, EXPECTED.astype(np.float32))


@pytest.mark.parametrize("ending", ["\n", "\r\n", " \n", " \r\n"])
def test_line_ends_and_trailing_spaces(ending: str, tmp_path: Path) -> None:
    words, table = read_vectors(write(tmp_path, GLOVE.replace("\n", ending)))
    assert words == ["the", "of", "Taipei"]
    np.testing.assert_array_equal(table, EXPECTED.astype(np.float32))


def test_no_line_end_after_the_last(tmp_path: Path) -> None:
    assert read_vectors(write(tmp_path, GLOVE.rstrip("\n")))[0] == ["the", "of", "Taipei"]


def test_a_word_twice_keeps_its_first_vector(tmp_path: Path) -> None:
    words, table = read_vectors(write(tmp_path, "a 1 1\nb 2 2\na 9 9\n"))
    assert words == ["a", "b"]
    np.testing.assert_array_equal(table, [[1, 1], [2, 2]])


def test_a_first_word_that_is_a_number_is_no_header(tmp_path: Path) -> None:
    words, table = read_vectors(write(tmp_path, "5 3 1\n7 2 2\n"))
    assert words == ["5", "7"] and table.shape == (2, 2)


def test_words_of_several_words(tmp_path: Path) -> None:
    """GloVe's largest file has them."""
    words, table = read_vectors(write(tmp_path, "a 1 1\n. . . 2 2\nat name@domain.com 3 3\n"))
    assert words == ["a", ". . .", "at name@domain.com"]
    np.testing.assert_array_equal(table, [[1, 1], [2, 2], [3, 3]])


def test_a_first_word_of_several_words_behind_a_header(tmp_path: Path) -> None:
    words, table = read_vectors(write(tmp_path, "2 2\nNew York 1 2\nRome 3 4\n"))
    assert words == ["New York", "Rome"] and table.shape == (2, 2)


def test_odd_words_stay_as_they_are(tmp_path: Path) -> None:
    odd = ["#", "\u00a0", "a\u00a0b", "\u2028", "\u3000", "中文", "\u200b", "ﬁ", "x\ty"]
    words, _ = read_vectors(write(tmp_path, "".join(f"{word} 1 2\n" for word in odd)))
    assert words == odd


def test_bytes_that_are_no_utf8_do_not_stop_the_rest(tmp_path: Path) -> None:
    words, _ = read_vectors(write(tmp_path, b"a 1 2\n\xff\xfe 3 4\nb 5 6\n"))
    assert len(words) == 3 and words[0] == "a" and words[2] == "b"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("a 1 2\nb 1\n", 2),
        ("a 1 2\nb\n", 2),
        ("a 1 2\nb 1 x\n", 2),
        ("a x 2\n", 1),
        ("a\n", 1),
        ("3 2\na 1\n", 2),
        ("a 1 2\nb  1 2 \nc 1 two\n", 3),
        ("a 1 2\nb 1 nan\n", 2),
        ("a 1 inf\n", 1),
        ("a 1 2\nb 1e39 2\n", 2),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(content: str, line: int, tmp_path: Path) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read_vectors(path)
    assert str(caught.value).startswith(f"{path}:{line}: expected")
    assert caught.value.line == line


@pytest.mark.parametrize("content", ["", "3 2\n"])
def test_nothing_in_the_file(content: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found none"):
        read_vectors(write(tmp_path, content))


def test_no_such_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.txt", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            read_vectors(path)


def test_a_truncated_gzip_file(tmp_path: Path) -> None:
    path = write(tmp_path, GLOVE * 500, zipped=True)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="cannot be read"):
        read_vectors(path)


@given(place=st.integers(10, 4000), flip=st.integers(1, 255))
@settings(max_examples=80)
def test_a_damaged_gzip_file_never_ends_in_another_error(
    place: int, flip: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(0)
    lines = [f"w{i} {a:.6f} {b:.6f}\n" for i, (a, b) in enumerate(rng.normal(size=(400, 2)))]
    data = bytearray(gzip.compress("".join(lines).encode()))
    data[place % len(data)] ^= flip
    path = tmp_path_factory.getbasetemp() / "damaged.gz"
    path.write_bytes(bytes(data))
    try:
        read_vectors(path)  # a flip in the header's name or time changes nothing
    except DataError:
        return


# -- as an input -------------------------------------------------------------------------------------------------------


def vectors_of(words: list[str], *, tune: bool = False) -> PretrainedVectors:
    known = Vocabulary(words, open=True)
    made = PretrainedVectors(Vectors(WordsOptions(), {"vectors": known}), 3, tune=tune)
    made.embedding.weight.data.copy_(torch.arange(float(len(known))).unsqueeze(1))
    return made


def test_vectors_are_scaled_and_zeros_stay_zeros() -> None:
    made = vectors_of(["a", "b"])
    table = np.array([[1, 2, 3], [4, 5, -6]], np.float32)
    made.fill(table)
    np.testing.assert_allclose(made.embedding.weight[1:], scaled(table), rtol=1e-6)
    made.fill(np.zeros((2, 3), np.float32))
    assert not made.embedding.weight[1:].any()


def test_words_are_looked_up_as_spelt_then_in_lower_case() -> None:
    vectors = vectors_of(["taipei", "Rome", "rome", "US"])
    found = vectors(vectors.index(["Taipei", "taipei", "Rome", "ROME", "us", "US", "Oslo", ""]))
    assert found[:, 0].tolist() == [1, 1, 2, 3, 0, 4, 0, 0]


def test_vectors_learn_only_if_set() -> None:
    assert not [p for p in vectors_of(["a"]).parameters() if p.requires_grad]
    assert [p for p in vectors_of(["a"], tune=True).parameters() if p.requires_grad]


def trained_on(path: Path, **words: object) -> Model:
    options = Options.of(
        {
            "inputs": {"words": {"width": 0, "vectors": str(path), **words}, "characters": {"width": 0}},
            "encoder": {"width": 3, "dropout": 0},
        },
        {"inputs": {"affixes": {"shape": 0, "width": 0}, "dropout": 0}},
    )
    examples = [Example.of(["The", "of"], ["O", "B-x"])]
    return Model.prepare(options, examples, scheme_of("BIO"), seed=0)


def test_a_model_carries_the_vectors_of_its_file(tmp_path: Path) -> None:
    model = trained_on(write(tmp_path, GLOVE))
    weights = model.inputs.features["vectors"].embedding.weight
    np.testing.assert_allclose(weights[0], [0, 0])
    np.testing.assert_allclose(weights[1:], scaled(EXPECTED), rtol=1e-6)
    model.eval()
    batch = model.inputs.encode_tokens([["THE", "Taipei", "nowhere"]])  # in lower case; unseen in training; unknown
    np.testing.assert_allclose(model.inputs(batch).values[0], [*scaled(EXPECTED)[[0, 2]], [0, 0]], rtol=1e-6)


def test_weights_say_everything_about_a_saved_models_vectors(tmp_path: Path) -> None:
    path = write(tmp_path, GLOVE)
    model = trained_on(path)
    path.unlink()
    twin = Model(model.options, model.vocabularies, model.tags, model.widths)
    twin.load_state_dict(model.state_dict(), strict=True)
    batch = model.inputs.encode_tokens([["the", "Taipei", "nowhere"]])
    assert torch.equal(twin.eval().inputs(batch).values, model.eval().inputs(batch).values)


def test_vectors_stand_still_in_training_unless_tuned(tmp_path: Path) -> None:
    path = write(tmp_path, GLOVE)
    for tune in (False, True):
        model = trained_on(path, tune_vectors=tune).train()
        model.loss(model.inputs.encode_tokens([["the", "of"]]), torch.tensor([[0, 1]])).sum().backward()
        gradient = model.inputs.features["vectors"].embedding.weight.grad
        assert (gradient is not None and bool(gradient.any())) == tune
