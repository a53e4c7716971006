"""A language model: that its probabilities are a language model's, and everything that is done with one."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import call, columns, sentences, tiny

from structseq import ConfigError, Corpus, DataError, Embedder, Example, Scorer, Tagger
from structseq.config import Options
from structseq.encoders import ENCODERS
from structseq.evaluation.perplexity_report import evaluate_perplexity
from structseq.heads.language_modelling import END, NAMES, UNKNOWN, LanguageModelHead, NextTokens
from structseq.model import Model
from structseq.padded import Padded
from structseq.run import CorpusFiles, prepare_corpus, transfer
from structseq.spans import PLAIN, TagSet, scheme_of
from structseq.tasks import LanguageModelTask
from structseq.training import train

SMALL: dict[str, Any] = {
    "inputs": {
        "words": {"width": 8}, "characters": {"width": 4}, "affixes": {"shape": 0, "width": 0}, "dropout": 0.0,
    },
    "encoder": {"width": 8, "dropout": 0.0, "recurrent_dropout": 0.0},
    "head": {"type": "language_model", "min_count": 1},
    "training": {"learning_rate": 0.02, "epochs": 12, "threads": 1},
}  # fmt: skip
FORWARDS = {"encoder": {"bidirectional": False}}
BACKWARDS = {"encoder": {"bidirectional": False, "backwards": True}}
TAGS = TagSet(("a", "b", "c"), PLAIN, PLAIN)


def log_probs_of(model: Model, examples: list[Example]) -> list[float]:
    """The log-probability of each text, as the distribution has it."""
    found = [0.0] * len(examples)
    for rows, distribution in model.distributions(examples):
        each = distribution.log_prob(model.head.pad([model.head.target(examples[row]) for row in rows])).tolist()
        for row, value in zip(rows, each, strict=True):
            found[row] = value
    return found


def texts(*lines: str) -> list[Example]:
    return [Example.of(line.split()) for line in lines]


def untrained(*layers: dict[str, Any], examples: Sequence[Example] | None = None, spread: float = 0.5) -> Model:
    """A model with random weights, far from uniform."""
    options = Options.of(SMALL, *layers)
    LanguageModelTask.check_options(options)
    model = Model.prepare(options, examples or texts("a b", "b"), PLAIN, seed=0)
    torch.manual_seed(1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=spread)
    return model.eval()


def learned(corpus: Corpus, *layers: dict[str, Any]) -> Model:
    options = Options.of(SMALL, *layers)
    prepared = prepare_corpus(options, corpus, seed=0, names=CorpusFiles("train"))
    model = Model.prepare(options, prepared.corpus.train, prepared.scheme, seed=0)
    for _ in train(model, prepared.corpus, options.training):
        pass
    return model


def of_tokens(model: Model, examples: Sequence[Example]) -> list[Any]:
    return model.task.answers(model, examples)


# -- the distribution --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [{}, FORWARDS, BACKWARDS], ids=["both", "forwards", "backwards"])
def test_probabilities_of_all_texts_sum_to_one(layers: dict[str, Any]) -> None:
    """All texts of at most 3 tokens, and for longer ones the 4 tokens that are read first."""
    model = untrained(layers)
    every = [list(tokens) for n in range(5) for tokens in itertools.product(["a", "b", "?"], repeat=n)]
    found = of_tokens(model, [Example.of(tokens) for tokens in every])
    for name in found[0]:
        total = 0.0
        for tokens, each in zip(every, found, strict=True):
            assert len(each[name]) == len(tokens) + 1 and max(each[name]) <= 0
            total += math.exp(sum(each[name] if len(tokens) < 4 else each[name][:-1]))
        assert total == pytest.approx(1, abs=1e-5)
    first = [sum(next(iter(each.values()))) for each in found]
    assert log_probs_of(model, [Example.of(tokens) for tokens in every]) == pytest.approx(first, abs=1e-5)


@pytest.mark.parametrize("kind", ENCODERS)
def test_no_token_is_predicted_from_itself(kind: str) -> None:
    one_way = {"encoder": {"bidirectional": False, "layers": 2, "attention": 1}}
    layouts = [{"encoder": {"type": kind}}, {**FORWARDS}, {**BACKWARDS}]
    text, place = ["a", "b", "a", "a", "b"], 2
    others = [[*text[:place], token, *text[place + 1 :]] for token in ("b", "?")]
    for layers in layouts:
        try:
            model = untrained(layers, {"encoder": {"type": kind}}, one_way if layers is not layouts[0] else {}, layers)
        except ConfigError:
            assert kind == "attention" and layers is layouts[0]
            continue
        found = of_tokens(model, [Example.of(tokens) for tokens in (text, *others)])
        for name in found[0]:
            rows = np.array([each[name] for each in found])
            kept = slice(0, place) if name == "forwards" else slice(place + 1, -1)
            after = slice(place + 1, None) if name == "forwards" else [0, 1, -1]
            for row in rows[1:]:
                np.testing.assert_allclose(row[kept], rows[0, kept], atol=1e-6)
                assert (np.abs(row[after] - rows[0, after]) > 1e-6).all()  # what is read is seen


LEAKING = [
    {"encoder": {"layers": 2}},
    {"encoder": {"attention": 1}},
    {"encoder": {"type": "attention"}},
]


@pytest.mark.parametrize("layers", LEAKING)
def test_an_encoder_that_knows_the_answer_is_refused(layers: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"see a token before it is predicted; set encoder.layers=1"):
        untrained(layers)
    model = Model.prepare(Options.of(SMALL, layers), texts("a b", "b"), PLAIN, seed=0)  # and it does know it
    found = of_tokens(model, texts("a b a", "a b b"))
    assert found[0]["forwards"][1] != pytest.approx(found[1]["forwards"][1], abs=1e-9)


def states(width: int = 6) -> Padded:
    return Padded.of([torch.randn(n, width, generator=torch.Generator().manual_seed(n)) for n in (4, 2, 0, 1)])


def random_head(directions: Sequence[str] = ("forwards", "backwards"), width: int = 6) -> LanguageModelHead:
    torch.manual_seed(0)
    head = LanguageModelHead(width, TAGS, directions=directions)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    return head


def test_the_loss_is_the_mean_of_both_ways_by_the_definition() -> None:
    head, rows = random_head(), states()
    target = head.pad([head.target(Example.of(tokens)) for tokens in ("abca", "c?", "", "b")])
    assert target[1].tolist() == [2 + 2, UNKNOWN, END, 0, 0]
    weight, bias, start = head.score.weight, head.score.bias, head.start
    expected = []
    for row, length in enumerate(rows.lengths.tolist()):
        real, total = rows.values[row, :length], torch.zeros(())
        there, back = [start[:3], *real[:, :3]], [*real[:, 3:], start[3:]]
        pairs = list(zip(there, target[row], strict=False)) + list(zip(back[1:], target[row], strict=False))
        for context, number in [*pairs, (back[0], torch.tensor(END))]:
            total = total - (weight @ context + bias).log_softmax(0)[number]
        expected.append(total / 2)
    torch.testing.assert_close(head.loss(rows, target), torch.stack(expected))


@pytest.mark.parametrize("directions", [("forwards", "backwards"), ("forwards",), ("backwards",)])
def test_padding_changes_nothing_and_every_parameter_learns(directions: tuple[str, ...]) -> None:
    head, rows = random_head(directions), states()
    target = head.pad([head.target(Example.of(tokens)) for tokens in ("abca", "c?", "", "b")])
    together = head.loss(rows, target)
    spoilt = rows.values.clone()
    spoilt[~rows.mask()] = torch.nan
    values, wrong = spoilt.requires_grad_(), target.clone()
    wrong[1, 3:] = 2
    loss = head.loss(Padded(values, rows.lengths), wrong)
    torch.testing.assert_close(loss, together)
    loss.sum().backward()
    assert values.grad is not None and not values.grad[~rows.mask()].any()
    assert all(p.grad is not None and p.grad.any() for p in head.parameters())
    alone = head.loss(Padded(rows.values[1:2, :2], rows.lengths[1:2]), target[1:2, :3])
    torch.testing.assert_close(alone[0], together[1])
    with torch.autocast("cpu", torch.bfloat16):
        assert head.loss(rows, target).dtype == torch.float32
    nothing = Padded(torch.zeros(0, 0, 6), torch.zeros(0, dtype=torch.int64))
    assert head.loss(nothing, torch.zeros(0, 1, dtype=torch.int64)).tolist() == []


def test_a_vocabulary_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    head, rows = random_head(), states()
    target = head.pad([head.target(Example.of(tokens)) for tokens in ("abca", "c?", "", "b")])
    whole, best = head.loss(rows, target), head(rows).best()
    monkeypatch.setattr("structseq.heads.language_modelling.CHUNK", 3)
    torch.testing.assert_close(head.loss(rows, target), whole)
    assert torch.equal(head(rows).best().path, best.path)


@pytest.mark.parametrize("directions", [("forwards", "backwards"), ("backwards",)])
def test_the_best_is_the_most_probable_token_at_each_step(directions: tuple[str, ...]) -> None:
    head, rows = random_head(directions), states()
    found = head(rows)
    assert isinstance(found, NextTokens)
    best = found.best()
    torch.testing.assert_close(found.log_prob(best.path), best.score)
    for row, length in enumerate((5, 3, 1, 2)):
        for step in range(length):
            other = best.path.clone()
            for other[row, step] in range(5):
                assert found.log_prob(other)[row] <= best.score[row] + 1e-6
    answers = head.predicted(found)
    assert list(map(len, answers)) == [5, 3, 1, 2] and set(sum(answers, ())) <= {*NAMES, "a", "b", "c"}


# -- learning ----------------------------------------------------------------------------------------------------------


def drawn(table: dict[str, dict[str, float]], count: int, seed: int) -> tuple[list[Example], float]:
    """Texts of a bigram source, and the perplexity that the source itself has on them; the end is ``""``."""
    rng, made, total, decisions = np.random.default_rng(seed), [], 0.0, 0
    for _ in range(count):
        token, text = "", list[str]()
        while token or not text:
            chances = table[token]
            token = str(rng.choice(list(chances), p=list(chances.values())))
            total, decisions = total - math.log(chances[token]), decisions + 1
            text.append(token)
        made.append(Example.of(text[:-1]))
    return made, math.exp(total / decisions)


UNIGRAM = {token: {"a": 0.5, "b": 0.2, "c": 0.1, "": 0.2} for token in "abc"} | {"": {"a": 0.6, "b": 0.3, "c": 0.1}}
BIGRAM = {
    "": {"a": 0.9, "b": 0.1},
    "a": {"a": 0.05, "b": 0.8, "c": 0.15},
    "b": {"a": 0.1, "c": 0.6, "": 0.3},
    "c": {"a": 0.6, "b": 0.1, "c": 0.1, "": 0.2},
}


PLAIN_WORDS = {
    "inputs": {"words": {"width": 3}, "characters": {"width": 0}},
    "encoder": {"width": 6},
    "training": {"epochs": 10},
}


@pytest.mark.parametrize("source", [UNIGRAM, BIGRAM], ids=["unigram", "bigram"])
def test_perplexity_comes_near_that_of_the_source(source: dict[str, dict[str, float]]) -> None:
    (known, _), (dev, truth) = drawn(source, 1000, 0), drawn(source, 300, 1)
    model = learned(Corpus(tuple(known), tuple(dev)), PLAIN_WORDS)
    report: Any = model.task.report(model, dev)
    assert report.unknown == 0 and report.tokens == sum(map(len, dev))
    for value in report.perplexity.values():  # read backwards a text has the same probability
        assert truth * 0.98 < value < truth * 1.03, (value, truth)
    assert model.task.criterion([], of_tokens(model, dev)) == pytest.approx(report.criterion)
    assert report.criterion == pytest.approx(1 / math.sqrt(math.prod(report.perplexity.values())))


def test_rare_tokens_are_the_unknown_and_it_is_learned() -> None:
    rare = [f"x{n}" for n in range(60)]
    corpus = Corpus(tuple(texts(*(f"to {name} now" for name in rare[:40]))), tuple(texts("to x50 now", "now")))
    model = learned(corpus, {"head": {"min_count": 2}, "training": {"batch_sentences": 8, "epochs": 30}})
    assert model.tags.labels == ("now", "to")
    (score,) = Scorer(model).answer(texts("to x55 now"))
    assert score.unknown == (1,) and score.log_probs["forwards"][1] > math.log(0.6)
    report: Any = model.task.report(model, corpus.dev)
    assert (report.tokens, report.unknown) == (4, 1)
    assert "4 tokens, 1 of them unknown (25.00 %)" in str(report)


def test_tokens_too_rare_are_an_error_that_says_what_to_do() -> None:
    with pytest.raises(DataError, match=r"expected tokens that occur 2 times, found none; lower head\.min_count"):
        learned(Corpus(tuple(texts("a b", "c"))), {"head": {"min_count": 2}})


def test_words_do_not_pass_for_characters() -> None:
    with pytest.raises(DataError, match=r"head\.units: expected texts to cut into characters, found the token 'ab'"):
        learned(Corpus(tuple(texts("ab", "ab"))), {"head": {"units": "characters"}})


def test_a_report_wants_a_number_for_each_token_and_the_end() -> None:
    with pytest.raises(ValueError, match="expected 3 log-probabilities for 2 tokens and their end"):
        evaluate_perplexity([["a", "b"]], [{"forwards": [-1.0, -1.0]}], known=["a"])
    with pytest.raises(ValueError, match="expected texts, found none"):
        evaluate_perplexity([], [], known=[])


# -- as a start for another model --------------------------------------------------------------------------------------


def test_what_it_read_moves_into_a_tagger_by_name() -> None:
    """With the default inputs and an LSTM of 200."""
    rows = [Example.of(*row) for row in sentences(8)]
    more = [*rows, *texts("a train from Oslo to Bergen")]
    wide = [Options.of({"head": {"type": name}}) for name in ("language_model", "crf")]
    source = Model.prepare(wide[0], more, PLAIN, seed=1)
    target = Model.prepare(wide[1], rows, scheme_of("BIO"), seed=2, known=source.vocabularies["words"])
    taken = transfer(source, target)
    assert all(each.entries == (0 if each.parameter.startswith("head.") else each.of) for each in taken)
    for one, other in ((source.encoder, target.encoder), (source.inputs, target.inputs)):
        theirs = other.state_dict()
        assert all(torch.equal(value, theirs[name]) for name, value in one.named_parameters())
    same = [Example(each.inputs) for each in more]
    np.testing.assert_allclose(Embedder(source).embed(same), Embedder(target).embed(same), atol=1e-6)


# -- saved, loaded, and from the command line --------------------------------------------------------------------------


def test_saved_and_loaded_it_scores_the_same(tmp_path: Path) -> None:
    scorer = Scorer(untrained(examples=texts("to Oslo", "to Rome")))
    scorer.save(tmp_path / "model")
    other = Scorer.load(tmp_path / "model")
    one, again = scorer.score_text("to Oslo now"), other.score_text("to Oslo now")
    assert one == again and one.unknown == (2,)
    assert one.log_prob == pytest.approx(sum(one.log_probs["forwards"]))
    assert one.perplexity == pytest.approx(math.exp(-one.log_prob / 4))
    assert other.score(["to", "Oslo", "now"]).log_prob == pytest.approx(one.log_prob)
    assert [each.tokens for each in other.score_texts(["to", ""])] == [("to",), ()]
    with pytest.raises(ConfigError, match=r"this model is a language model of sentences; use Scorer"):
        Tagger.load(tmp_path / "model")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of the tagged corpus, some words more, and the tagged corpus itself."""
    folder = tmp_path_factory.mktemp("texts")
    rows = sentences(32)
    lines = [" ".join(tokens) for tokens, _ in rows]
    (folder / "train.txt").write_text("\n".join([*lines, "", *lines]) + "\n", encoding="utf-8")
    (folder / "dev.txt").write_text("fly from Oslo to Rome\ngo to Atlantis\n", encoding="utf-8")
    (folder / "train.conll").write_text(columns(rows), encoding="utf-8")
    return folder


@pytest.mark.parametrize("units", ["words", "characters"])
def test_from_the_command_line(units: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = [*tiny(), "--set", "head.type=language_model", "--set", f"head.units={units}"]
    model, train_, dev = tmp_path / "model", folder / "train.txt", folder / "dev.txt"
    done = call(capsys, "train", train_, "--dev", dev, "--test", dev, "--output", model, *own)
    assert done.status == 0, done.err
    count = 8 if units == "words" else 35
    tokens = sum(map(len, (line.split() if units == "words" else line for line in train_.read_text().splitlines())))
    assert f"64 sentences, {tokens} tokens" in done.err
    assert f"2 texts, {count} tokens" in done.out and "perplexity of a token" in done.out
    done = call(capsys, "evaluate", model, dev, "--json", "-")
    report = json.loads(done.out)
    assert report["tokens"] == count and set(report["perplexity"]) == {"forwards", "backwards"}
    done = call(capsys, "tag", model, dev)
    records = [json.loads(line) for line in done.out.splitlines()]
    assert [record["source"] for record in records] == ["fly from Oslo to Rome", "go to Atlantis"]
    assert [len(record["log_probs"]["backwards"]) - 1 for record in records] == [
        len(record["tokens"]) for record in records
    ]
    total = sum(sum(record["log_probs"]["forwards"]) for record in records)
    assert math.exp(-total / (count + 2)) == pytest.approx(report["perplexity"]["forwards"])
    done = call(capsys, "tag", model, "--text", "go to Atlantis")
    lines = done.out.splitlines()
    assert lines[-2].startswith("(end)") and lines[-1].startswith("perplexity ")
    assert ("Atlantis (unknown)" in done.out) == (units == "words")
    done = call(capsys, "embed", model, dev)
    assert len(json.loads(done.out.splitlines()[0])["vector"]) == 16
    assert call(capsys, "describe", model).status == 0


def test_a_tagger_starts_from_it(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = [*tiny(), "--set", "head.type=language_model"]
    assert call(capsys, "train", folder / "train.txt", "--output", tmp_path / "lm", *own).status == 0
    start = ["train", folder / "train.conll", "--init-from", tmp_path / "lm", "--output", tmp_path / "tagger"]
    done = call(capsys, *start, *tiny(1))
    assert done.status == 0, done.err
    assert "all of words, all of characters, all of encoder; not copied: head" in done.err


def test_sentences_of_any_corpus_are_texts(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = [*tiny(1), "--set", "head.type=language_model"]
    done = call(capsys, "train", folder / "train.conll", "--output", tmp_path / "lm", *own)
    assert done.status == 0 and "32 sentences" in done.err
    for name in ("train.txt", "train.conll"):
        given = ["--dev", folder / "train.conll", "--test", folder / "dev.txt", "--output", tmp_path / name]
        done = call(capsys, "train", folder / name, *given, *own)
        assert done.status == 0 and "32 texts, 176 tokens, 0" in done.out and "2 texts, 8 tokens" in done.out
        done = call(capsys, "evaluate", tmp_path / name, folder / "train.conll")
        assert done.status == 0 and "32 texts, 176 tokens" in done.out


@pytest.mark.parametrize(
    "content", ["to\tO\nOslo\tB\n", "to\nOslo\n\nfrom\nRome\n", "to O\nOslo B\n\nfrom O\nhere O\n"]
)
def test_what_may_be_columns_is_an_error(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "train.txt"
    path.write_text((content + "\n") * 4, encoding="utf-8")
    own = [*tiny(1), "--set", "head.type=language_model"]
    done = call(capsys, "train", path, "--output", tmp_path / "m", *own)
    assert done.status != 0 and "data.format=text or data.format=columns" in done.err
    for name in ("text", "columns"):
        done = call(capsys, "train", path, "--output", tmp_path / name, *own, "--set", f"data.format={name}")
        assert done.status == 0, done.err


def test_pairs_are_no_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "train.tsv"
    path.write_text("source\ttarget\nab\tba\n", encoding="utf-8")
    done = call(capsys, "train", path, "--output", tmp_path / "m", "--set", "head.type=language_model")
    assert done.status != 0 and "a language model reads texts, not pairs" in done.err


def test_recordings_are_no_texts() -> None:
    frames = [Example.of_frames(np.ones((3, 2)))] * 2
    with pytest.raises(DataError, match="it is made of frames"):
        learned(Corpus(tuple(frames), tuple(frames)))
