"""A sequence as one vector, from which it is said again: tokens and frames, from the definition to the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import call, tiny

from structseq import ConfigError, Corpus, Embedder, Example, Transducer
from structseq.config import Options
from structseq.evaluation import evaluate_reconstruction
from structseq.heads.autoencoding import AutoencodeHead, FrameDecoder, Normals, TokenDecoder, TokenStepper
from structseq.model import Model
from structseq.padded import Padded
from structseq.spans import PLAIN, TagSet
from structseq.structures.steps import Steps
from structseq.training import train

TAGS = TagSet(("a", "b"), PLAIN, PLAIN)
QUIET = {
    "encoder": {"width": 24, "dropout": 0.0, "recurrent_dropout": 0.0}, "inputs": {"dropout": 0.0},
    "head": {"type": "autoencode", "bottleneck": 12, "decoder": 32},
    "training": {"learning_rate": 0.02, "epochs": 150, "average": "none", "batch_sentences": 8},
}  # fmt: skip
SENTENCES = ["to Taipei on Monday", "from Oslo", "Monday", "on Monday from Oslo to Taipei"]


def waves() -> list[Example]:
    """Two kinds of frames: one rises, one falls."""
    times = [np.linspace(0, 1, n)[:, None] for n in (5, 9, 7, 6)]
    return [Example.of_frames(100 + 10 * (t if n % 2 else -t) * [1, 2]) for n, t in enumerate(times)]


def learned(examples: list[Example], **head: object) -> Model:
    options = Options.of(QUIET, {"head": head})
    model = Model.prepare(options, examples, PLAIN, seed=0)
    for _ in train(model, Corpus(tuple(examples)), options.training):
        pass
    return model


@pytest.fixture(scope="module")
def words() -> Model:
    return learned([Example.of(text.split()) for text in SENTENCES], dropout=0.0)


@pytest.fixture(scope="module")
def frames() -> Model:
    return learned(waves())


def states(width: int = 4) -> Padded:
    return Padded.of([torch.randn(n, width, generator=torch.Generator().manual_seed(n)).double() for n in (4, 2, 1)])


def test_normals_are_those_of_torch() -> None:
    rows, target = states(), torch.randn(3, 4, 4).double()
    found = Normals(rows.values, rows.lengths).log_prob(target)
    each = torch.distributions.Normal(rows.values, 1.0).log_prob(target).sum(2)
    assert found.tolist() == pytest.approx([each[row, :length].sum().item() for row, length in enumerate((4, 2, 1))])
    target[1, 2:] = torch.nan
    assert torch.equal(Normals(rows.values, rows.lengths).log_prob(target), found)
    best = Normals(rows.values, rows.lengths).best()
    assert best.score[2].item() == pytest.approx(-4 * math.log(2 * math.pi) / 2)


def test_saying_again_is_a_distribution_stepped_or_in_one_go() -> None:
    torch.manual_seed(0)
    saying = TokenDecoder(3, vector=4, width=5, embedding=3, word_dropout=0.5).double().eval()
    spoken = TokenStepper(saying, torch.randn(2, 4).double())
    target = torch.tensor([[1, 2, 2], [2, 0, 0]])
    teacher_forced = spoken.teacher_forced(target)
    logits, state = spoken.initial()
    for step in range(3):
        assert torch.allclose(logits, teacher_forced[:, step])
        logits, state = spoken.step(target[:, step], torch.arange(2), state)
    assert torch.allclose(logits, teacher_forced[:, 3])
    steps = Steps(spoken, torch.tensor([2, 2]))
    every = [[], [1], [2], [1, 1], [1, 2], [2, 1], [2, 2]]
    total = sum(steps.log_prob(torch.tensor([y + [0] * (2 - len(y))] * 2)).exp() for y in every)
    assert torch.as_tensor(total).tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize("width", [0, 3])
def test_padding_changes_nothing_and_every_parameter_learns(width: int) -> None:
    torch.manual_seed(0)
    own = {} if width else {"embedding": 2, "dropout": 0.0}
    head = AutoencodeHead(4, TAGS, frames=width, bottleneck=3, decoder=5, **own).double()
    head.get_buffer("longest").fill_(4)
    rows = states()
    target = torch.randn(3, 4, 3).double() if width else torch.tensor([[1, 2, 1, 1], [2, 2, 0, 0], [1, 0, 0, 0]])
    together = head.loss(rows, target)
    spoilt = rows.values.clone()
    spoilt[~rows.mask()] = torch.nan
    assert torch.allclose(head.loss(Padded(spoilt, rows.lengths), target), together)
    alone = head.loss(Padded(rows.values[1:2, :2], rows.lengths[1:2]), target[1:2, :2])
    assert torch.allclose(alone, together[1])
    together.sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in head.parameters())


@pytest.mark.parametrize("option", ["embedding", "dropout"])
def test_options_of_words_are_refused_where_there_are_none(option: str) -> None:
    with pytest.raises(ConfigError, match=f"head.{option}: expected no value for an autoencoder of frames"):
        AutoencodeHead(4, TAGS, frames=3, **{option: 0.5 if option == "dropout" else 3})


def test_frames_of_any_scale_are_learned_alike() -> None:
    rng = np.random.default_rng(0)
    made = [rng.normal(size=(n, 3)).astype(np.float32) for n in (4, 6)]
    targets = []
    for scale in (1.0, 1e-7, 1e7):
        examples = [Example.of_frames(scale * frames) for frames in made]
        head = AutoencodeHead(4, TagSet((), PLAIN, PLAIN), frames=3)
        head.prepare(examples)
        targets.append(head.target(examples[0]))
    for other in targets[1:]:
        np.testing.assert_allclose(other, targets[0], rtol=1e-4, atol=1e-5)


def test_a_feature_that_hardly_moves_hardly_counts() -> None:
    rng = np.random.default_rng(0)
    right = np.concatenate([rng.normal(size=(200, 3)), np.full((200, 1), -23.0)], 1)
    noisy = right + rng.normal(scale=0.1, size=right.shape) * [1, 1, 1, 1e-6]
    assert evaluate_reconstruction([right], [noisy]).explained == pytest.approx(0.99, abs=2e-3)
    right[7, 3] += 1e-3  # a silent band in which once something is heard
    assert evaluate_reconstruction([right], [noisy]).explained == pytest.approx(0.99, abs=2e-3)
    still = np.full((5, 2), 0.1)
    assert evaluate_reconstruction([still], [still]).explained == 1.0
    assert evaluate_reconstruction([still], [still + 0.1]).explained == 0.0
    with pytest.raises(ValueError, match="expected frames, found none"):
        evaluate_reconstruction([], [])


def test_sentences_are_said_again_from_their_vectors(words: Model, tmp_path: Path) -> None:
    transducer = Transducer(words)
    assert [transducer.transduce_text(text).text for text in SENTENCES] == SENTENCES
    assert Embedder(words).embed([text.split() for text in SENTENCES]).shape == (4, 12)
    transducer.save(tmp_path / "model")
    assert Transducer.load(tmp_path / "model").transduce_text(SENTENCES[0]).text == SENTENCES[0]


def test_frames_are_drawn_again_in_their_own_units(frames: Model, tmp_path: Path) -> None:
    examples = waves()
    found = list(frames.predict(examples))
    assert [row.shape for row in found] == [example.frames.shape for example in examples]
    assert frames.task.criterion([example.frames for example in examples], found) > 0.9
    embedder = Embedder(frames)
    vectors = embedder.embed(examples)
    near = np.linalg.norm(vectors[:, None] - vectors[None], axis=2) + 1e9 * np.eye(4)
    assert near.argmin(1).tolist() == [2, 3, 0, 1]  # what falls lies near what falls
    embedder.save(tmp_path / "model")
    assert np.allclose(Embedder.load(tmp_path / "model").embed(examples), vectors, atol=1e-5)
    with pytest.raises(ConfigError, match="use Embedder"):
        Transducer(frames)


def test_from_the_command_line_and_as_a_start_for_a_tagger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tagged = tmp_path / "train.conll"
    tagged.write_text("".join("\n".join(f"{word} O" for word in text.split()) + "\n\n" for text in SENTENCES * 2))
    few = tmp_path / "few.conll"
    few.write_text("from O\nOslo B-city\n\nMonday B-day\n")
    own = [*tiny(), "--set", "head.type=autoencode"]
    done = call(capsys, "train", tagged, "--dev", tagged, "--output", tmp_path / "auto", *own)
    assert done.status == 0 and "no gold answers needed" in done.err and "symbol error rate" in done.out
    assert call(capsys, "evaluate", tmp_path / "auto", tagged).status == 0
    done = call(capsys, "embed", tmp_path / "auto", tagged)
    records = [json.loads(line) for line in done.out.splitlines()]
    assert [record["source"] for record in records[:4]] == SENTENCES and len(records[0]["vector"]) == 100
    start = ["train", few, "--dev", few, "--init-from", tmp_path / "auto", "--output", tmp_path / "tagger", *tiny(1)]
    done = call(capsys, *start)
    assert done.status == 0 and "all of words, all of characters, all of encoder" in done.err
    assert call(capsys, "describe", tmp_path / "auto").status == 0


def test_in_mixed_precision_places_still_differ() -> None:
    torch.manual_seed(0)
    drawing = FrameDecoder(3, vector=4, width=5)
    vectors, lengths = torch.randn(1, 4).bfloat16(), torch.tensor([1500])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = drawing(vectors, lengths, 1500)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, drawing(vectors.float(), lengths, 1500), rtol=0, atol=0)


def test_dev_of_another_format_is_cut_as_the_pairs_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs, texts = tmp_path / "pairs.tsv", tmp_path / "texts.tsv"
    pairs.write_text("source\ttarget\n" + "ab c\tx\nba c\ty\n" * 6, encoding="utf-8")
    texts.write_text("label\ttext\nx\tab c\nx\tab c\n", encoding="utf-8")
    settings = [*tiny(1), "--set", "head.type=autoencode", "--set", "head.bottleneck=4"]
    out = tmp_path / "m"
    done = call(capsys, "train", pairs, "--dev", texts, "--test", texts, "--output", out, *settings)
    assert done.status == 0 and "8 symbols" in done.out
