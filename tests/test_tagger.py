"""Tagger: exact confidences, order, bounded reading ahead, shared threads, and a sentence for every wrong input."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import pickletools
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from structseq.config import Options
from structseq.data.example import Example
from structseq.data.formats import read
from structseq.data.reading import Corpus
from structseq.encoders.recurrent import LSTM
from structseq.errors import ConfigError, DataError, ModelFileError
from structseq.inference import TaggedSpan, Tagger, Tagging
from structseq.inference.batch_tagger import MAX_SENTENCES, MAX_TOKENS, even_batches
from structseq.inference.projection import Projection
from structseq.model import Model
from structseq.spans import scheme_of
from structseq.training import train

TINY: dict[str, Any] = {
    "inputs": {
        "words": {"width": 6},
        "characters": {"width": 4, "embedding": 3},
        "affixes": {"shape": 2, "width": 2, "min_count": 1},
        "dropout": 0.1,
    },
    "encoder": {"width": 6, "dropout": 0.1},
    "training": {"epochs": 3, "batch_sentences": 4, "learning_rate": 0.02, "threads": 1},
}
EXAMPLES = [
    Example.of(["arrive", "Taipei", "on", "May", "2nd"], ["O", "B-to", "O", "B-date", "I-date"]),
    Example.of(["leave", "Taipei"], ["O", "B-from"]),
    Example.of(["from", "New", "York", "Boston"], ["O", "B-from", "I-from", "B-from"]),
    Example.of(["May", "3rd"], ["B-date", "I-date"]),
] * 3
COLUMNED = [
    Example.of(["may", "may"], ["B-x", "O"], pos=["N", "V"], cap=["0", "0"]),
    Example.of(["may"], ["O"], pos=["V"], cap=["1"]),
]


def tiny(
    *layers: dict[str, Any], examples: list[Example] = EXAMPLES, scheme: str = "BIO", trained: bool = True
) -> Tagger:
    model = Model.prepare(Options.of(TINY, *layers), examples, scheme_of(scheme), seed=0)
    if trained:
        for _ in train(model, Corpus(tuple(examples)), seed=0):
            pass
    return Tagger(model)


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return tiny()


WORDS = ["arrive", "Taipei", "New", "York", "Kaohsiung", "May", "2nd", "on", "#", "\u200b", "臺北", ""]


def random_sentences(count: int, longest: int = 12, seed: int = 0) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    return [[WORDS[n] for n in rng.integers(len(WORDS), size=rng.integers(longest))] for _ in range(count)]


def close(one: Tagging, other: Tagging) -> bool:
    """The same but for rounding in the confidences."""
    assert one.confidence is not None and other.confidence is not None
    return (one.tokens, one.tags) == (other.tokens, other.tags) and np.allclose(
        one.confidence, other.confidence, atol=1e-5
    )


# -- what it answers --------------------------------------------------------------------------------------------------


def test_it_tags_what_it_learned(tagger: Tagger) -> None:
    tagging = tagger.tag(["arrive", "Taipei", "on", "May", "2nd"])
    assert tagging.tokens == ("arrive", "Taipei", "on", "May", "2nd")
    assert tagging.tags == next(iter(tagger.model.predict([EXAMPLES[0]])))
    assert [(span.start, span.end, span.label) for span in tagging.spans] == [
        (span.start, span.end, span.label) for span in tagger.scheme.decode(tagging.tags)
    ]
    assert tagging.confidence == tuple(span.confidence for span in tagging.spans)
    assert len(tagging) == 5


def test_without_confidence(tagger: Tagger) -> None:
    tagging = tagger.tag(["leave", "Taipei"], confidence=False)
    assert tagging.confidence is None
    assert tagging.tags == tagger.tag(["leave", "Taipei"]).tags
    assert all(span.confidence is None for span in tagging.spans)


@given(tokens=st.lists(st.sampled_from(WORDS), max_size=12))
def test_it_answers_as_the_model_does(tagger: Tagger, tokens: list[str]) -> None:
    (expected,) = tagger.model.predict([Example.of(tokens)])
    assert tagger.tag(tokens).tags == expected


def test_it_decides_as_the_head_was_tuned(tmp_path: Path) -> None:
    tagger = tiny(trained=False)
    given = random_sentences(40)
    neutral = list(tagger.tag_many(given))
    tagger.model.head.set_bias(-0.25)
    tagger.save(tmp_path / "model")
    for tuned in (Tagger(tagger.model), Tagger.load(tmp_path / "model")):
        found = list(tuned.tag_many(given))
        assert [tagging.tags for tagging in found] == list(tagger.model.predict([Example.of(t) for t in given]))
        assert 0 < sum(len(t.spans) for t in found) < sum(len(t.spans) for t in neutral)
        # The decision moved, the probabilities did not.
        chances = {(n, s.start, s.end, s.label): s.confidence for n, t in enumerate(neutral) for s in t.spans}
        kept = {(n, s.start, s.end, s.label): s.confidence for n, t in enumerate(found) for s in t.spans}
        both = chances.keys() & kept.keys()
        assert both and all(chances[key] == pytest.approx(kept[key], abs=1e-6) for key in both)


STACKS: list[dict[str, Any]] = [
    {"encoder": {"layers": 1}},
    {"encoder": {"bidirectional": False}},
    {"encoder": {"layers": 3}},
    {"encoder": {"layers": 2, "bidirectional": False, "width": 1}},
    {"inputs": {"words": {"width": 0}, "affixes": {"shape": 0, "width": 0}}},
]


@pytest.mark.parametrize("options", STACKS)
@pytest.mark.parametrize("columned", [False, True])
def test_the_projected_layer_is_the_layer(
    options: dict[str, Any], columned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader's shortcut through the first layer, and the model's own way, with padding and unseen words."""
    columns = {"data": {"columns": {"pos": 1, "cap": 2}}} if columned else {}
    examples = COLUMNED if columned else EXAMPLES
    tagger = tiny(options, columns, examples=examples, trained=False)
    own = Tagger(tagger.model)
    own._batches.projection = None
    assert tagger._batches.projection is not None
    states, rows = Projection.states, []
    monkeypatch.setattr(
        Projection, "states", lambda self, p, lengths: rows.append(len(lengths)) or states(self, p, lengths)
    )
    given: list[Any] = random_sentences(120, longest=20)
    if columned:
        given = [{"tokens": t, "pos": ["N", "V", "?"] * 7, "cap": ["0"] * 21} for t in given]
        given = [{name: values[: len(row["tokens"])] for name, values in row.items()} for row in given]
    pairs = zip(tagger.tag_many(given, marginals=True), own.tag_many(given, marginals=True), strict=True)
    for projected, direct in pairs:
        assert close(projected, direct)
        assert sum(rows) > 24
        assert projected.marginals is not None and direct.marginals is not None
        for one, other in zip(projected.marginals, direct.marginals, strict=True):
            assert list(one.values()) == pytest.approx(list(other.values()), abs=1e-5)


class Another(LSTM):
    """An encoder whose use of its weights is unknown."""


def test_other_encoders_go_their_own_way() -> None:
    tagger = tiny({"encoder": {"type": f"{Another.__module__}:Another"}}, trained=False)
    assert tagger._batches.projection is None
    assert tagger.tag(["leave", "Taipei"]).tags == next(iter(tagger.model.predict([EXAMPLES[1]])))


# Files in one scheme, learned in another; `file_tags` maps the first five tag by tag, the rest depend on neighbours.
SCHEMES = [
    ("BIO", "BIO"), ("BIO", "BIOES"), ("BIOES", "BIOES"), ("BILOU", "BILOU"), ("IO", "IO"),
    ("IOB1", "BIOES"), ("IOB1", "BIO"), ("IOE", "BIO"), ("IOE1", "BIOES"), ("BIOES", "BIO"),
]  # fmt: skip


def in_scheme(scheme: str) -> list[Example]:
    """The examples in another scheme; IO holds no neighbours of one type."""
    bio, target = scheme_of("BIO"), scheme_of(scheme)
    chosen = [example for example in EXAMPLES if scheme != "IO" or "New" not in example.tokens]
    return [Example.of(e.tokens, target.encode(bio.decode(e.tags), len(e))) for e in chosen]


def enumerate_tags(tagger: Tagger, tokens: list[str]) -> list[tuple[tuple[str, ...], float]]:
    """Every legal tag sequence inside, as the user sees it, with its probability."""
    model = tagger.model
    with torch.no_grad():
        chain = model.distribution(model.inputs.encode([Example.of(tokens)]))
        found = []
        for path in product(range(len(model.tags.labels)), repeat=len(tokens)):
            probability = float(chain.log_prob(torch.tensor([path])).double().exp())
            if probability:
                found.append((model.tags.decode(path), probability))
    return found


@pytest.mark.parametrize(("file_scheme", "model_scheme"), SCHEMES)
@pytest.mark.parametrize("head", ["crf", "softmax"])
def test_confidences_and_marginals_are_exact(file_scheme: str, model_scheme: str, head: str) -> None:
    examples = [e for e in in_scheme(file_scheme) if "2nd" not in e.tokens or file_scheme == "IO"]
    tagger = tiny(
        {"head": {"type": head, "scheme": model_scheme}}, examples=examples, scheme=file_scheme, trained=False
    )
    assert tagger.model.tags.model_scheme.name == model_scheme
    for tokens in (["leave", "Taipei", "Boston"], ["Kaohsiung"], ["York", "New", "York", "Boston"]):
        tagging = tagger.tag(tokens, marginals=True)
        known = enumerate_tags(tagger, tokens)
        assert sum(p for _, p in known) == pytest.approx(1, abs=1e-4)
        assert tagging.tags == max(known, key=lambda pair: pair[1])[0]
        for span in tagging.spans:
            expected = sum(
                p
                for tags, p in known
                if (span.start, span.end, span.label) in [(s.start, s.end, s.label) for s in tagger.scheme.decode(tags)]
            )
            assert span.confidence == pytest.approx(expected, abs=1e-5)
        assert tagging.marginals is not None
        for place, marginals in enumerate(tagging.marginals):
            assert tuple(marginals) == tagger.labels
            for tag, probability in marginals.items():
                assert probability == pytest.approx(sum(p for tags, p in known if tags[place] == tag), abs=1e-5)


def test_some_spans_were_compared() -> None:
    """The test above compares something: untrained models do find spans."""
    tagger = tiny(trained=False)
    assert sum(len(tagging.spans) for tagging in tagger.tag_many(random_sentences(20))) > 10


def test_the_perceptron_has_no_confidence() -> None:
    tagger = tiny({"head": {"type": "perceptron"}})
    taggings = list(tagger.tag_many([["leave", "Taipei"], []], marginals=True))
    assert [tagging.confidence for tagging in taggings] == [None, None]
    assert [tagging.marginals for tagging in taggings] == [None, None]
    assert all(span.confidence is None for span in taggings[0].spans)


PLAIN = [Example.of(["the", "dog", "barks"], ["DT", "NN", "VB"]), Example.of(["dogs", "bark"], ["NN", "VB"])]


def test_plain_tags_have_a_confidence_each() -> None:
    tagger = tiny(examples=PLAIN, scheme="plain", trained=False)
    tagging = tagger.tag(["the", "cat", "barks"], marginals=True)
    assert tagging.spans == ()
    assert tagging.confidence is not None and tagging.marginals is not None
    for tag, sure, marginals in zip(tagging.tags, tagging.confidence, tagging.marginals, strict=True):
        assert sure == pytest.approx(marginals[tag], abs=1e-6)
        assert sum(marginals.values()) == pytest.approx(1, abs=1e-5)
    assert tagging.to_dict()["confidence"] == list(tagging.confidence)


# -- text -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokenizer", ["words-1", "characters-1", "whitespace-1"])
@given(text=st.text() | st.sampled_from(["arrive Taipei, on May 2nd!", "  飛 臺北 \u200b\u3000", "New York\r\n"]))
def test_places_in_the_text(tagger: Tagger, tokenizer: str, text: str) -> None:
    tagging = Tagger(tagger.model, tokenizer=tokenizer).tag_text(text)
    assert tagging.text == text
    for token in tagging.tokens:
        assert text[token.start : token.end] == token  # type: ignore[attr-defined]
    for span in tagging.spans:
        assert text[span.start_char : span.end_char] == span.text
        assert span.text.startswith(tagging.tokens[span.start]) and span.text.endswith(tagging.tokens[span.end - 1])
    assert tagging.tags == tagger.tag(tagging.tokens).tags


def test_texts_in_order(tagger: Tagger) -> None:
    texts = ["arrive Taipei", "", "leave New York"]
    taggings = list(tagger.tag_texts(texts, look_ahead=2))
    assert [tagging.text for tagging in taggings] == texts
    assert [close(tagging, tagger.tag_text(text)) for tagging, text in zip(taggings, texts, strict=True)]


def test_as_plain_values() -> None:
    scheme = scheme_of("BIO")
    tagging = Tagging(("leave", "New", "York"), ("O", "B-from", "I-from"), (0.75,), scheme)
    assert tagging.spans == (TaggedSpan(1, 3, "from", 0.75, "New York"),)
    assert tagging.to_dict() == {
        "tokens": ["leave", "New", "York"],
        "tags": ["O", "B-from", "I-from"],
        "spans": [
            {"text": "New York", "start_token": 1, "end_token": 3, "label": "from", "confidence": 0.75},
        ],
    }  # fmt: skip


def test_as_json_and_as_hugging_face_writes_it(tagger: Tagger) -> None:
    tagging = tagger.tag_text("arrive  Taipei on May 2nd")
    values = json.loads(json.dumps(tagging.to_dict()))
    assert values["offsets"] == [[0, 6], [8, 14], [15, 17], [18, 21], [22, 25]]
    assert values["text"] == tagging.text
    for span, value in zip(tagging.spans, values["spans"], strict=True):
        assert tagging.text is not None and tagging.text[value["start"] : value["end"]] == value["text"] == span.text
        assert (value["start_token"], value["end_token"]) == (span.start, span.end)
    again = io.BytesIO(json.dumps({"text": tagging.text, "spans": values["spans"]}).encode())
    assert next(read(again, "jsonl")).tags == tagging.tags, "a reader takes what to_dict gives"
    assert values["spans"] == json.loads(json.dumps(tagging.record()))["spans"], "as the command line writes them"
    for span, values in zip(tagging.spans, tagging.to_dict("hf")["spans"], strict=True):
        assert values == {
            "entity_group": span.label, "score": span.confidence, "word": span.text,
            "start": span.start_char, "end": span.end_char,
        }  # fmt: skip


# -- streams ----------------------------------------------------------------------------------------------------------


def test_order_is_kept_and_neighbours_change_nothing(tagger: Tagger) -> None:
    given = random_sentences(300, longest=30)
    together = list(tagger.tag_many(given))
    assert [list(tagging.tokens) for tagging in together] == given
    for tokens, tagging in zip(given[:60], together, strict=False):
        assert close(tagger.tag(tokens), tagging)
    for look_ahead in (1, 7, 10_000):
        assert all(map(close, tagger.tag_many(given, look_ahead=look_ahead), together))


@given(lengths=st.lists(st.integers(1, 40) | st.integers(1, 2 * MAX_TOKENS), min_size=1, max_size=300))
def test_every_row_is_in_one_batch(lengths: list[int]) -> None:
    found = list(even_batches(np.array(lengths)))
    assert sorted(row for rows in found for row in rows.tolist()) == list(range(len(lengths)))
    for rows in found:
        assert len(rows) == 1 or (
            len(rows) <= MAX_SENTENCES and len(rows) * max(lengths[row] for row in rows) <= MAX_TOKENS
        )


@pytest.mark.parametrize("look_ahead", [1, 8, 100])
def test_reading_ahead_is_bounded(tagger: Tagger, look_ahead: int) -> None:
    taken = 0

    def endless() -> Iterator[list[str]]:
        nonlocal taken
        while True:
            taken += 1
            yield ["leave", "Taipei"]

    stream = tagger.tag_many(endless(), look_ahead=look_ahead)
    assert taken == 0
    for answered in range(3 * look_ahead):
        next(stream)
        assert answered < taken <= answered + look_ahead


def test_long_sentences_shorten_the_look_ahead(tagger: Tagger) -> None:
    taken = 0

    def long_ones() -> Iterator[list[str]]:
        nonlocal taken
        for _ in range(10):
            taken += 1
            yield ["Taipei"] * 20_000

    stream = tagger.tag_many(long_ones(), confidence=False)
    assert len(next(stream)) == 20_000
    assert taken == 2
    assert [len(tagging) for tagging in stream] == [20_000] * 9


def test_answers_come_before_the_fault(tagger: Tagger) -> None:
    def source() -> Iterator[Any]:
        yield ["leave", "Taipei"]
        yield []
        yield ["on", 2]

    stream = tagger.tag_many(source())
    assert len(next(stream)) == 2 and len(next(stream)) == 0
    with pytest.raises(DataError, match="sentence 3: expected tokens that are strings, found int 2 at position 1"):
        next(stream)


def test_the_source_may_fail(tagger: Tagger) -> None:
    def source() -> Iterator[list[str]]:
        yield ["leave"]
        raise OSError("gone")

    stream = tagger.tag_many(source())
    assert next(stream).tokens == ("leave",)
    with pytest.raises(OSError, match="gone"):
        next(stream)


def test_empty_sentences_and_no_sentences(tagger: Tagger) -> None:
    assert list(tagger.tag_many([])) == []
    assert list(tagger.tag_texts(iter(()))) == []
    empty = tagger.tag([], marginals=True)
    assert (empty.tokens, empty.tags, empty.spans, empty.confidence, empty.marginals) == ((), (), (), (), ())
    assert [len(tagging) for tagging in tagger.tag_many([[], ["on"], []])] == [0, 1, 0]
    assert tagger.tag_text(" \n").to_dict() == {"tokens": [], "tags": [], "spans": [], "text": " \n", "offsets": []}
    assert tagger.predict([]) == []


def test_a_sentence_of_100_000_tokens(tagger: Tagger) -> None:
    tagging = tagger.tag(["arrive", "Taipei", "on", "May", "2nd"] * 20_000)
    assert len(tagging.tags) == 100_000
    assert tagging.confidence is not None and len(tagging.spans) == len(tagging.confidence) > 0
    assert all(0 <= sure <= 1 for sure in tagging.confidence)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_tags(tagger: Tagger) -> None:
    """After the parent has tagged on two threads; the child gives the same answer, or is killed if it hangs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        expected = tagger.tag(["to", "Taipei"] * 200)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(20)
                status = int(not close(tagger.tag(["to", "Taipei"] * 200), expected))
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda tokens: (token for token in tokens), np.array])
def test_tokens_of_any_iterable(tagger: Tagger, kind: Any) -> None:
    tokens = ["arrive", "Taipei"]
    expected = tagger.tag(tokens)
    assert tagger.tag(kind(tokens)) == expected
    assert list(tagger.tag_many([kind(tokens)])) == [expected]
    assert tagger.predict([Example.of(tokens), {"tokens": kind(tokens)}]) == [expected.tags] * 2


# -- columns ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def columned() -> Tagger:
    return tiny({"data": {"columns": {"pos": 1, "cap": 2}}}, examples=COLUMNED, trained=False)


def test_columns_are_looked_at(columned: Tagger) -> None:
    assert columned.columns == ("pos", "cap")
    one = columned.tag(["may", "may"], pos=["N", "V"], cap=["0", "0"], marginals=True)
    other = columned.tag(["may", "may"], pos=["V", "never seen"], cap=["0", "0"], marginals=True)
    assert one.marginals != other.marginals
    mapping = {"tokens": ["may", "may"], "pos": ["N", "V"], "cap": ["0", "0"], "other": "passed over"}
    assert all(close(one, tagging) for tagging in columned.tag_many([COLUMNED[0], mapping]))
    (expected,) = columned.model.predict(COLUMNED[:1])
    assert one.tags == expected


# -- wrong input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("arrive Taipei", "tag: expected a list of tokens, found a text; use tag_text"),
        (b"arrive", "tag: expected a list of tokens, found bytes b'arrive'"),
        (None, "tag: expected a list of tokens, found NoneType None"),
        (7, "tag: expected a list of tokens, found int 7"),
        ([b"arrive"], "tag: expected tokens that are strings, found bytes b'arrive' at position 0"),
        (["on", None], "found NoneType None at position 1"),
        ([["arrive", "Taipei"]], "found list ['arrive', 'Taipei'] at position 0"),
        ({"words": ["on"]}, "tag: expected a mapping with 'tokens', found words"),
    ],
)
def test_what_cannot_be_tagged(tagger: Tagger, wrong: Any, said: str) -> None:
    with pytest.raises(DataError) as caught:
        tagger.tag(wrong)
    assert said in str(caught.value)


def test_texts_where_tokens_are_due_and_the_other_way_round(tagger: Tagger, columned: Tagger) -> None:
    calls: list[tuple[Any, str]] = [
        (lambda: tagger.tag_many("arrive Taipei"), "use tag_text"),
        (lambda: tagger.tag_texts("arrive Taipei"), "use tag_text"),
        (lambda: list(tagger.tag_many(["arrive Taipei"])), "sentence 1: expected a list of tokens, found a text"),
        (lambda: tagger.tag_text(["arrive"]), "expected a text, found list"),  # type: ignore[arg-type]
        (lambda: list(tagger.tag_texts([b"x"])), "text 1: expected a text, found bytes"),  # type: ignore[list-item]
        (lambda: columned.tag_text("may"), "needs the column 'pos'"),
    ]
    for call, said in calls:
        with pytest.raises(DataError) as caught:
            call()
        assert said in str(caught.value)


def test_wrong_columns(tagger: Tagger, columned: Tagger) -> None:
    calls: list[tuple[Any, str]] = [
        (lambda: tagger.tag(["may"], pos=["V"]), "has no column 'pos'; its columns are tokens"),
        (lambda: columned.tag(["may"], poss=["V"]), "has no column 'poss'; did you mean 'pos'?"),
        (lambda: columned.tag(["may"], pos=["V"]), "expected the column 'cap'"),
        (lambda: columned.tag(["may"]), "tag: expected the column 'pos', which the model was trained with, found none"),
        (lambda: columned.tag(["may"], pos=["V", "V"], cap=["0"]), "expected 1 values in column 'pos'"),
        (lambda: columned.tag(["may"], pos="V", cap=["0"]), "column pos: expected a list"),
        (lambda: columned.predict([Example(COLUMNED[0].inputs | {"pos": ("V",)}, source="f:3")]), "f:3: expected 2"),
        (lambda: columned.predict([Example({"tokens": ("may",)}, source="f:3")]), "f:3: expected the column"),
    ]
    for call, said in calls:
        with pytest.raises(DataError) as caught:
            call()
        assert said in str(caught.value)


def test_a_look_ahead_of_nothing(tagger: Tagger) -> None:
    with pytest.raises(ConfigError, match="look_ahead"):
        tagger.tag_many([], look_ahead=0)


def test_an_unknown_tokenizer(tagger: Tagger) -> None:
    with pytest.raises(ConfigError, match="words-1"):
        Tagger(tagger.model, tokenizer="word-1")


# -- folders, threads, pickles ----------------------------------------------------------------------------------------


def test_saved_and_loaded(tagger: Tagger, tmp_path: Path) -> None:
    details: dict[str, Any] = {"metrics": {"f1": 0.5}, "provenance": {"seed": 0}, "entities": [("Taipei", "from")]}
    Tagger(tagger.model, tokenizer="characters-1", **details).save(tmp_path / "model")
    loaded = Tagger.load(tmp_path / "model")
    assert (loaded.tokenizer, loaded.metrics, loaded.provenance) == ("characters-1", {"f1": 0.5}, {"seed": 0})
    assert loaded.entities == {("Taipei", "from")}
    given = random_sentences(50)
    assert list(loaded.tag_many(given)) == list(tagger.tag_many(given))
    with pytest.raises(ModelFileError):
        Tagger.load(tmp_path)


def test_threads_share_a_tagger(tagger: Tagger) -> None:
    parts = [random_sentences(40, seed=seed) for seed in range(24)]
    alone = [list(tagger.tag_many(part)) for part in parts]
    fresh = Tagger(tagger.model)
    with ThreadPoolExecutor(8) as pool:
        shared = list(pool.map(lambda part: list(fresh.tag_many(part, look_ahead=16)), parts))
    for one, other in zip(alone, shared, strict=True):
        assert all(map(close, one, other))


def test_a_stream_may_be_left_and_others_begun(tagger: Tagger) -> None:
    """Generators leave no mode behind: gradients work between two answers."""
    stream = tagger.tag_many([["leave"], ["Taipei"]], look_ahead=1)
    next(stream)
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    stream.close()


def test_a_pickle_holds_the_files_of_the_folder(tagger: Tagger) -> None:
    original = Tagger(tagger.model, tokenizer="whitespace-1", entities=[("Taipei", "from")])
    pickled = pickle.dumps(original)
    names = {argument for opcode, argument, _ in pickletools.genops(pickled) if isinstance(argument, str)}
    assert "model.safetensors" in names
    assert not {name for name in names if name.split(".")[0] == "torch"}
    for copied in (pickle.loads(pickled), copy.deepcopy(original)):
        assert copied.tokenizer == "whitespace-1" and copied.entities == original.entities
        assert copied.tag(["leave", "Taipei"]) == tagger.tag(["leave", "Taipei"])
    tagging = tagger.tag_text("leave Taipei")
    assert pickle.loads(pickle.dumps(tagging)) == tagging
    assert pickle.loads(pickle.dumps(tagging)).tokens[1].start == 6


def test_a_tagger_says_what_it_is(tagger: Tagger) -> None:
    assert repr(tagger) == "Tagger(lstm + crf; 3 types: date, from, to)"
