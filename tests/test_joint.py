"""A label and tags from one encoder: the distribution against enumeration, training, storing, reporting, both faces."""

from __future__ import annotations

import json
from pathlib import Path

import miniature
import pytest
import torch
from commandline import call, tiny
from task_for_head import task_for

from structseq import Classifier, Tagger
from structseq.config import Options
from structseq.data.example import Example
from structseq.data.reading import Corpus
from structseq.errors import ConfigError, ModelFileError
from structseq.evaluation import JointReport, evaluate_jointly
from structseq.gate_activations import mean_gate_activations
from structseq.heads.joint import JointHead
from structseq.inference.rewriting import with_comment
from structseq.model import Model
from structseq.padded import Padded
from structseq.spans import TagSet, scheme_of
from structseq.storage import load_model, save_model
from structseq.training import train

BIO = scheme_of("BIO")
TAGS = TagSet(("O", "B-x", "I-x"), BIO, BIO)
LABELS = ("ask", "book")
LENGTHS = (3, 1, 0)


def head_of(**options: object) -> JointHead:
    torch.manual_seed(0)
    head = JointHead(4, TAGS, labels=LABELS, **options)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_()
    return head.eval()


def states() -> Padded:
    generator = torch.Generator().manual_seed(1)
    return Padded.of([torch.randn(length, 4, generator=generator) for length in LENGTHS])


TARGET = torch.tensor([[1, 0, 1, 2], [0, 1, 0, 0], [1, 0, 0, 0]])


@pytest.mark.parametrize("pooling", ["attention", "last", "max", "mean"])
def test_the_loss_is_the_likelihood_of_both(pooling: str) -> None:
    head = head_of(pooling=pooling)
    found = head(states())
    torch.testing.assert_close(head.loss(states(), TARGET), -found.log_prob(TARGET))
    head.loss(states(), TARGET).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in head.parameters())
    # What is scored: the pooled states' labels, each state's tags, and how well the two go together.
    tags = found.tags.scores.view(len(LENGTHS), len(LABELS), -1, len(TAGS.labels))
    torch.testing.assert_close(tags[0], head.slots.emissions(states())[0] + head.suits.unsqueeze(1))
    torch.testing.assert_close(found.labels, head.label(head.pooling(states())))
    assert head.embed(states()).shape == (len(LENGTHS), head.pooling.width)


def test_tags_know_the_label_and_the_label_knows_the_tags() -> None:
    head = head_of()
    before = head(states())
    with torch.no_grad():
        head.label.bias.add_(torch.tensor([0.0, 9.0]))
    assert not torch.allclose(head(states()).marginals()[0], before.marginals()[0])
    head = head_of()
    with torch.no_grad():
        head.slots.emission.bias.add_(torch.tensor([0.0, 9.0, 0.0]))
    assert not torch.allclose(head(states()).label_marginals()[0], before.label_marginals()[0])
    with torch.no_grad():
        head.suits.zero_()  # nothing between them: the label is the pooled states' alone
    torch.testing.assert_close(head(states()).label_marginals(), before.labels.softmax(1))


def test_costs_are_added_to_what_is_wrong() -> None:
    plain, head = head_of(), head_of(costs={"x": 5.0, "O": 0.0})
    head.load_state_dict(plain.state_dict(), strict=False)
    assert torch.all(head.loss(states(), TARGET) >= plain.loss(states(), TARGET) - 1e-5)
    cost, found = torch.zeros(1, 3, 3), head(states())
    cost[0, 1:] = 5.0 * (1 - torch.eye(3)[[1, 2]])  # of row 0: O, B-x, I-x are right
    scores = found.tags.scores.clone()
    scores[:2] += cost
    expected = found.with_tags(found.tags.with_scores(scores)).log_prob(TARGET)
    torch.testing.assert_close(head.loss(states(), TARGET)[0], -expected[0])


def test_the_decision_may_favour_entities() -> None:
    head = head_of()
    found = head(states())
    assert torch.equal(head.decide(found), found.best().path)
    head.set_bias(3.0)
    favoured = head.decide(found)
    assert (favoured[:, 1:] == 0).sum() <= (found.best().path[:, 1:] == 0).sum()
    scores = found.tags.scores - 3.0 * torch.tensor([1.0, 0.0, 0.0])
    assert torch.equal(favoured, found.with_tags(found.tags.with_scores(scores)).best().path)


def test_gold_target_and_answers() -> None:
    head = head_of()
    example = Example({"tokens": ("a", "b")}, {"tags": ("O", "B-x"), "label": "book"})
    assert task_for(head).gold(example) == ("book", "O", "B-x") and head.target(example) == [1, 0, 1]
    assert head.answers([[1, 0, 1], [0]]) == [("book", "O", "B-x"), ("ask",)]
    for targets in ({"tags": ("O", "B-x"), "label": "new"}, {"tags": ("O", "B-new"), "label": "ask"}):
        assert head.target(Example({"tokens": ("a", "b")}, targets)) is None
    answers = head.predicted(head(states()))
    assert [len(answer) for answer in answers] == [4, 2, 1] and {answer[0] for answer in answers} <= set(LABELS)
    gold = [("ask", "B-x"), ("book", "O")]
    assert (
        task_for(head).criterion(gold, gold) == 1.0
        and task_for(head).criterion(gold, [("ask", "O"), ("book", "O")]) == 0.5
    )


def test_the_report_counts_frames_labels_and_entities() -> None:
    gold = [("ask", "B-x", "O"), ("ask", "O"), ("book", "B-x"), ("book",)]
    found = [("ask", "B-x", "O"), ("book", "O"), ("book", "O"), ("book",)]
    report = evaluate_jointly(gold, found, scheme=BIO, bootstrap=200)
    assert (report.frame, report.label.accuracy, report.tags.micro.recall) == (0.5, 0.75, 0.5)
    assert report.interval is not None and 0 <= report.interval[0] <= 0.5 <= report.interval[1] <= 1
    assert report.criterion == (0.75 + 2 / 3) / 2 and "frame accuracy  50.00" in report.text()
    assert json.loads(json.dumps(report.to_dict(errors=None)))["frame_accuracy"] == 0.5
    assert evaluate_jointly([], [], scheme=BIO, bootstrap=0).interval is None


# -- trained, stored and used ------------------------------------------------------------------------------------------


def labelled(examples: tuple[Example, ...]) -> tuple[Example, ...]:
    """The label says whether a date is named: it can be read off the words."""
    made = []
    for example in examples:
        label = "when" if any("date" in tag for tag in example.tags) else "where"
        made.append(Example(example.inputs, {**example.targets, "label": label}))
    return tuple(made)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    parts = miniature.corpus()
    return Corpus(labelled(parts.train), labelled(parts.dev), labelled(parts.test))


@pytest.fixture(scope="module")
def model(corpus: Corpus) -> Model:
    options = Options.of(miniature.TINY, {"head": {"type": "joint"}, "training": {"epochs": 40}})
    made = Model.prepare(options, corpus.train, BIO, seed=0)
    *_, last = train(made, corpus, options.training, seed=0)
    assert last.best_score is not None and last.best_score > 0.9
    return made


def test_it_learns_both(model: Model, corpus: Corpus) -> None:
    answers = list(model.predict(corpus.train))
    right = sum(answer == model.task.gold(example) for answer, example in zip(answers, corpus.train, strict=True))
    assert right / len(corpus.train) > 0.8
    assert set(mean_gate_activations(model, corpus.dev)), "its encoder has gates"


def test_stored_and_loaded_it_answers_the_same(model: Model, corpus: Corpus, tmp_path: Path) -> None:
    save_model(tmp_path / "m", model, tokenizer="words-1")
    loaded = load_model(tmp_path / "m").model
    assert loaded.vocabularies["labels"].items == ("when", "where")
    assert list(loaded.predict(corpus.test)) == list(model.predict(corpus.test))
    card = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    assert "and a label for the whole (`when`, `where`)" in card
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    del config["vocabularies"]["labels"]
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFileError, match=r"no model can be built.*labels"):
        load_model(tmp_path / "m")


def test_a_tagger_tells_the_label_too(model: Model, corpus: Corpus) -> None:
    tagger = Tagger(model)
    answers = list(model.predict(corpus.test))
    for confidence in (True, False):
        taggings = list(tagger.tag_many(corpus.test, confidence=confidence))
        for answer, example, tagging in zip(answers, corpus.test, taggings, strict=True):
            assert len(tagging.tags) == len(example)
            assert (tagging.label, *tagging.tags) == answer
            assert (tagging.label_confidence is not None) == confidence
    some, none, more = tagger.tag_texts(["from Rome", "", "on Monday"])
    assert none.tags == () and none.label == next(model.predict([Example.of([], [])]))[0]
    assert none == tagger.tag_text("") and none.label == tagger.tag([]).label
    assert some.label == tagger.tag_text("from Rome").label and len(more.tokens) == 2
    one = tagger.tag_text("from Rome to Oslo on Monday")
    assert one.label in ("when", "where") and 0.5 <= one.label_confidence <= 1
    assert one.to_dict()["label"] == one.label and len(one.confidence) == len(one.spans)
    with pytest.raises(ConfigError, match="use Tagger"):
        Classifier(model)


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = tmp_path / "train.conll", tmp_path / "model"
    rows = ["# intent = ask\nwhere\tO\nis\tO\nRome\tB-city\n", "# intent = book\nfly\tO\nto\tO\nOslo\tB-city\n"] * 6
    data.write_text("\n".join(rows), encoding="utf-8")
    settings = [*tiny(epochs=2), "--set", "head.type=joint", "--set", "data.label=intent"]
    done = call(capsys, "train", data, "--dev", data, "--test", data, "--output", out, *settings)
    assert done.status == 0 and done.out.count("frame accuracy") == 2
    done = call(capsys, "evaluate", out, data, "--json", "-")
    assert set(json.loads(done.out)) >= {"frame_accuracy", "tags", "label", "criterion"}
    done = call(capsys, "tag", out, "--text", "where is Rome", "--format", "jsonl")
    record = json.loads(done.out)
    assert record["label"] in ("ask", "book") and 0.5 <= record["label_confidence"] <= 1 and "spans" in record
    done = call(capsys, "tag", out, "--text", "where is Rome")
    assert done.out.splitlines()[1].split()[0] in ("ask", "book")
    done = call(capsys, "tag", out, data)
    lines, before = done.out.split("\n"), data.read_text().split("\n")
    intent_lines = [n for n, line in enumerate(lines) if line.startswith("# predicted_intent = ")]
    assert (
        done.status == 0
        and len(intent_lines) == 12
        and all(lines[n - 1].startswith("# intent = ") for n in intent_lines)
    )
    kept = [line for n, line in enumerate(lines) if n not in intent_lines]
    assert [line.rpartition("\t")[0] if "\t" in line else line for line in kept] == before
    done = call(capsys, "describe", out)
    assert "2 labels" in done.out and "dev mean of tags and labels" in done.out and "mean gate activations" in done.out


@pytest.mark.parametrize(
    ("text", "number", "expected"),
    [
        ("a\n", 0, "# x\na\n"),
        ("# c\r\na\r\n\r\n", 1, "# c\r\n# x\r\na\r\n\r\n"),
        ("\ufeffa", 0, "\ufeff# x\na"),
    ],
)
def test_a_comment_more_in_its_place(text: str, number: int, expected: str) -> None:
    assert with_comment(text, number, "# x") == expected


def test_labels_that_training_never_saw_are_misses(corpus: Corpus, model: Model) -> None:
    stranger = Example(corpus.test[0].inputs, {**corpus.test[0].targets, "label": "why"})
    assert model.head.target(stranger) is None
    (answer,) = model.predict([stranger])
    assert evaluate_jointly([model.task.gold(stranger)], [answer], scheme=BIO, bootstrap=0).frame == 0.0
    report = model.task.report(model, [stranger, *corpus.test[1:]])
    assert isinstance(report, JointReport)
    assert report.label.unseen_tags == {"why": 1} and not report.tags.unseen_tags


def test_check_tells_the_labels_and_who_has_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "train.conll"
    rows = ["# intent = ask\nwhere\tO\nis\tO\nRome\tB-city\n", "# intent = book\nfly\tO\nto\tO\nOslo\tB-city\n"] * 3
    data.write_text("\n".join(rows), encoding="utf-8")
    done = call(capsys, "check", data, "--set", "data.label=intent")
    assert done.status == 0 and "2, under 'intent', for head.type=joint\n" in done.out
    data.write_text("\n".join([*rows, "go\tO\nhome\tO\n"]), encoding="utf-8")
    done = call(capsys, "check", data, "--set", "data.label=intent")
    assert "1 sentence has none, which that head would refuse" in done.out and f"{data}:31" in done.out
    assert done.status == 1 and f"1 sentence without a label under 'intent', the first at {data}:31" in done.err
    assert call(capsys, "check", data).status == 0
    numbers = tmp_path / "numbers.jsonl"
    numbers.write_text('{"text": "a b", "label": 3}\n', encoding="utf-8")
    done = call(capsys, "check", numbers)
    assert (
        done.status == 1
        and "without tags, the first at" in done.err
        and "labels are missing" in done.err
        and "the number 3" in done.err
    )
