"""One label for a whole sequence: pooling against loops, the head's laws, training, storing, and its two faces."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import get_args

import pytest
import torch
from commandline import call, tiny
from task_for_head import task_for

from structseq import Classifier, Tagger
from structseq.config import Options
from structseq.data.example import Example
from structseq.data.reading import with_labels
from structseq.errors import ConfigError, DataError
from structseq.heads.classifying import ClassifyHead, Pooling, PoolingName
from structseq.model import Model
from structseq.padded import Padded
from structseq.spans import PLAIN, TagSet
from structseq.storage import load_model, save_model
from structseq.structures.chain import LinearChain
from structseq.training import train

LENGTHS = (4, 1, 0, 6)
WIDTH = 3
LABELS = TagSet(("bad", "fair", "good"), PLAIN, PLAIN)


def states(seed: int = 0) -> Padded:
    generator = torch.Generator().manual_seed(seed)
    rows = Padded.of([torch.randn(length, WIDTH, generator=generator) for length in LENGTHS])
    return rows.with_values(rows.values.masked_fill(~rows.mask().unsqueeze(-1), float("nan")))


# -- pooling -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", get_args(PoolingName))
def test_pooling_row_by_row(kind: str) -> None:
    torch.manual_seed(0)
    pooling, rows = Pooling(kind, WIDTH), states()
    found = pooling(rows)
    assert found.shape == (len(LENGTHS), pooling.width)
    for vector, row, length in zip(found, rows.values, LENGTHS, strict=True):
        real = row[:length]
        if not length:
            expected = torch.zeros(pooling.width)
        elif kind == "last":
            expected = torch.cat([real[0], real[-1]])
        elif kind == "mean":
            expected = real.mean(0)
        elif kind == "max":
            expected = real.max(0).values
        else:
            scores = torch.stack([pooling.weight(torch.tanh(pooling.looked_at(step))) for step in real])
            expected = (torch.softmax(scores, 0) * real).sum(0)
        torch.testing.assert_close(vector, expected)


@pytest.mark.parametrize("kind", get_args(PoolingName))
def test_padding_gives_no_gradient_and_every_step_can(kind: str) -> None:
    torch.manual_seed(0)
    pooling, rows = Pooling(kind, WIDTH), states()
    values = rows.values.clone().requires_grad_()
    pooling(rows.with_values(values)).square().sum().backward()
    assert values.grad is not None and not values.grad[~rows.mask()].any()
    assert values.grad[0, 0].any() and values.grad[1, 0].any() and torch.isfinite(values.grad).all()


def test_attention_weights_are_shares_of_the_real_steps() -> None:
    weights = Pooling("attention", WIDTH).weights(states())
    torch.testing.assert_close(weights.sum((1, 2)), torch.tensor([1.0, 1.0, 0.0, 1.0]))
    assert not weights[~states().mask()].any() and (weights[0, :4] > 0).all()


@pytest.mark.parametrize("kind", get_args(PoolingName))
def test_no_steps_at_all(kind: str) -> None:
    empty = Padded(torch.zeros(2, 0, WIDTH), torch.zeros(2, dtype=torch.int64))
    assert not Pooling(kind, WIDTH)(empty).any()


def test_an_unknown_pooling() -> None:
    with pytest.raises(ConfigError, match=r"head\.pooling: expected one of attention, last, max, mean, found 'sum'"):
        Pooling("sum", WIDTH)


# -- the head ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", get_args(PoolingName))
def test_the_distribution_is_a_softmax_over_labels(kind: str) -> None:
    torch.manual_seed(0)
    head, rows = ClassifyHead(WIDTH, LABELS, pooling=kind).eval(), states()
    chain = head(rows)
    expected = head.emission(head.pooling(rows)).softmax(-1)
    torch.testing.assert_close(chain.marginals()[:, 0], expected)
    target = torch.tensor([[0], [1], [2], [1]])
    picked = expected.gather(1, target).squeeze(1).log()
    torch.testing.assert_close(chain.log_prob(target), picked)
    torch.testing.assert_close(head.loss(rows, target), -picked)
    assert head.predicted(chain) == [(LABELS.labels[k],) for k in expected.argmax(1).tolist()]
    assert chain.calibrated, "it learns log-probabilities"


def test_the_fitted_temperature_moves_confidence_and_no_answer() -> None:
    torch.manual_seed(0)
    head, rows = ClassifyHead(WIDTH, LABELS).eval(), states()
    with torch.no_grad():
        head.emission.weight.mul_(50)  # far too sure
    before = head(rows)
    targets = [[0], [1], [2], [0]]
    head.calibrate(lambda: [(head(rows), targets)])
    after = head(rows)
    assert after.calibrated and head.predicted(after) == head.predicted(before)
    right = torch.tensor(targets)
    assert after.log_prob(right).sum() > before.log_prob(right).sum()


def test_gold_target_and_a_label_that_is_unknown() -> None:
    head = ClassifyHead(WIDTH, LABELS)
    known, other = (Example({"tokens": ("x",)}, {"label": label}) for label in ("good", "grand"))
    assert (task_for(head).gold(known), head.target(known), head.target(other)) == (("good",), [2], None)
    assert task_for(head).criterion([("good",), ("bad",)], [("good",), ("good",)]) == 0.5
    with pytest.raises(DataError, match=r"has no label; set data\.label to its key"):
        head.target(Example.of(["x"]))


# -- labels from files -------------------------------------------------------------------------------------------------


def test_labels_come_from_the_metadata() -> None:
    given = Example({"tokens": ("x",)}, {"tags": ("O",)}, "a.conll:7", {"intent": "book", "id": "3"})
    (found,) = with_labels([given], "intent")
    assert found.label == "book" and found.tags == ("O",) and given.targets == {"tags": ("O",)}
    with pytest.raises(DataError) as caught:
        with_labels([given], "label")
    assert "a.conll:7: expected a label under 'label', found 'intent', 'id'" in str(caught.value)


# -- trained, stored and used ------------------------------------------------------------------------------------------

GOOD = ("a fine film", "fine and moving", "moving , truly fine")
BAD = ("a dull film", "dull and slow", "slow , truly dull")


def corpus_file(path: Path) -> Path:
    lines = [f"{label}\t{text}" for label, texts in (("good", GOOD), ("bad", BAD)) for text in texts * 4]
    path.write_text("label\ttext\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def examples() -> list[Example]:
    return [
        Example({"tokens": tuple(text.split())}, {"label": label})
        for label, texts in (("good", GOOD), ("bad", BAD))
        for text in texts * 4
    ]


@pytest.fixture(scope="module")
def model() -> Model:
    from miniature import TINY

    from structseq.data.reading import Corpus

    options = Options.of(TINY, {"head": {"type": "classify"}, "training": {"epochs": 12}})
    made = Model.prepare(options, examples(), PLAIN, seed=0)
    *_, last = train(made, Corpus(tuple(examples()), tuple(examples())), options.training, seed=0)
    assert last.dev_score == 1.0
    return made


def test_it_learns_and_its_loss_is_a_mean_over_texts(model: Model) -> None:
    batch = model.inputs.encode(examples())
    target = torch.tensor([model.head.target(example) for example in examples()])
    assert model.eval().loss(batch, target).mean() < 0.9 * math.log(2)
    assert list(model.predict(examples())) == [(example.label,) for example in examples()]


def test_stored_and_loaded_it_answers_the_same(model: Model, tmp_path: Path) -> None:
    save_model(tmp_path / "m", model, tokenizer="words-1")
    loaded = load_model(tmp_path / "m").model
    assert list(loaded.predict(examples())) == list(model.predict(examples()))
    card = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: text-classification" in card and "Classifier.load" in card and "Labels: `bad`, `good`" in card


def test_the_classifier_answers_texts_tokens_and_streams(model: Model, tmp_path: Path) -> None:
    Classifier(model, metrics={"dev": {"criterion": 1.0}}).save(tmp_path / "m")
    classifier = Classifier.load(tmp_path / "m")
    assert classifier.labels == ("bad", "good") and classifier.metrics == {"dev": {"criterion": 1.0}}
    one = classifier.classify_text("a fine film")
    assert (one.label, one.tokens, one.text) == ("good", ("a", "fine", "film"), "a fine film")
    assert one.confidence == one.probabilities["good"] > 0.5
    assert sum(one.probabilities.values()) == pytest.approx(1)
    assert classifier.classify(["a", "fine", "film"]).probabilities == pytest.approx(one.probabilities)
    texts = [*GOOD, "", *BAD] * 30
    many = list(classifier.classify_texts(iter(texts), look_ahead=50))
    assert [found.text for found in many] == texts
    for text, found in zip(texts[:7], many, strict=False):
        assert found.probabilities == pytest.approx(classifier.classify_text(text).probabilities, abs=1e-6)
    assert classifier.predict(examples()) == [example.label for example in examples()]
    assert one.to_dict() == {"text": "a fine film", "label": "good", "confidence": one.confidence}
    seen = []
    long = (seen.append(n) or ["fine"] * 2000 for n in range(10**6))
    assert next(classifier.classify_many(long)).label == "good" and len(seen) == 17  # 2^15 tokens ahead at most


def test_what_is_no_input_and_no_classifier_is_said(model: Model) -> None:
    import miniature

    classifier = Classifier(model)
    with pytest.raises(DataError, match="use classify_text"):
        classifier.classify_many("a text")
    with pytest.raises(DataError, match="expected a list of tokens, found a text"):
        classifier.classify("a text")
    with pytest.raises(DataError, match="text 2: expected a text"):
        list(classifier.classify_texts(["x", 3]))
    with pytest.raises(ConfigError, match="look_ahead"):
        classifier.classify_texts(["x"], look_ahead=0)
    with pytest.raises(ConfigError, match="use Tagger"):
        Classifier(miniature.model())
    with pytest.raises(ConfigError, match="use Classifier"):
        Tagger(model)


def test_confidences_wait_for_a_temperature(model: Model) -> None:
    model.head.get_buffer("temperature").zero_()
    found = Classifier(model).classify_text("a fine film")
    assert found.confidence is None and found.probabilities == {} and "confidence" not in found.to_dict()
    assert isinstance(model.distribution(model.inputs.encode(examples()[:1])), LinearChain)


# -- from the command line ---------------------------------------------------------------------------------------------


def test_train_evaluate_tag_and_describe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = corpus_file(tmp_path / "reviews.tsv"), tmp_path / "model"
    settings = [*tiny(epochs=3), "--set", "head.type=classify", "--set", "head.pooling=attention"]
    done = call(capsys, "train", data, "--dev", data, "--output", out, *settings)
    assert done.status == 0 and "accuracy" in done.out and "plain labels" in done.err
    done = call(capsys, "evaluate", out, data, "--json", tmp_path / "report.json")
    assert done.status == 0 and json.loads((tmp_path / "report.json").read_text())["sentences"] == 24
    done = call(capsys, "tag", out, data)
    records = [json.loads(line) for line in done.out.splitlines()]
    assert [record["text"] for record in records] == [*GOOD * 4, *BAD * 4]
    assert all(record["label"] in ("good", "bad") and 0.5 <= record["confidence"] <= 1 for record in records)
    done = call(capsys, "tag", out, "--text", "a fine film", "--no-confidence", "--format", "jsonl")
    assert set(json.loads(done.out)) == {"text", "label"}
    done = call(capsys, "tag", out, "--text", "a fine film")
    assert done.out.split()[0] in ("good", "bad")
    done = call(capsys, "describe", out)
    assert done.status == 0 and "head       classify" in done.out and "2 labels" in done.out


def test_lines_that_may_be_texts_or_tokens_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = corpus_file(tmp_path / "reviews.tsv"), tmp_path / "model"
    settings = [*tiny(epochs=1), "--set", "head.type=classify"]
    assert call(capsys, "train", data, "--dev", data, "--output", out, *settings).status == 0
    lines = tmp_path / "lines.txt"
    for content in ("good\nbad\nfine\n", "a fine film\n", "a fine film\na dull film\n", "x\ta film\ny\ta plot\n"):
        lines.write_text(content, encoding="utf-8")
        for verb in ("tag", "embed"):
            done = call(capsys, verb, out, lines)
            assert done.status == 2 and "--format text" in done.sentence and "--format conll" in done.sentence
        assert ("--format labelled" in done.sentence) == ("\t" in content)
        done = call(capsys, "tag", out, lines, "--format", "text")
        assert [json.loads(line)["text"] for line in done.out.splitlines()] == content.splitlines()
        assert ("lines.txt, line 1: the tab is read as part of the text" in done.err) == ("\t" in content)
    for content in ("a\nfilm\n\nan\nend\n", "# id = 1\na\nfilm\n", "film\n"):
        lines.write_text(content, encoding="utf-8")
        done = call(capsys, "tag", out, lines)
        assert done.status == 0 and len(done.out.splitlines()) == content.count("\n\n") + 1
    sentence = lines.rename(tmp_path / "lines.conll")
    sentence.write_text("a\nfilm\n", encoding="utf-8")
    assert json.loads(call(capsys, "tag", out, sentence).out)["tokens"] == ["a", "film"]


def test_empty_texts_are_skipped_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "reviews.tsv"
    data.write_text("Label\tText\ngood\ta fine film\nbad\t\nbad\ta dull film\n", encoding="utf-8")
    settings = [*tiny(epochs=1), "--set", "head.type=classify"]
    done = call(capsys, "train", data, "--dev", data, "--output", tmp_path / "m", *settings)
    assert done.status == 0 and f"1 of 3 are empty and skipped: {data}:3" in done.err
    data.write_text("label\ttext\ngood\t\nbad\t\n", encoding="utf-8")
    done = call(capsys, "train", data, "--output", tmp_path / "n", *settings)
    assert done.status == 2 and "at least two sentences that are not empty" in done.err
    done = call(capsys, "train", data, "--dev", data, "--output", tmp_path / "n", *settings)
    assert done.status == 2 and "at least one example that is not empty" in done.err


def test_a_format_named_in_training_is_no_other_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = tmp_path / "bare.tsv", tmp_path / "model"
    data.write_text("good\ta fine film\nbad\ta dull film\n" * 6, encoding="utf-8")
    settings = [*tiny(epochs=1), "--set", "head.type=classify", "--set", "data.format=labelled"]
    assert call(capsys, "train", data, "--dev", data, "--output", out, *settings).status == 0
    records = tmp_path / "more.jsonl"
    records.write_text('{"tokens": ["a", "fine", "film"], "label": "good"}\n', encoding="utf-8")
    texts = [["a", "fine", "film"], ["a", "dull", "film"]]
    for file, expected in ((data, texts * 6), (records, texts[:1])):
        done = call(capsys, "tag", out, file)
        found = [json.loads(line) for line in done.out.splitlines()]
        assert [one["tokens"] if "tokens" in one else one["text"].split() for one in found] == expected
        assert call(capsys, "evaluate", out, file).status == 0
        assert call(capsys, "embed", out, file, "--output", tmp_path / "v.npy").status == 0
    done = call(capsys, "tag", out, "--text", "a fine film", "--no-confidence")
    assert done.out.strip() in ("good", "bad")


def test_a_column_may_be_called_a_width(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = tmp_path / "train.conll", tmp_path / "model"
    data.write_text("fly\tX\tO\nhome\tY\tB-x\n\n" * 6, encoding="utf-8")
    column = ["--set", 'data.columns={"foo.width"=1}']
    assert call(capsys, "train", data, "--dev", data, "--output", out, *tiny(epochs=1), *column).status == 0
    done = call(capsys, "describe", out)
    assert done.status == 0 and "column.foo.width" in done.out


def test_check_counts_the_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = corpus_file(tmp_path / "reviews.tsv")
    done = call(capsys, "check", data)
    assert done.status == 0 and "2, under 'label'; train with head.type=classify" in done.out
    assert "labels\n" in done.out and [line.split() for line in done.out.splitlines()][-2:] == [
        ["good", "12"],
        ["bad", "12"],
    ]


@pytest.mark.parametrize(
    ("settings", "expected_message"),
    [
        (["head.type=classify"], "expected a label under 'label', found nothing"),
        (["head.pooling=max"], "head.pooling: the head crf has no such option; it belongs to classify"),
        (["head.type=classify", "data.label=id", "head.pooling=sum"], "head.pooling: input should be"),
    ],
)
def test_mistakes_are_one_sentence(
    settings: list[str], expected_message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "train.conll"
    header = "# id = 3\n" if "data.label=id" in settings else ""
    data.write_text(f"{header}fly\tO\nhome\tB-x\n\n" * 3, encoding="utf-8")
    done = call(capsys, "train", data, "--output", tmp_path / "m", *(w for s in settings for w in ("--set", s)))
    assert done.status == 2 and expected_message in done.err and not (tmp_path / "m").exists()
