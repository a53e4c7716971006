"""Gold tags: each file is read by its own scheme, and illegal tags as conlleval reads them, with one remark."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from commandline import Done, call, columns, sentences, tiny, write_corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from structseq import cli
from structseq.config import Options
from structseq.data.example import TOKENS, Example
from structseq.data.options import DataOptions
from structseq.data.reading import Corpus
from structseq.errors import DataError
from structseq.estimator import SequenceTagger
from structseq.run import CorpusFiles, prepare_corpus
from structseq.spans import PLAIN, SCHEMES, Scheme, Span, TagSet, scheme_of
from structseq.tasks.legality import find_scheme, scheme_beside
from structseq.tasks.tagging_tasks import TaggingTask

Command = Callable[..., Done]
SPANS = [scheme for scheme in SCHEMES.values() if not scheme.plain]
BIO = scheme_of("BIO")
Row = tuple[int, tuple[Span, ...]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return lambda *words: call(capsys, *words)


def in_scheme(rows: Iterable[tuple[Sequence[str], Sequence[str]]], scheme: str) -> str:
    """A column file with the BIO tags of ``rows`` written in another scheme."""
    return columns([(words, scheme_of(scheme).encode(BIO.decode(tags), len(tags))) for words, tags in rows])


def tagged(*lines: str) -> list[Example]:
    """An example for each line of tags."""
    return [Example.of([f"w{n}" for n, _ in enumerate(line.split())], line.split()) for line in lines]


def flights(first: int = 0) -> list[tuple[list[str], list[str]]]:
    """Sentences with entities of one and of two tokens."""
    more = [(["to", "New", "York"], ["O", "B-to", "I-to"]), (["from", "New", "York"], ["O", "B-from", "I-from"])]
    return [*sentences(12, first=first), *more * 3]


# -- every file has its own scheme -------------------------------------------------------------------------------------


class Perfect:
    """A model that answers the gold spans in its own scheme."""

    output_symbols: Sequence[str] = ()

    def __init__(self, answers: Sequence[tuple[str, ...]]) -> None:
        self.answers = answers

    def predict(self, examples: Sequence[Example]) -> list[tuple[str, ...]]:
        return list(self.answers)

    def predict_with_confidence(self, examples: Sequence[Example]) -> tuple[list[tuple[str, ...]], None]:
        return self.predict(examples), None


@st.composite
def corpora(draw: st.DrawFn, *, touching: bool) -> list[Row]:
    """Sentences of typed spans, or of spans without a type; neighbours of one type only if ``touching``."""
    labels = draw(st.sampled_from([("x", "y"), ("",), ("x",)]))
    rows: list[Row] = []
    for _ in range(draw(st.integers(1, 4))):
        spans, place = [], 0
        for gap, length in draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), max_size=4)):
            start = place + max(gap, 0 if touching else 1)
            place = start + length
            spans.append(Span(start, place, draw(st.sampled_from(labels))))
        rows.append((place + draw(st.integers(0, 1)), tuple(spans)))
    return rows


def examples_in(rows: Sequence[Row], scheme: Scheme) -> list[Example]:
    texts = [[f"w{n}" for n in range(length)] for length, _ in rows]
    return [Example.of(text, scheme.encode(spans, length)) for text, (length, spans) in zip(texts, rows, strict=True)]


@pytest.mark.parametrize("theirs", SPANS, ids=str)
@pytest.mark.parametrize("own", SPANS, ids=str)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_perfect_model_has_the_same_report_in_every_scheme(own: Scheme, theirs: Scheme, data: st.DataObject) -> None:
    rows = data.draw(corpora(touching="IO" not in (own.name, theirs.name)))
    train = [example.tags for example in examples_in(rows, own)]
    if not any(train):
        return
    task = TaggingTask(TagSet.of(train, own), TOKENS)
    expected = task.report(Perfect(train), examples_in(rows, own), entities=frozenset())
    gold = task.check_gold(examples_in(rows, theirs), own, DataOptions())
    found = task.report(Perfect(train), gold.examples, entities=frozenset())
    assert found == expected and found.accuracy == 1.0 and not found.unseen_tags
    assert found.strict.micro.f1 == (1.0 if any(spans for _, spans in rows) else 0.0)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of BIOES files, and the same gold in every scheme."""
    folder = tmp_path_factory.mktemp("models")
    for scheme in map(str, SPANS):
        (folder / f"{scheme}.conll").write_text(in_scheme(flights(), scheme))
    words = ("train", folder / "BIOES.conll", "--dev", folder / "BMES.conll", "--test", folder / "BIO.conll")
    assert cli.main([str(word) for word in (*words, "--output", folder / "model", "--quiet", *tiny(30))]) == 0
    return folder


@pytest.mark.parametrize("scheme", SPANS, ids=str)
def test_evaluate_reads_each_file_by_its_own_scheme(command: Command, models: Path, scheme: Scheme) -> None:
    done = command("evaluate", models / "model", models / f"{scheme}.conll", "--json", "-")
    same = command("evaluate", models / "model", models / "BIOES.conll", "--json", "-")
    report, expected = json.loads(done.out), json.loads(same.out)
    for each in (report, expected):
        each.pop("errors")
    assert report == expected and report["strict"] == report["table"] and not report["unseen_tags"]
    # Without neighbours and without M, the tags of these schemes are those of others.
    found = {"IOB1": "IO", "IOE1": "IO", "BMES": "BIOES"}.get(scheme.name, scheme.name)
    said = "" if found == "BIOES" else f"the tags are in {found}; they are scored in BIOES"
    assert said in done.err and bool(said) == bool(done.err)


def test_dev_and_test_are_scored_in_the_scheme_of_training(models: Path) -> None:
    metrics = json.loads((models / "model" / "metrics.json").read_text())
    for part in ("dev", "test"):
        assert metrics[part]["scheme"] == "BIOES" and not metrics[part]["unseen_tags"]
        assert metrics[part]["strict"] == metrics[part]["table"]
    assert metrics["dev"]["accuracy"] == metrics["test"]["accuracy"]


def test_prepared_parts_are_in_one_scheme_and_nothing_is_unseen() -> None:
    """As `train`, `compare` and `fit` prepare them."""
    said: list[str] = []
    corpus = Corpus(tuple(tagged("B-x I-x O", "B-x")), tuple(tagged("B-x E-x S-x")), tuple(tagged("I-x E-x O", "E-x")))
    names = CorpusFiles("train", "dev", "test")
    prepared = prepare_corpus(Options.of(), corpus, seed=0, names=names, notify=said.append)
    assert [example.tags for example in prepared.corpus.dev] == [("B-x", "I-x", "B-x")]
    assert [example.tags for example in prepared.corpus.test] == [("B-x", "I-x", "O"), ("B-x",)]
    assert [line.partition(";")[0] for line in said] == ["dev: the tags are in BIOES", "test: the tags are in IOE"]


@pytest.mark.parametrize(
    ("known", "lines", "own"),
    [
        ("BIO", ["O O"], "BIO"),
        ("BILOU", ["O O"], "BILOU"),
        ("BMES", ["B-x E-x S-x"], "BMES"),  # alone, these letters are BIOES
        ("IOB1", ["I-x O I-y"], "IOB1"),  # alone, IO
        ("IOE1", ["I-x O I-y"], "IOE1"),
        ("BIO", ["I-x I-x O"], "IO"),
        ("IOB1", ["B-x O B-x I-x"], "BIO"),
        ("BIO", ["O I-x", "B-x I-x", "O B-x"], "BIO"),  # a third is illegal, but no other scheme fits better
        ("BIOES", ["B I I B", "B O"], "BIO"),
        ("BIO", ["S O S"], "BIOES"),  # alone, plain
        ("plain", ["O O"], "plain"),
    ],
)
def test_the_scheme_of_the_model_is_tried_first(known: str, lines: list[str], own: str) -> None:
    assert scheme_beside(tagged(*lines), scheme_of(known), DataOptions()).name == own


def test_a_named_scheme_is_that_of_the_file() -> None:
    gold = TaggingTask.check_gold(tagged("B-x I-x"), scheme_of("BIOES"), DataOptions(scheme="BIO"))
    assert gold.examples[0].tags == ("B-x", "E-x")
    # A model keeps the scheme that its training named; its gold may still be in another.
    gold = TaggingTask.check_gold(tagged("B-x E-x"), BIO, DataOptions(scheme="BIO"))
    assert gold.examples[0].tags == ("B-x", "I-x")
    gold = TaggingTask.check_gold(tagged("I-x B-x O I-y"), BIO, DataOptions(scheme="BIO", repair="refuse"))
    assert gold.examples[0].tags == ("B-x", "B-x", "O", "B-y")
    with pytest.raises(DataError, match="'U-x' is not a tag of IOE"):
        TaggingTask.check_gold(tagged("U-x"), BIO, DataOptions(scheme="IOE"))


@pytest.mark.parametrize(
    ("known", "lines", "said"),
    [
        ("BIO", ["O NN VB"], "expected tags in BIO, as in the model's files, found 'NN' and tags in plain"),
        ("plain", ["O B-x I-x"], "expected tags in plain, as in the model's files, found 'B-x' and tags in BIO"),
        ("BIO", ["S-x", "B-x L-x"], "the tags mix schemes: .* the model's files are in BIO; correct the tags"),
        ("IO", ["B-x B-x"], "this file is in BIO and the model's files are in IO"),
    ],
)
def test_a_contradiction_names_both_schemes(known: str, lines: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        TaggingTask.check_gold(tagged(*lines), scheme_of(known), DataOptions())


def test_the_advice_of_a_contradiction_works(command: Command, tmp_path: Path) -> None:
    inside, touching, model = tmp_path / "io.conll", tmp_path / "bio.conll", tmp_path / "model"
    inside.write_text(in_scheme(sentences(8), "IO"))
    touching.write_text("a\tB-to\nb\tB-to\n")
    words = ("train", inside, "--dev", inside, "--output", model, "--quiet", *tiny())
    assert command(*words).status == 0
    refused = command("evaluate", model, touching)
    assert refused.status == 2 and refused.sentence.startswith(f"error: {touching}:1: IO cannot keep")
    assert "train with data.scheme=IOB1" in refused.sentence
    again = tmp_path / "again"
    assert command(*words[:5], again, *words[6:], "--set", "data.scheme=IOB1").status == 0
    assert command("evaluate", again, touching).status == 0
    gold = TaggingTask.check_gold(tagged("O B-x I-x"), PLAIN, DataOptions(scheme="plain"))
    assert gold.examples[0].tags == ("O", "B-x", "I-x")


def test_training_takes_the_wider_scheme_that_fits_its_own_file_as_well() -> None:
    assert find_scheme(tagged("I-x O"), DataOptions(), tagged("I-x B-x O I-x")).name == "IOB1"
    assert find_scheme(tagged("B-x E-x S-x"), DataOptions(), tagged("B-x M-x E-x")).name == "BMES"
    assert find_scheme(tagged("B-x I-x O"), DataOptions(), tagged("B-x E-x S-x")).name == "BIO"
    assert find_scheme(tagged("B-x I-x O"), DataOptions(), tagged(*["S-x"] * 50)).name == "BIO"


def test_check_compares_tags_as_they_are_scored(command: Command, models: Path, tmp_path: Path) -> None:
    done = command("check", models / "BIOES.conll", models / "BIO.conll", models / "IO.conll")
    assert done.status == 0 and "schemes differ" in done.out and "tags only in" not in done.out
    odd = tmp_path / "odd.conll"
    odd.write_text("a\tNN\nb\tVB\n")
    done = command("check", models / "BIOES.conll", odd)
    assert done.status == 1 and f"{odd}:1: expected tags in BIOES" in done.err


def test_describe_reads_a_file_by_its_own_scheme(command: Command, models: Path) -> None:
    done = command("describe", models / "model", "--on", models / "IOE.conll")
    assert done.status == 0 and "the tags are in IOE" in done.err and "S-to" in done.out


def test_slots_beside_a_label_have_their_own_scheme_too(command: Command, tmp_path: Path) -> None:
    for scheme in ("BIO", "BILOU"):
        rows = [
            {"tokens": words, "tags": scheme_of(scheme).encode(BIO.decode(tags), len(tags)), "label": "fly"}
            for words, tags in flights()
        ]
        (tmp_path / f"{scheme}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("train", tmp_path / "BIO.jsonl", "--dev", tmp_path / "BILOU.jsonl", "--output", tmp_path / "model")
    assert command(*words, "--set", "head.type=joint", *tiny(1)).status == 0
    own, other = (
        json.loads(command("evaluate", tmp_path / "model", tmp_path / f"{scheme}.jsonl", "--json", "-").out)
        for scheme in ("BIO", "BILOU")
    )
    assert own["criterion"] == other["criterion"] and own["tags"]["strict"] == other["tags"]["strict"]


def test_the_estimator_scores_in_every_scheme() -> None:
    rows = flights()
    X, y = [words for words, _ in rows], [tags for _, tags in rows]
    other = [list(scheme_of("BILOU").encode(BIO.decode(tags), len(tags))) for tags in y]
    tagger = SequenceTagger(epochs=2, width=6, word_width=8, character_width=4, validation_fraction=0).fit(X, y)
    assert tagger.score(X, other) == tagger.score(X, y)
    with pytest.warns(UserWarning, match="X_dev: the tags are in BILOU; they are scored in BIO"):
        clone = SequenceTagger(epochs=2, width=6, word_width=8, character_width=4).fit(X, y, X_dev=X, y_dev=other)
    assert clone.history_[-1]["dev_score"] is not None
    with pytest.raises(DataError, match="expected tags in BIO"):
        tagger.score(X, [["NN" for _ in words] for words in X])


# -- illegal tags ------------------------------------------------------------------------------------------------------

IOB1 = "a\tI-PER\nb\tI-PER\n\nc\tO\nd\tI-LOC\n\ne\tI-LOC\nf\tB-LOC\n\n" * 6 + "g\tO\nh\tB-PER\n\ni\tI-LOC\nj\tB-ORG\n"
BMES = "张\tB-NAME\n三\tE-NAME\n，\tO\n\n本\tS-EDU\n科\tO\n\n" * 8 + "李\tB-NAME\n\n四\tM-NAME\n五\tE-NAME\n"
ILLEGAL = columns([*sentences(16), (["to", "Lima"], ["O", "I-to"])])


@pytest.mark.parametrize(
    ("content", "count", "line"), [(IOB1, 2, 56), (BMES, 2, 57), (ILLEGAL, 1, len(ILLEGAL.splitlines()) - 1)]
)
def test_training_reads_illegal_tags_as_conlleval_and_says_so_once(
    command: Command, tmp_path: Path, content: str, count: int, line: int
) -> None:
    file = tmp_path / "train.conll"
    file.write_text(content)
    done = command("train", file, "--output", tmp_path / "model", *tiny(1))
    (said,) = [each for each in done.err.splitlines() if "illegal tags" in each]
    assert done.status == 0
    assert said.startswith(
        f"{file}: illegal tags: {count}, read as conlleval reads them; the first is at {file}:{line}: "
    )
    done = command("check", file)
    assert done.status == 0 and not done.err
    assert f"{count}; training reads them as conlleval does" in done.out and f"{file}:{line}: " in done.out


def test_repairs_are_chosen_by_name(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "train.conll"
    file.write_text(ILLEGAL)
    words = ("train", file, "--dev", file, *tiny(1))
    done = command(*words, "--output", tmp_path / "dropped", "--set", "data.repair=drop")
    assert done.status == 0 and f"{file}: illegal tags: 1, their entities are dropped" in done.err
    refused = command(*words, "--output", tmp_path / "refused", "--quiet", "--set", "data.repair=refuse")
    assert refused.status == 2 and "I-to opens an entity after O" in refused.sentence
    checked = command("check", file, "--set", "data.repair=refuse")
    assert checked.status == 1 and checked.sentence.startswith("training would refuse: ")
    # The advice of the refusal works.
    for repair in ("conlleval", "drop"):
        assert f"--set data.repair={repair}" in refused.sentence and f"--set data.repair={repair}" in checked.sentence
        assert command("check", file, "--set", f"data.repair={repair}").status == 0


def test_scores_count_illegal_gold_whatever_training_dropped() -> None:
    for repair in ("conlleval", "drop"):
        gold = TaggingTask.check_gold(tagged("O I-x", "B-x I-x"), BIO, DataOptions(repair=repair))
        assert gold.examples[0].tags == ("O", "B-x") and "illegal tags: 1, read as conlleval" in gold.remarks[0]
    with pytest.raises(DataError, match="the only illegal tag"):
        TaggingTask.check_gold(tagged("O I-x", "B-x I-x"), BIO, DataOptions(repair="refuse"))


def test_evaluate_says_that_gold_is_illegal(command: Command, tmp_path: Path) -> None:
    parts, file = write_corpus(tmp_path), tmp_path / "gold.conll"
    assert command("train", parts["train"], "--dev", parts["dev"], "--output", tmp_path / "m", *tiny(1)).status == 0
    file.write_text(ILLEGAL)
    done = command("evaluate", tmp_path / "m", file)
    assert done.status == 0 and done.sentence.startswith(f"{file}: illegal tags: 1, read as conlleval reads them")
    assert "never seen" not in done.out


def test_convert_reads_illegal_tags_as_conlleval(command: Command, tmp_path: Path) -> None:
    file, out = tmp_path / "a.conll", tmp_path / "b.conll"
    file.write_text(ILLEGAL)
    done = command("convert", file, out, "--to", "BIOES")
    assert done.status == 0 and done.sentence.startswith("illegal tags: 1, read as conlleval reads them; the first is")
    assert out.read_text().rstrip().endswith("Lima\tS-to")
    assert command("convert", file, out, "--to", "BIOES", "--repair", "drop").status == 0
    assert out.read_text().rstrip().endswith("Lima\tO")
    refused = command("convert", file, out, "--repair", "refuse")
    assert refused.status == 2 and "--repair conlleval or --repair drop" in refused.sentence


def test_the_estimator_warns_of_illegal_tags() -> None:
    X, y = [["to", "Oslo"], ["to", "Lima"]] * 4, [["O", "B-to"], ["O", "B-to"]] * 3 + [["O", "B-to"], ["O", "I-to"]]
    options: dict[str, Any] = {"epochs": 1, "width": 4, "word_width": 4, "character_width": 0}
    with pytest.warns(UserWarning, match=r"X: illegal tags: 1, .* y, sentence 8, token 2: I-to opens") as said:
        SequenceTagger(**options).fit(X, y)
    assert len(said) == 1
    with pytest.raises(DataError, match="repair='conlleval' or repair='drop'"):
        SequenceTagger(**options, repair="refuse").fit(X, y)
    with pytest.raises(DataError, match="correct the tags, or name the scheme with scheme='BIO' or scheme='IOB1'"):
        SequenceTagger(**options).fit(X, [["B-to", "I-by"]] * len(X))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SequenceTagger(**options).fit(X[:7], y[:7])


def test_a_mixture_names_ways_that_work(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "a.conll"
    file.write_text("a\tI-x\n\na\tI-x\n\na\tB-x\nb\tB-y\n\na\tB-y\n")
    refused = command("check", file)
    assert refused.status == 1 and "correct the tags, or name the scheme with --set data.scheme=BIO or " in refused.err
    converted = command("convert", file, tmp_path / "b.conll")
    assert "or name the scheme with --from BIO or --from IOB1" in converted.sentence
    for scheme in ("BIO", "IOB1"):
        assert command("check", file, "--set", f"data.scheme={scheme}").status == 0
        assert command("convert", file, tmp_path / "b.conll", "--from", scheme).status == 0
    file.write_text("a\tB-x\nb\tI-x\n\na\tB-y\nb\tb-y\n")
    assert "or name the scheme with --set data.scheme=plain" in command("check", file).err
    assert command("check", file, "--set", "data.scheme=plain").status == 0


def test_options_of_older_models_are_read() -> None:
    assert DataOptions.checked({"repair": None}).repair == "conlleval"
