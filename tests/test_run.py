"""The parts of a run: journal, identity, folder, held-out data, transfer, and fit with and without a folder."""

from __future__ import annotations

import errno
import json
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import sentences
from hypothesis import given
from hypothesis import strategies as st

from structseq.config import Options
from structseq.data.example import Example
from structseq.data.reading import Corpus
from structseq.errors import DataError, ModelFileError, StructseqError, TrainingError
from structseq.heads import HEADS
from structseq.model import Model
from structseq.run import Identity, Interrupted, RunFolder, fit, hold_out, training_run, transfer
from structseq.run.folder import Journal
from structseq.run.identity import digest
from structseq.run.transfer import format_transfer, named_axes
from structseq.spans import PLAIN, scheme_of
from structseq.tasks import task_of
from structseq.training import Progress

BIO = scheme_of("BIO")
TABLE: dict[str, Any] = {
    "inputs": {"words": {"width": 6}, "characters": {"width": 4}, "affixes": {"shape": 2, "width": 2}},
    "encoder": {"width": 5},
    "training": {"epochs": 3, "batch_sentences": 4},
}


def examples(count: int, first: int = 0) -> tuple[Example, ...]:
    return tuple(Example.of(*row) for row in sentences(count, first=first))


def small(corpus: Corpus, seed: int = 0, **head: Any) -> Model:
    return Model.prepare(Options.of(TABLE, {"head": head}), corpus.train, BIO, seed=seed)


CORPUS = Corpus(examples(16), examples(4, 40))


def parameters(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# -- journal -----------------------------------------------------------------------------------------------------------


def test_a_journal_resumes_without_doubled_epochs(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "log.jsonl")
    journal.write("start", update=0)
    for epoch in range(1, 5):
        journal.write("epoch", update=10 * epoch, epoch=epoch, loss=0.5, name="飛")
    journal.truncate(25)
    journal.write("resume", update=25)
    journal.write("epoch", update=30, epoch=3)
    assert [record.get("epoch") for record in journal.read()] == [None, 1, 2, None, 3]
    assert [record["event"] for record in journal.read()] == ["start", "epoch", "epoch", "resume", "epoch"]


@given(st.integers(0, 200))
def test_a_journal_cut_off_anywhere_keeps_its_whole_lines(tmp_path_factory: pytest.TempPathFactory, size: int) -> None:
    journal = Journal(tmp_path_factory.mktemp("journal") / "log.jsonl")
    written = [journal.write("epoch", update=n, name="飛") for n in range(4)]
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[:size])
    assert journal.read() == written[: content[:size].count(b"\n")]


# -- identity ----------------------------------------------------------------------------------------------------------


def identity(folder: Path, *, seed: int = 0, text: str = "a", threads: int = 1, **options: Any) -> Identity:
    (folder / "train").write_text(text)
    return Identity.of({"encoder": {"width": 5}, **options}, seed, {"train": folder / "train"}, threads=threads)


def test_a_run_is_the_same_only_with_the_same_data_options_and_seed(tmp_path: Path) -> None:
    original = identity(tmp_path)
    assert identity(tmp_path).difference(original) is None
    assert identity(tmp_path, seed=3).difference(original) == "the seed was 0 and is 3 now"
    other = identity(tmp_path, encoder={"width": 6}).difference(original)
    assert other == "option encoder.width was 5 and is 6 now"
    changed = identity(tmp_path, text="b").difference(original)
    assert changed and changed.startswith(f"the train data differ: {tmp_path / 'train'} had SHA-256 ca978112ca1b…")
    identity(tmp_path)
    more = Identity.of(original.options, 0, {"train": tmp_path / "train", "dev": tmp_path / "train"}, threads=1)
    assert more.difference(original) == f"the dev data were not given and are {tmp_path / 'train'} now"


def test_what_may_change_the_last_bits_gives_a_warning(tmp_path: Path) -> None:
    original = identity(tmp_path)
    assert identity(tmp_path).warnings(original) == []
    assert identity(tmp_path, threads=2).warnings(original) == []  # one thread and two give the same bits
    (warning,) = identity(tmp_path, threads=8).warnings(original)
    assert warning == "the run began with 1 threads and resumes with 8 threads"
    again = Identity.from_dict(json.loads(json.dumps({**original.to_dict(), "later": 1})))
    assert again.difference(original) is None and again.warnings(original) == []


def test_a_digest_covers_whole_folders_and_the_three_files(tmp_path: Path) -> None:
    for name in ("seq.in", "seq.out", "label"):
        (tmp_path / name).write_text("a\n")
    first = digest(tmp_path)
    assert digest(tmp_path / "seq.in") == first
    (tmp_path / "seq.out").write_text("b\n")
    assert digest(tmp_path / "seq.in") != first
    with pytest.raises(DataError, match="cannot be read"):
        digest(tmp_path / "missing")


# -- folder ------------------------------------------------------------------------------------------------------------


def test_a_folder_says_what_it_holds(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out")
    assert folder.status == "new"
    folder.path.mkdir()
    assert folder.status == "new"
    (folder.path / "run").mkdir()
    for name in (".lock", "run/.run.json.0123abcd.part"):
        (folder.path / name).touch()
    assert folder.status == "new"  # killed before anything was written
    (folder.path / "thesis.tex").write_text("years of work")
    assert folder.status == "foreign"
    with pytest.raises(TrainingError, match="holds files that are not a training run"):
        folder.check(resume=True)
    (folder.path / "config.json").write_text('{"model_type": "bert"}')
    assert folder.status == "foreign"
    (folder.path / "config.json").write_text('{"model_type": "structseq"}')
    assert folder.status == "finished"
    with pytest.raises(TrainingError, match="is a file, not a folder"):
        RunFolder(folder.path / "thesis.tex").check(resume=False)


def test_only_the_same_run_resumes(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out")
    with folder.opened(identity(tmp_path)):
        assert folder.status == "unfinished"
        with pytest.raises(TrainingError, match="another process is training"), folder.opened(identity(tmp_path)):
            pass
    with pytest.raises(TrainingError, match="holds an unfinished run; resume it with --resume"):
        folder.check(resume=False)
    folder.check(resume=True)
    seed = pytest.raises(TrainingError, match="because the seed was 0 and is 1 now")
    with seed, folder.opened(identity(tmp_path, seed=1)):
        pass
    with folder.opened(identity(tmp_path, threads=8)):
        assert folder.warnings == ["the run began with 1 threads and resumes with 8 threads"]


def test_a_failure_before_anything_was_saved_leaves_no_trace(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "a" / "out")
    with pytest.raises(ZeroDivisionError), folder.opened(identity(tmp_path)):
        raise ZeroDivisionError
    assert not folder.path.exists()
    folder.path.mkdir()
    with pytest.raises(ZeroDivisionError), folder.opened(identity(tmp_path)):
        raise ZeroDivisionError
    assert folder.path.exists() and not list(folder.path.iterdir())
    with pytest.raises(ZeroDivisionError), folder.opened(identity(tmp_path)):
        folder.save({}, {"a": torch.zeros(1)})
        raise ZeroDivisionError
    assert folder.status == "unfinished"


def test_a_finished_run_keeps_what_others_put_beside_it_and_none_of_its_working_files(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out")
    with folder.opened(identity(tmp_path)):
        (folder.path / "nohup.out").write_text("mine")
        (folder.path / "README.md").write_text("of a finish that was killed")
        folder.finish(small(CORPUS), tokenizer="words-1", metrics={})
    names = {path.name for path in folder.path.iterdir()}
    assert folder.status == "finished" and (folder.path / "nohup.out").read_text() == "mine"
    assert "config.json" in names and not names & {"run", ".lock", ".new", ".previous"}
    for name in ("run", ".new"):
        (folder.path / name).mkdir()
    for name in (".lock", ".new.lock", ".log.jsonl.0123abcd.part"):
        (folder.path / name).touch()
    folder.remove_leftovers()
    assert {path.name for path in folder.path.iterdir()} == names


def test_an_unwritable_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(TrainingError, match="cannot be written"),
        RunFolder(tmp_path / "file" / "out").opened(identity(tmp_path)),
    ):
        pass


def test_a_full_disk_is_an_error_and_the_last_checkpoint_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path / "out")

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with folder.opened(identity(tmp_path)):
        folder.save({"n": 1}, {"a": torch.zeros(1)})
        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(StructseqError, match="disk is full"):
            folder.save({"n": 2}, {"a": torch.ones(1)})
        with pytest.raises(TrainingError, match=r"log.jsonl: cannot be written .*; free some space"):
            folder.journal.write("epoch", update=1)
        monkeypatch.undo()
        assert folder.load() == ({"n": 1}, {"a": torch.zeros(1)})


# -- holding out -------------------------------------------------------------------------------------------------------


def test_holding_out_is_decided_by_the_seed_and_keeps_the_order() -> None:
    rows = examples(40)
    kept, held = hold_out(rows, 0.1, seed=0)
    assert (len(kept), len(held)) == (36, 4) and sorted(map(id, kept + held)) == sorted(map(id, rows))
    assert [rows.index(row) for row in kept] == sorted(rows.index(row) for row in kept)
    assert hold_out(rows, 0.1, seed=0) == (kept, held) and hold_out(rows, 0.1, seed=1) != (kept, held)
    assert [len(part) for part in hold_out(rows[:2], 0.9, seed=0)] == [1, 1]
    with pytest.raises(DataError, match="at least two sentences"):
        hold_out([rows[0], Example.of([], [])], 0.5, seed=0)


# -- transfer ----------------------------------------------------------------------------------------------------------


def test_transfer_goes_by_name_and_says_what_it_took() -> None:
    source = small(CORPUS, seed=1)
    rows = [*sentences(6, first=3), (["via", "Lima", "again"], ["O", "B-via", "O"])]
    target = small(Corpus(tuple(Example.of(*row) for row in rows)), seed=2)
    before = weights(target)
    line = format_transfer(transfer(source, target))
    ours, theirs = target.inputs.features["words"], source.inputs.features["words"]
    for word in ("Lima", "to"):
        rows_of = [(feature.vocabulary[word.lower()], feature.embedding.weight) for feature in (ours, theirs)]
        assert torch.equal(*(weight[row] for row, weight in rows_of))
    new = ours.vocabulary["via"]
    assert torch.equal(ours.embedding.weight[new], before["inputs.features.words.embedding.weight"][new])
    assert torch.equal(ours.embedding.weight[0], theirs.embedding.weight[0])
    a, b = (target.tags.index[tag] for tag in ("B-to", "O"))
    c, d = (source.tags.index[tag] for tag in ("B-to", "O"))
    assert torch.equal(target.head.crf.transitions[a, b], source.head.crf.transitions[c, d])
    assert torch.equal(target.head.emission.weight[a], source.head.emission.weight[c])
    via = target.tags.index["B-via"]
    assert torch.equal(target.head.emission.weight[via], before["head.emission.weight"][via])
    assert same(weights(target.encoder), weights(source.encoder))
    assert "all of encoder" in line and "head 4 of 5" in line and "words 16 of 18" in line


OLD, NEW = ("b", "a", "c"), ("d", "c", "b")  # two are shared, and stand elsewhere


def made_of(words: Sequence[str], head: str) -> Model:
    """A model all of whose vocabularies are made of these words: tags, labels, symbols and a column's values too."""
    frames = head in ("ctc", "trim", "words")
    examples = [
        Example(
            {"frames": np.ones((3, 2), np.float32)} if frames else {"tokens": (word, word), "pos": (word, word)},
            {"tags": ("O", f"B-{word}") if not frames else (word,) * 3, "label": word, "target": (word,)},
        )
        for word in words
        for _ in range(1 + words.index(word))
    ]
    data = {"data": {"columns": {} if frames else {"pos": 1}}}
    options = Options.of(TABLE, data, {"head": {"type": head}, "inputs": {"words": {"width": 4}}})
    scheme = BIO if "tags" in task_of(HEADS[head]).required_targets and not frames else PLAIN
    return Model.prepare(options, examples, scheme, seed=len(words) + words.index("c"))


@pytest.mark.parametrize("head", HEADS)
def test_every_named_row_is_copied_by_its_name(head: str) -> None:
    source, target = made_of(OLD, head), made_of(NEW, head)
    before, given, larger = (parameters(model) for model in (target, source, made_of((*NEW, "e"), head)))
    axes, other = named_axes(target), named_axes(source)
    for name, value in before.items():  # what grows with a vocabulary has names along that axis
        for n, (short, long) in enumerate(zip(value.shape, larger[name].shape, strict=True)):
            assert short == long or axes[name][n] is not None, name
    transfer(source, target)
    for name, after in parameters(target).items():
        names = axes.get(name, [None])
        if names[0] is None:
            continue
        columns = [other[name][1], names[1]] if len(names) > 1 and names[1] is not None else None
        for row, entry in enumerate(names[0]):
            mine, known = after[row], entry in other[name][0]
            theirs = given[name][list(other[name][0]).index(entry)] if known else before[name][row]
            if columns and known:
                shared = [c for c in columns[1] if c in columns[0]]
                mine = mine[[list(columns[1]).index(c) for c in shared]]
                theirs = theirs[[list(columns[0]).index(c) for c in shared]]
            assert torch.equal(mine, theirs), (name, entry)


def test_transfer_to_itself_is_the_whole_and_to_other_widths_only_what_fits() -> None:
    source, target = small(CORPUS, seed=1), small(CORPUS, seed=2)
    transfer(source, target)
    assert same(weights(source), weights(target))
    wide = Model.prepare(Options.of(TABLE, {"encoder": {"width": 7}}), CORPUS.train, BIO, seed=0)
    assert format_transfer(transfer(source, wide)).endswith("not copied: encoder (other shape or names)")
    other = Model.prepare(Options.of(TABLE, {"inputs": {"words": {"width": 5}}}), CORPUS.train, BIO, seed=0)
    before = weights(other.encoder)
    line = format_transfer(transfer(source, other))  # its recurrent weights would fit, those of its input do not
    assert same(weights(other.encoder), before) and "not copied: words, encoder (other shape or names)" in line
    softmax = small(CORPUS, seed=2, type="softmax")
    transfer(source, softmax)
    assert torch.equal(softmax.head.emission.weight, source.head.emission.weight)


def test_columns_move_by_their_name_and_an_encoder_only_where_it_reads_the_same() -> None:
    rows = [Example({"tokens": ("a", "b"), "pos": ("x", "y"), "place": ("x", "y")}, {"tags": ("O", "B-t")})]

    def reading(seed: int, *columns: str) -> Model:
        options = Options.of(TABLE, {"data": {"columns": {name: n for n, name in enumerate(columns, 1)}}})
        return Model.prepare(options, rows, BIO, seed=seed)

    source = reading(0, "pos", "place")
    for columns in (("place", "pos"), ("place",), ("pos", "place")):
        target = reading(1, *columns)
        before = weights(target.encoder)
        transfer(source, target)
        for name in columns:
            assert torch.equal(target.inputs.columns[name].weight, source.inputs.columns[name].weight), name
        if columns == ("pos", "place"):
            assert same(weights(target.encoder), weights(source.encoder))
        else:
            assert same(weights(target.encoder), before)


# -- fit ---------------------------------------------------------------------------------------------------------------


def test_fit_in_memory_tells_every_update_and_how_it_ended() -> None:
    seen: list[tuple[int, Mapping[str, Any] | None]] = []
    outcome = fit(
        small(CORPUS), CORPUS, seed=0, callback=lambda progress, record: seen.append((progress.update, record))
    )
    assert [update for update, _ in seen] == list(range(1, 13))
    assert [update for update, record in seen if record] == [4, 8, 12]
    assert (outcome.epochs, outcome.updates) == (3, 12) and outcome.tokens == 3 * sum(map(len, CORPUS.train))
    assert outcome.best_score is not None and "stopped" in outcome.reason and outcome.seconds > 0


def stop_at(update: int) -> Callable[[Progress, object], None]:
    def callback(progress: Progress, record: object) -> None:
        if progress.update == update:
            signal.raise_signal(signal.SIGINT)

    return callback


def test_fit_in_memory_is_stopped_by_a_signal() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted):
        fit(small(CORPUS), CORPUS, callback=stop_at(2))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_long_preparation_says_what_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_run, "SILENT_SECONDS", 0.01)
    monkeypatch.setattr(training_run, "warm_up", lambda: time.sleep(0.2))
    messages: list[str] = []
    training_run._warm_up_with_notice(messages.append)
    assert len(messages) == 1 and messages[0].startswith("preparing; the first run after an installation compiles")
    monkeypatch.setattr(training_run, "warm_up", lambda: None)
    training_run._warm_up_with_notice(messages.append)
    time.sleep(0.05)
    assert len(messages) == 1


@pytest.mark.parametrize("head", ["crf", "softmax", "perceptron"])
@pytest.mark.parametrize("stops", [(1,), (3, 4), (12,), (2, 5, 9)])
def test_stopped_anywhere_it_ends_bit_identical(tmp_path: Path, stops: tuple[int, ...], head: str) -> None:
    whole = small(CORPUS, type=head)
    outcome = fit(whole, CORPUS, seed=0)
    folder = RunFolder(tmp_path / "out")
    for update in stops:
        with folder.opened(identity(tmp_path)), pytest.raises(Interrupted):
            fit(small(CORPUS, type=head), CORPUS, seed=0, folder=folder, callback=stop_at(update))
    resumed = small(CORPUS, type=head)
    with folder.opened(identity(tmp_path)):
        again = fit(resumed, CORPUS, seed=0, folder=folder)
    assert same(weights(whole), weights(resumed))
    for name in ("epochs", "updates", "best_epoch", "best_score", "tokens", "reason"):
        assert getattr(again, name) == getattr(outcome, name)
    records = folder.journal.read()
    assert [record["epoch"] for record in records if record["event"] == "epoch"] == [1, 2, 3]
    assert [record["event"] for record in records].count("resume") == len(stops)


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out")
    with folder.opened(identity(tmp_path)):
        with pytest.raises(Interrupted):
            fit(small(CORPUS), CORPUS, folder=folder, callback=stop_at(1))
        wide = Model.prepare(Options.of(TABLE, {"encoder": {"width": 7}}), CORPUS.train, BIO, seed=0)
        with pytest.raises(TrainingError, match="the checkpoint belongs to another model"):
            fit(wide, CORPUS, folder=folder)
        folder.checkpoint.write_bytes(folder.checkpoint.read_bytes()[:1000])
        with pytest.raises(ModelFileError, match=r"checkpoint\.safetensors"):
            fit(small(CORPUS), CORPUS, folder=folder)
