"""Inputs: words by number, unseen words, columns, characters, shapes and affixes, unknowns and dropout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from structseq import compiling
from structseq.data.example import Example
from structseq.data.vocabulary import Vocabulary
from structseq.dropout import LockedDropout, dropout_mask
from structseq.errors import DataError
from structseq.features.base import Feature
from structseq.features.encoding import TokenEncoder
from structseq.features.words import Affixes, AffixOptions, Characters, CharactersOptions, EmbeddingOptions, Words
from structseq.inputs.base import Inputs, WordFeature
from structseq.inputs.token_inputs import AffixEmbedding, CharacterCNN, WordEmbedding
from structseq.padded import Padded

WORDS = ["to", "Taipei", "from", "on", "November", "2nd"]
SENTENCES = [["to", "Taipei", "Kaohsiung"], [], ["on"], ["Kaohsiung", "from", "Tainan", "to", "x" * 50]]


class Letters(Feature):
    """Each word's length and its number of a's: checked by eye."""

    def __init__(self, options: Any = None, vocabularies: Mapping[str, Vocabulary] | None = None) -> None: ...

    def index(self, words: Sequence[str]) -> npt.NDArray[np.int64]:
        return np.array([[len(word), word.count("a")] for word in words], np.int64).reshape(-1, 2)


class Spelled(WordFeature):
    """What `Letters` gives, as it is."""

    def __init__(self) -> None:
        super().__init__(Letters(), 2)

    def forward(self, index: Tensor) -> Tensor:
        return index.float()


def vocabulary(words: Sequence[str] = WORDS) -> Vocabulary:
    return Vocabulary.count(Counter(words), open=False)


def spelled(words: Vocabulary, **columns: Vocabulary) -> Inputs:
    return Inputs(TokenEncoder(words, columns), {"spelled": Spelled()}, column_width=2)


def embedding(words: Vocabulary, width: int, **options: Any) -> WordEmbedding:
    section = EmbeddingOptions(width=width, **options)
    return WordEmbedding(Words(section, {"words": words}), section)


def characters(known: Vocabulary, width: int, **options: Any) -> CharacterCNN:
    section = CharactersOptions(width=width, **options)
    return CharacterCNN(Characters(section, {"characters": known}), section)


def affixes(words: Vocabulary, **options: Any) -> AffixEmbedding:
    section = AffixOptions(**{"min_count": 1, **options})
    return AffixEmbedding(Affixes(section, Affixes.count(section, words)), section)


def real_inputs(**options: float) -> Inputs:
    """Every kind of word feature, and a column."""
    torch.manual_seed(0)
    words = vocabulary()
    features: dict[str, WordFeature] = {
        "words": embedding(words, 5, unknown_rate=0.25),
        "characters": characters(Vocabulary.count(Counter("".join(WORDS))), 4, embedding=3, windows=(3, 2), longest=10),
        "affixes": affixes(words, prefixes=(2,), suffixes=(2,), shape=2, width=3),
    }
    encoder = TokenEncoder(words, {"pos": Vocabulary(["N", "V"], open=True)})
    return Inputs(encoder, features, column_width=2, **options)


# -- sentences as numbers ----------------------------------------------------------------------------------------------


def test_known_words_and_unseen_ones_have_numbers() -> None:
    words = vocabulary()
    inputs = spelled(words)
    batch = inputs.encode_tokens(SENTENCES)
    every = [*words.items, *batch.oov_words]
    assert batch.oov_words == ("Kaohsiung", "Tainan", "x" * 50)
    assert batch.lengths.tolist() == [3, 0, 1, 5]
    assert batch.ids.shape == (4, 5) and batch.ids.dtype == np.int64
    for ids, sentence in zip(batch.ids, SENTENCES, strict=True):
        assert [every[number] for number in ids[: len(sentence)]] == sentence
        assert not ids[len(sentence) :].any()


def test_words_differ_by_case_and_by_invisible_characters() -> None:
    inputs = spelled(vocabulary())
    batch = inputs.encode_tokens([["Taipei", "taipei", "Taipei\u200b", "Taipei\u00a0"]])
    assert len(set(batch.ids[0].tolist())) == 4 and len(batch.oov_words) == 3


tokens = st.sampled_from([*WORDS, "unseen", "", "a", "Ⅷ", "中文"]) | st.text(max_size=5)


@given(sentences=st.lists(st.lists(tokens, max_size=6), max_size=5), known=st.lists(tokens, max_size=6))
@settings(max_examples=80)
def test_every_token_gets_its_own_vector(sentences: list[list[str]], known: list[str]) -> None:
    inputs = spelled(vocabulary(known)).eval()
    batch = inputs.encode_tokens(sentences)
    vectors = inputs(batch)
    assert vectors.lengths.tolist() == [len(sentence) for sentence in sentences]
    for row, sentence in zip(vectors.values, sentences, strict=True):
        assert row[: len(sentence)].tolist() == [[len(word), word.count("a")] for word in sentence]
    with torch.no_grad():
        looked_up = inputs(batch, inputs.word_table())
    assert torch.equal(looked_up.values[vectors.mask()], vectors.values[vectors.mask()])


@pytest.mark.parametrize("sentences", [[], [[]], [[], []]], ids=str)
def test_no_sentences_and_empty_sentences(sentences: list[list[str]]) -> None:
    inputs = real_inputs()
    batch = inputs.encode_tokens(sentences, {"pos": sentences})
    for vectors in (inputs(batch), inputs.eval()(batch), inputs(batch, inputs.word_table())):
        assert vectors.values.shape == (len(sentences), 0, inputs.width)


def test_columns_have_numbers_of_their_own() -> None:
    inputs = real_inputs().eval()
    examples = [Example.of(["to", "Taipei"], pos=["V", "N"]), Example.of(["zzz"], pos=["never seen"])]
    batch = inputs.encode(examples)
    assert batch.columns["pos"].tolist() == [[2, 1], [0, 0]]
    vectors = inputs(batch)
    assert torch.equal(vectors.values[0, :, -2:], inputs.columns["pos"].weight[[2, 1]])
    assert vectors.values.shape[2] == inputs.width == inputs.word_width + 2


def test_a_missing_column_is_named() -> None:
    inputs = real_inputs()
    with pytest.raises(DataError, match="pos"):
        inputs.encode([Example.of(["to"])])
    with pytest.raises(DataError, match="pos"):
        inputs.encode_tokens([["to"]])


@pytest.mark.parametrize(
    "rows", [[["N"], []], [["N", "N", "N"], ["N"]], [["N"], ["N", "N"]], [["N", "N"]], []], ids=str
)
def test_a_column_of_another_length_is_an_error(rows: list[list[str]]) -> None:
    """One value is not for all tokens, and what one row has too few is not made up by the next."""
    with pytest.raises(DataError, match="pos"):
        real_inputs().encode_tokens([["to", "Taipei"], ["on"]], {"pos": rows})


@pytest.mark.parametrize(
    "name", ["type", "items", "keys", "forward", "to", "half", "part.of.speech", "POS tag", "词性"]
)
def test_a_column_may_have_any_name(name: str) -> None:
    inputs = spelled(vocabulary(), **{name: Vocabulary(["N"], open=True)})
    batch = inputs.encode([Example({"tokens": ("to",), name: ("N",)})])
    assert inputs.eval()(batch).values.shape == (1, 1, 4)
    assert len(inputs.state_dict()) == 1


# -- numbers as vectors ------------------------------------------------------------------------------------------------


def test_looking_up_equals_computing() -> None:
    inputs = real_inputs().eval()
    columns = {"pos": [["N"] * len(sentence) for sentence in SENTENCES]}
    batch = inputs.encode_tokens(SENTENCES, columns)
    table = inputs.word_table()
    assert table.shape == (len(WORDS), inputs.word_width) and not table.requires_grad
    computed, looked_up = inputs(batch), inputs(batch, table)
    assert torch.equal(looked_up.lengths, computed.lengths)
    torch.testing.assert_close(looked_up.values[computed.mask()], computed.values[computed.mask()], rtol=0, atol=1e-6)


def test_a_word_has_one_vector_at_every_position_and_with_any_neighbours() -> None:
    inputs = real_inputs().eval()
    alone = inputs(inputs.encode_tokens([["Kaohsiung"]], {"pos": [["N"]]})).values[0, 0]
    batch = inputs.encode_tokens(SENTENCES, {"pos": [["N"] * len(sentence) for sentence in SENTENCES]})
    vectors = inputs(batch).values
    torch.testing.assert_close(vectors[0, 2], alone, rtol=0, atol=1e-6)
    torch.testing.assert_close(vectors[3, 0], alone, rtol=0, atol=1e-6)


def test_a_vocabulary_of_thousands_is_tabled_in_parts() -> None:
    words = [f"w{number}{'a' * (number % 7)}" for number in range(5000)]
    inputs = spelled(Vocabulary(words))
    assert inputs.word_table().tolist() == [[len(word), word.count("a")] for word in words]


def test_columns_alone_are_inputs_too() -> None:
    encoder = TokenEncoder(vocabulary(), {"pos": Vocabulary(["N"], open=True)})
    inputs = Inputs(encoder, {}, column_width=2).eval()
    batch = inputs.encode_tokens([["to", "unseen"]], {"pos": [["N", "N"]]})
    computed = inputs(batch)
    assert computed.values.shape == (1, 2, 2)
    assert torch.equal(inputs(batch, inputs.word_table()).values, computed.values)


def test_every_parameter_gets_gradient_and_padding_gives_none() -> None:
    inputs = real_inputs().train()
    batch = inputs.encode_tokens(SENTENCES, {"pos": [["N"] * len(sentence) for sentence in SENTENCES]})
    vectors = inputs(batch)
    (vectors.values * vectors.mask().unsqueeze(-1)).square().sum().backward()
    for name, parameter in inputs.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name
    gradient = inputs.features["words"].embedding.weight.grad
    november = inputs.features["words"].index(["November"])
    assert not gradient[november].any(), "a word that is not in the batch learns nothing from it"


# -- unknown words -----------------------------------------------------------------------------------------------------


def test_words_share_a_vector_by_lower_case_and_rarity() -> None:
    known = Vocabulary.count(Counter({"the": 8, "The": 1, "taipei": 2, "once": 1}), open=False)
    words = embedding(known, 3, min_count=2).eval()
    found = words(words.index(["The", "the", "THE", "Taipei", "Oslo"]))
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    assert torch.equal(found[4], words.embedding.weight[0]) and not torch.equal(found[3], found[4])
    assert dict(zip(words.vocabulary.items, words.vocabulary.counts, strict=True)) == {"the": 9, "taipei": 2}
    cased = embedding(known, 3, min_count=2, lowercase=False).eval()
    assert cased.index(["The", "the", "once"]).tolist() == [0, cased.vocabulary["the"], 0]


@pytest.mark.parametrize("rate", [0.25, 1.0])
def test_a_word_seen_n_times_is_replaced_with_probability_rate_over_rate_plus_n(rate: float) -> None:
    known = Vocabulary(["often", "thrice", "once"], [100, 3, 1])
    words = embedding(known, 2, unknown_rate=rate).train()
    words.embedding.weight.data.copy_(torch.arange(4.0).unsqueeze(1).repeat(1, 2))
    torch.manual_seed(0)
    draws = 20_000
    found = words(torch.tensor([1, 2, 3]).repeat(draws))[:, 0].view(draws, 3)
    for number, count in enumerate((100, 3, 1)):
        expected = rate / (rate + count)
        replaced = float((found[:, number] == 0).float().mean().detach())
        assert replaced == pytest.approx(expected, abs=4 * (expected * (1 - expected) / draws) ** 0.5)
        assert set(found[:, number].tolist()) <= {0.0, number + 1.0}


def test_nothing_is_replaced_in_answering_or_at_rate_zero() -> None:
    known = Vocabulary(["once"], [1])
    everywhere = torch.ones(1000, dtype=torch.int64)
    for words in (embedding(known, 2, unknown_rate=50.0).eval(), embedding(known, 2, unknown_rate=0.0).train()):
        assert torch.equal(words(everywhere), words.embedding.weight[everywhere])


def test_the_unknowns_vector_learns_from_replaced_words() -> None:
    words = embedding(Vocabulary(["once"], [1]), 2, unknown_rate=1e9).train()
    words(torch.tensor([1, 1])).sum().backward()
    assert words.embedding.weight.grad is not None and words.embedding.weight.grad[0].tolist() == [2, 2]


def test_replacement_is_drawn_once_a_word_and_batch() -> None:
    known = Vocabulary.count(Counter(["Taipei"]), open=False)
    feature = embedding(known, 2, unknown_rate=1.0)
    inputs = Inputs(TokenEncoder(known), {"words": feature}).train()
    for seed in range(10):
        torch.manual_seed(seed)
        vectors = inputs(inputs.encode_tokens([["Taipei"] * 4, ["Taipei"]])).values
        assert torch.equal(vectors[0, :1].expand(4, 2), vectors[0])
        assert torch.equal(vectors[0, 0], vectors[1, 0])


# -- characters --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["compiled", "torch"])
def road(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The compiled kernel, or torch's own operations."""
    if request.param == "torch":
        monkeypatch.setattr(compiling, "numba_available", lambda: False)
    elif not compiling.numba_available():
        pytest.skip("Numba has no wheel here")
    return str(request.param)


def plain_convolution(cnn: CharacterCNN, word: str) -> Tensor:
    """The same by nn.functional.conv1d, one word at a time: pad, convolve, maximum, ReLU."""
    longest = cnn.feature.longest
    if len(word) > longest:
        word = word[: longest // 2] + word[-(longest // 2) :]
    rows = torch.tensor([cnn.vocabulary[c] + 1 for c in word], dtype=torch.int64)
    parts, taken = [], 0
    for weights in cnn.filters:
        window, _, filters = weights.shape
        bias = cnn.bias[taken : taken + filters]
        taken += filters
        before = (window - 1) // 2
        padded = nn.functional.pad(rows, (before, window - 1 - before))  # row 0 is outside the word
        embedded = cnn.embedding.weight[padded].T.unsqueeze(0)  # (1, E, C + window - 1)
        if word:
            answers = nn.functional.conv1d(embedded, weights.permute(2, 1, 0))  # (1, n, C)
            parts.append(answers.amax(2).squeeze(0) + bias)
        else:
            parts.append(bias)
    return torch.relu(torch.cat(parts))


CHARACTERS = Vocabulary.count(Counter("abcdefgé中"))


@given(words=st.lists(st.text("abcdefgé中XY", max_size=14), min_size=1, max_size=6), data=st.data())
@settings(max_examples=60)
@pytest.mark.parametrize("compiled", [True, False])
def test_characters_equal_a_plain_convolution(compiled: bool, words: list[str], data: st.DataObject) -> None:
    windows = data.draw(st.sampled_from([(3,), (1,), (2,), (5,), (3, 2), (2, 3, 4)]))
    longest = data.draw(st.sampled_from([4, 7, 10]))
    torch.manual_seed(0)
    cnn = characters(CHARACTERS, 7, embedding=4, windows=windows, longest=longest)
    nn.init.normal_(cnn.bias)
    with pytest.MonkeyPatch.context() as patch:
        if not compiled:
            patch.setattr(compiling, "numba_available", lambda: False)
        found = cnn(cnn.index(words))
    expected = torch.stack([plain_convolution(cnn, word) for word in words])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_gradients_of_characters_equal_those_of_a_plain_convolution(road: str) -> None:
    torch.manual_seed(1)
    cnn = characters(CHARACTERS, 9, embedding=5, windows=(3, 2), longest=10)
    nn.init.normal_(cnn.bias)
    words = ["abc", "a", "", "gfedcba", "中X", "aaaa", "abcdefgabcdefg"]
    weights = torch.randn(len(words), 9)
    found = torch.autograd.grad((cnn(cnn.index(words)) * weights).sum(), list(cnn.parameters()))
    plain = torch.stack([plain_convolution(cnn, word) for word in words])
    expected = torch.autograd.grad((plain * weights).sum(), list(cnn.parameters()))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_long_word_is_seen_by_its_two_ends(road: str) -> None:
    cnn = characters(CHARACTERS, 4, longest=10)
    middle, other = "abcde" + "f" * 90 + "edcba", "abcde" + "g" * 9 + "edcba"
    found = cnn(cnn.index([middle, other, "abcdeedcba", "abcde" + "f" + "edcba"]))
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2]) and torch.equal(found[0], found[3])
    assert cnn.index([middle]).shape == (1, 11)
    just = cnn(cnn.index(["abcdfgdcba"]))
    assert not torch.equal(just[0], found[0]), "a word of ten characters is seen whole"


def test_companions_do_not_change_a_words_vector(road: str) -> None:
    torch.manual_seed(0)
    cnn = characters(CHARACTERS, 6, windows=(3, 4))
    alone = cnn(cnn.index(["ab"]))
    together = cnn(cnn.index(["ab", "abcdefgabcdefg", ""]))
    torch.testing.assert_close(together[:1], alone, rtol=0, atol=1e-7)
    wider = nn.functional.pad(cnn.index(["ab"]), (0, 9))
    torch.testing.assert_close(cnn(wider), alone, rtol=0, atol=1e-7)


def test_unknown_characters_share_a_row_that_no_known_character_has(road: str) -> None:
    torch.manual_seed(0)
    cnn = characters(CHARACTERS, 6)
    found = cnn(cnn.index(["aXb", "aYb", "a", "ab"]))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[3])


def test_weights_that_are_no_numbers_are_not_hidden(road: str) -> None:
    """A maximum passes over NaN where comparisons decide: diverged weights must show, or training continues."""
    cnn = characters(CHARACTERS, 6)
    cnn.embedding.weight.data[CHARACTERS["a"] + 1] = torch.nan
    found = cnn(cnn.index(["a", "ba", "b"]))
    assert torch.isnan(found).any(1).tolist() == [True, True, False]


def test_no_words_and_words_without_characters(road: str) -> None:
    cnn = characters(CHARACTERS, 6, windows=(3, 2))
    nn.init.normal_(cnn.bias)
    assert cnn(cnn.index([])).shape == (0, 6)
    found = cnn(cnn.index(["", ""]))
    assert torch.equal(found, torch.relu(cnn.bias).expand(2, 6))
    found.sum().backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in cnn.parameters())


def test_the_compiled_characters_answer_in_eight_threads_and_in_inference_mode() -> None:
    cnn = characters(CHARACTERS, 6).eval()
    index = cnn.index(["abc", "中", "gfedcba"] * 20)
    expected = cnn(index)

    def answer(_: int) -> Tensor:
        with torch.inference_mode():
            return cnn(index)

    with ThreadPoolExecutor(8) as pool:
        assert all(torch.equal(found, expected) for found in pool.map(answer, range(16)))


# -- shapes and affixes ------------------------------------------------------------------------------------------------


def test_affix_vectors_are_those_of_the_words_ends() -> None:
    words = vocabulary(["walking", "talked", "at"])
    feature = affixes(words, prefixes=(1, 3), suffixes=(3,), shape=2, width=4)
    shapes, ends = feature.shapes, feature.affixes
    assert feature.width == 2 + 3 * 4
    index = feature.index(["Talking", "at", "zebra", ""])
    assert index.shape == (4, 4)
    assert index[0].tolist() == [0, ends["1:t"], ends["3:tal"], ends["-3:ing"]]
    assert index[1].tolist() == [shapes["xx"], ends["1:a"], ends["3:at"], ends["-3:at"]]
    assert index[2].tolist() == [shapes["xx"], 0, 0, 0]
    vectors = feature(index)
    expected = [feature.shape_embedding.weight[0], *feature.affix_embedding.weight[index[0, 1:]]]  # type: ignore[union-attr]
    assert torch.equal(vectors[0], torch.cat(expected))


@pytest.mark.parametrize(("shape_width", "width", "total"), [(3, 0, 3), (0, 2, 4), (3, 2, 7)])
def test_shapes_or_affixes_alone(shape_width: int, width: int, total: int) -> None:
    words = vocabulary(["walking", "at"])
    feature = affixes(words, prefixes=(2,), suffixes=(2,), shape=shape_width, width=width)
    assert feature.width == total and feature(feature.index(["at", "Xy"])).shape == (2, total)
    assert feature(feature.index([])).shape == (0, total)


# -- dropout -----------------------------------------------------------------------------------------------------------


def test_a_locked_mask_is_one_for_all_steps_of_a_row() -> None:
    torch.manual_seed(0)
    states = Padded(torch.ones(50, 7, 20), torch.full((50,), 7))
    dropped = LockedDropout(0.4).train()(states)
    assert torch.equal(dropped.values, dropped.values[:, :1].expand(-1, 7, -1))
    kept = dropped.values[:, 0]
    assert torch.unique(kept).tolist() == pytest.approx([0, 1 / 0.6], rel=1e-4), "a rate is kept to 1/65536"
    assert float(kept.mean()) == pytest.approx(1, abs=0.1)
    assert len({tuple(row.tolist()) for row in kept}) > 40, "rows have masks of their own"
    assert torch.equal(states.values, torch.ones(50, 7, 20)) and dropped.lengths is states.lengths


@given(st.floats(0, 0.99), st.lists(st.integers(0, 9), max_size=3))
def test_a_mask_is_zero_or_the_reciprocal_of_what_is_kept(rate: float, shape: list[int]) -> None:
    mask = dropout_mask(shape, rate)
    assert mask.shape == tuple(shape) and mask.dtype == torch.float32
    kept = mask[mask != 0]
    assert torch.allclose(kept, torch.full_like(kept, 1 / (1 - rate)), rtol=2e-3)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_a_mask_drops_at_its_rate_and_keeps_the_mean(rate: float) -> None:
    torch.manual_seed(1)
    mask = dropout_mask((400, 1000), rate)
    # Five standard errors of 400,000 draws.
    assert float((mask == 0).float().mean()) == pytest.approx(rate, abs=5 * (rate * (1 - rate) / mask.numel()) ** 0.5)
    assert float(mask.mean()) == pytest.approx(1, abs=5 * (rate / (1 - rate) / mask.numel()) ** 0.5 + 1e-4)
    dropped = (mask == 0).float() - rate
    scale = mask.numel() * max(rate * (1 - rate), 1e-9)
    neighbours = float((dropped[:, 1:] * dropped[:, :-1]).sum() / scale)
    fourths = float((dropped[:, 4:] * dropped[:, :-4]).sum() / scale)
    assert abs(neighbours) < 0.01 and abs(fourths) < 0.01, "elements of one drawn number are independent"


def test_locked_dropout_does_nothing_in_answering_or_at_rate_zero() -> None:
    states = Padded(torch.randn(2, 3, 4), torch.tensor([3, 1]))
    assert LockedDropout(0.9).eval()(states) is states
    assert LockedDropout(0.0).train()(states) is states


def test_word_dropout_takes_whole_tokens_in_training_alone() -> None:
    inputs = real_inputs(word_dropout=0.5)
    sentences = [["to", "Taipei", "on", "November"]] * 200
    batch = inputs.encode_tokens(sentences, {"pos": [["N"] * 4] * 200})
    torch.manual_seed(0)
    gone = (inputs.train()(batch).values == 0).all(-1)
    assert float(gone.float().mean()) == pytest.approx(0.5, abs=0.07)
    assert len({tuple(row.tolist()) for row in gone}) > 8
    assert not (inputs.eval()(batch).values == 0).all(-1).any()
