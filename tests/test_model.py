"""Model: inputs, encoder and head put together; answers in order; whole in options, vocabularies, tags and weights."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import miniature
import oracles
import pytest
import torch
from torch import Tensor, nn

from structseq.config import Options
from structseq.data.example import Example
from structseq.encoders import ENCODERS
from structseq.encoders.base import Encoder
from structseq.errors import ConfigError, DataError
from structseq.heads import TAGGERS
from structseq.heads.tagging import TaggingHead
from structseq.model import Model, build_encoder
from structseq.padded import Padded
from structseq.spans import scheme_of
from structseq.structures.chain import LinearChain

TRAIN = miniature.corpus().train
HARD = (
    *miniature.sentences(9, seed=5),
    Example.of([]),
    Example.of(["zzz", "Ünknown", "#", ""]),
    Example.of(["to"] * 60),
)


def stirred(model: Model, seed: int = 0) -> Model:
    """With weights large enough for answers to differ."""
    torch.manual_seed(seed)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.7)
    return model


# -- answers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", TAGGERS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_one_answer_for_each_example_in_order(encoder: str, head: str) -> None:
    model = stirred(miniature.model({"encoder": {"type": encoder}, "head": {"type": head}}))
    answers = list(model.predict(HARD))
    assert [len(answer) for answer in answers] == [len(example) for example in HARD]
    assert all(not scheme_of("BIO").violations(answer) for answer in answers)
    assert len({answer for answer in answers if answer}) > 3
    backwards = list(model.predict(HARD[::-1]))
    assert backwards[::-1] == answers


@pytest.mark.parametrize(("sentences", "tokens"), [(1, 1), (1, 4096), (3, 20), (64, 7), (1000, 10**6)])
def test_answers_do_not_depend_on_batching(sentences: int, tokens: int) -> None:
    model = stirred(miniature.model())
    expected = list(model.predict(HARD))
    assert list(model.predict(HARD, sentences=sentences, tokens=tokens)) == expected


def test_answers_do_not_depend_on_company() -> None:
    model = stirred(miniature.model())
    together = list(model.predict(HARD))
    assert [answer for example in HARD for answer in model.predict([example])] == together


@pytest.mark.parametrize("examples", [[], [Example.of([])], [Example.of([]), Example.of([])]], ids=len)
def test_nothing_to_answer(examples: list[Example]) -> None:
    assert list(miniature.model().predict(examples)) == [()] * len(examples)


def test_answering_leaves_no_trace() -> None:
    model = stirred(miniature.model())
    weights, random_state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    first = list(model.predict(HARD))
    assert torch.equal(torch.get_rng_state(), random_state)
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name]) and not value.is_inference()
    model.train()
    assert list(model.predict(HARD)) == first, "answers come without dropout in any mode"
    assert not torch.is_inference_mode_enabled() and torch.is_grad_enabled()
    model.loss(
        model.inputs.encode(TRAIN[:2]), torch.zeros(2, max(map(len, TRAIN[:2])), dtype=torch.int64)
    ).sum().backward()


def test_a_half_read_answer_and_a_failure_leave_the_mode_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    model = stirred(miniature.model())
    running = model.predict(HARD, sentences=2)
    next(running)
    assert not torch.is_inference_mode_enabled()

    def fail(_: object) -> list[tuple[str, ...]]:
        raise KeyError("broken head")

    monkeypatch.setattr(model.head, "answers", fail)
    modes = []
    try:
        list(model.predict(HARD))
    except KeyError:
        modes.append(torch.is_inference_mode_enabled())
    assert modes == [False], "after the failure the mode is as before"


def test_eight_threads_answer_what_one_answers() -> None:
    model = stirred(miniature.model())
    model.eval()
    expected = list(model.predict(HARD))
    with ThreadPoolExecutor(8) as pool:
        for answers in pool.map(lambda _: list(model.predict(HARD)), range(16)):
            assert answers == expected


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_give_the_same_answers_and_are_given_back(threads: int) -> None:
    model, before = stirred(miniature.model()), torch.get_num_threads()
    expected = list(model.predict(HARD))
    with model.on_threads(threads):
        assert list(model.predict(HARD)) == expected
    assert torch.get_num_threads() == before
    with pytest.raises(KeyError), model.on_threads(threads):
        raise KeyError
    assert torch.get_num_threads() == before
    assert not any(getattr(module, "concurrent", False) for module in model.modules())


def test_a_sentence_of_a_hundred_thousand_tokens() -> None:
    model = stirred(miniature.model({"encoder": {"recurrent_dropout": 0}}))
    words = ["from", "Taipei", "to", "nowhere", "on", "Monday"]
    long = Example.of([words[number % 6] for number in range(100_000)])
    (answer,) = model.predict([long])
    assert len(answer) == 100_000 and not scheme_of("BIO").violations(answer)


def test_confidence_is_the_probability_of_the_reading() -> None:
    """A span's exact probability is that of all sequences together whose reading holds it."""
    model = stirred(miniature.model({"head": {"scheme": "BIOES"}}))
    model.eval()
    with torch.inference_mode():
        chain = model.distribution(model.inputs.encode_tokens([["from", "Rome", "to"]], {}))
    assert isinstance(chain, LinearChain)
    row = oracles.Chain(
        *(p[0] if p is chain.scores else p for p in (chain.scores, chain.transitions, chain.start, chain.end))
    )
    mass: dict[tuple[int, int, str], float] = {}
    tags = model.tags
    for path, probability in oracles.probabilities(oracles.Chain(*(part.double().numpy() for part in row))):
        if probability:
            for span in tags.model_scheme.decode([tags.labels[k] for k in path]):
                mass[span.start, span.end, span.label] = mass.get((span.start, span.end, span.label), 0) + probability
    spans = [(0, i, j, tags.types.index(kind)) for i, j, kind in mass]
    found = chain.span_probabilities(spans, tags.edges()).tolist()
    assert len(found) > 10 and found == pytest.approx(list(mass.values()), abs=1e-4)


FORKED = """
import os, sys
import miniature

model = miniature.model()
examples = miniature.sentences(6)
with model.on_threads(2):
    expected = list(model.predict(examples))
    child = os.fork()
    if not child:
        os._exit(0 if list(model.predict(examples)) == expected else 1)
    assert list(model.predict(examples)) == expected
sys.exit(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_child_answers(root: Path) -> None:
    """Threads are not forked with the rest: a child that waits for its parent's would never end."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")])},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-500:]


# -- whole in its parts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", TAGGERS)
def test_options_vocabularies_tags_and_weights_are_the_whole_model(head: str) -> None:
    inside = {"scheme": "BIOES"} if "scheme" in TAGGERS[head].Options.model_fields else {}
    layers = {"head": {"type": head, **inside}, "data": {"columns": {"pos": 2}}}
    model = stirred(miniature.model(layers))
    twin = Model(Options.of(model.options.to_dict()), model.vocabularies, model.tags, model.widths)
    twin.load_state_dict(model.state_dict(), strict=True)
    examples = [*TRAIN, Example.of(["strange", "Words"], pos=["X", "N"])]
    assert list(twin.predict(examples)) == list(model.predict(examples))
    assert list(twin.state_dict()) == list(model.state_dict())


def test_the_seed_alone_decides_the_first_weights() -> None:
    first = miniature.model(seed=3)
    torch.rand(17)
    before = torch.get_rng_state()
    second, other = miniature.model(seed=3), miniature.model(seed=4)
    assert torch.equal(torch.get_rng_state(), before), "and the caller's own chance stays as it was"
    for one, two in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, two)
    assert any(not torch.equal(one, two) for one, two in zip(first.parameters(), other.parameters(), strict=True))


def test_the_order_of_examples_does_not_matter_to_vocabularies_and_tags() -> None:
    one, other = miniature.model(examples=TRAIN), miniature.model(examples=TRAIN[::-1])
    assert one.vocabularies == other.vocabularies and one.tags == other.tags


def test_columns_are_inputs_by_name() -> None:
    model = stirred(miniature.model({"data": {"columns": {"pos": 2}}}))
    assert "column.pos" in model.vocabularies
    nouns, verbs = (Example.of(["to", "Rome", "x"], pos=[tag] * 3) for tag in ("N", "P"))
    (one,), (other,) = model.predict([nouns]), model.predict([verbs])
    assert len(one) == len(other) == 3
    batch = model.inputs.encode([nouns, verbs])
    vectors = model.eval().inputs(batch).values
    assert not torch.equal(vectors[0], vectors[1])


def test_a_column_that_training_data_lack_is_named() -> None:
    with pytest.raises(DataError, match=r"expected an input column 'chunk'.*found tokens, pos"):
        miniature.model({"data": {"columns": {"chunk": 2}}})


def test_a_column_that_an_example_to_answer_lacks_is_named() -> None:
    model = miniature.model({"data": {"columns": {"pos": 2}}})
    with pytest.raises(DataError, match="pos"):
        list(model.predict([Example.of(["to", "Rome"])]))


PARTS_OFF = {
    "words": {"words": {"width": 0}},
    "characters": {"characters": {"width": 0}},
    "affixes": {"affixes": {"shape": 0, "width": 0}},
    "shapes": {"affixes": {"shape": 0}},
    "prefixes and suffixes": {"affixes": {"width": 0}},
    "prefixes": {"affixes": {"prefixes": []}},
    "affixes by their lengths": {"affixes": {"shape": 0, "prefixes": [], "suffixes": []}},
    "all but affixes": {"words": {"width": 0}, "characters": {"width": 0}},
    "all but words": {"characters": {"width": 0}, "affixes": {"shape": 0, "width": 0}},
}


@pytest.mark.parametrize("part", PARTS_OFF)
def test_each_kind_of_input_can_be_turned_off(part: str) -> None:
    model = stirred(miniature.model({"inputs": PARTS_OFF[part]}))
    assert [len(answer) for answer in model.predict(HARD)] == [len(example) for example in HARD]


@pytest.mark.parametrize("windows", [[1], [2], [5], [2, 3, 4], [1, 2, 3, 4, 5, 6]])
def test_any_windows_of_characters(windows: list[int]) -> None:
    """More windows than filters leave some without any."""
    model = stirred(miniature.model({"inputs": {"characters": {"windows": windows, "width": 4}}}))
    assert [len(answer) for answer in model.predict(HARD)] == [len(example) for example in HARD]


def test_no_inputs_at_all_is_an_error_of_options() -> None:
    off = {"words": {"width": 0}, "characters": {"width": 0}, "affixes": {"shape": 0, "width": 0}}
    with pytest.raises(ConfigError, match="inputs"):
        miniature.model({"inputs": off})


def test_columns_alone_are_enough() -> None:
    off = {"words": {"width": 0}, "characters": {"width": 0}, "affixes": {"shape": 0, "width": 0}}
    model = stirred(miniature.model({"inputs": off, "data": {"columns": {"pos": 2}}}))
    assert [len(answer) for answer in model.predict(TRAIN)] == [len(example) for example in TRAIN]
    (answer,) = model.predict([Example.of(["never", "seen"], pos=["N", "N"])])
    assert len(answer) == 2


def test_examples_without_tokens_or_tags() -> None:
    with pytest.raises(DataError, match="at least one tag, label or symbol"):
        miniature.model(examples=())
    with pytest.raises(DataError, match="at least one tag, label or symbol"):
        miniature.model(examples=(Example.of([], []),))
    with pytest.raises(DataError, match="has no tags"):
        miniature.model(examples=(Example.of(["a"]),))


@pytest.mark.parametrize("scheme", ["plain", "IO", "BIOES"])
def test_other_schemes(scheme: str) -> None:
    tags = {"plain": ["P", "NN-HL", "P"], "IO": ["O", "I-x", "O"], "BIOES": ["O", "S-x", "O"]}[scheme]
    model = stirred(miniature.model(examples=(Example.of(["to", "Rome", "on"], tags),), scheme=scheme))
    for answer in model.predict(HARD):
        assert set(answer) <= set(tags)


# -- classes from outside ----------------------------------------------------------------------------------------------

OUTSIDE = '''
"""Classes unknown to structseq."""

import torch
from torch import nn

from structseq.encoders.base import Encoder
from structseq.heads.tagging import CrfHead


class Windows(Encoder):
    """Each step with its two neighbours; no recurrence, and nothing drawn."""

    def __init__(self, in_width, width, *, recurrent_dropout=0.0):
        super().__init__()
        self.in_width, self.width = in_width, width
        self.layer = nn.Conv1d(in_width, width, 3, padding=1)

    def forward(self, inputs):
        values = inputs.values.masked_fill(~inputs.mask().unsqueeze(-1), 0)
        if not values.numel():
            return inputs.with_values(values.new_zeros(*values.shape[:2], self.width))
        return inputs.with_values(torch.tanh(self.layer(values.transpose(1, 2)).transpose(1, 2)))


class Cautious(CrfHead):
    """Prefers given answers."""

    averaging = "mean"
'''


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "my_sequences.py").write_text(textwrap.dedent(OUTSIDE), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_sequences"


@pytest.mark.parametrize("bidirectional", [False, True])
def test_an_encoder_and_a_head_from_outside(bidirectional: bool, outside: str) -> None:
    layers = {
        "encoder": {"type": f"{outside}:Windows", "bidirectional": bidirectional, "layers": 2},
        "head": {"type": f"{outside}:Cautious"},
    }
    model = stirred(miniature.model(layers))
    assert type(model.head).__name__ == "Cautious"
    assert [len(answer) for answer in model.predict(HARD)] == [len(example) for example in HARD]
    target = model.head.target(TRAIN[0])
    model.train()
    model.loss(model.inputs.encode(TRAIN[:1]), torch.tensor([target])).sum().backward()
    assert any("layer" in name and p.grad is not None for name, p in model.encoder.named_parameters())


def test_a_class_from_outside_that_is_not_there(outside: str) -> None:
    with pytest.raises(ConfigError, match="cannot be imported"):
        miniature.model({"encoder": {"type": f"{outside}:Windoes"}})


def test_widths_add_up() -> None:
    options = miniature.options({"encoder": {"layers": 3}}).encoder
    assert build_encoder(options, 7).width == 10
    assert build_encoder(options.model_copy(update={"bidirectional": False}), 7).width == 5


ONE_WAY = {"bidirectional": False}
TAGS_OF_JORDAN = {"type": "jordan", "outputs": "tags", **ONE_WAY}


@pytest.mark.parametrize("head", [name for name, kind in TAGGERS.items() if issubclass(kind, TaggingHead)])
def test_a_jordan_networks_memory_can_be_the_tags_scores(head: str) -> None:
    model = stirred(miniature.model({"encoder": TAGS_OF_JORDAN, "head": {"type": head, "projection": "none"}}))
    model.head.prepare(TRAIN)
    assert model.encoder.width == len(model.tags.labels)
    assert not [name for name, _ in model.head.named_parameters() if "emission" in name]
    assert [len(answer) for answer in model.predict(HARD)] == [len(example) for example in HARD]
    batch = model.inputs.encode(TRAIN[:1])
    model.train().loss(batch, torch.tensor([model.head.target(TRAIN[0])])).sum().backward()
    assert all(p.grad is not None for name, p in model.encoder.named_parameters())


@pytest.mark.parametrize(
    ("encoder", "head", "expected_message"),
    [
        ({"periods": [1, 2]}, {}, "encoder.periods: the encoder lstm has no such option; it belongs to clockwork"),
        ({"type": "elman", "outputs": "tags"}, {}, "encoder.outputs: the encoder elman has no such option"),
        ({"attention_heads": 2}, {}, "encoder.attention_heads: the encoder lstm has no such option"),
        ({"type": "attention", "attention_heads": 3}, {}, "expected a divisor of the width 10, found 3"),
        ({"type": "clockwork", "periods": [2, 1]}, {}, "encoder.periods: expected increasing whole numbers"),
        ({"type": "jordan", "outputs": "tags"}, {"projection": "none"}, "found 14; use a unidirectional encoder"),
        ({**ONE_WAY}, {"projection": "none"}, "expected states as wide as there are tags, 7, found 5"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    encoder: dict[str, object], head: dict[str, str], expected_message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        miniature.model({"encoder": encoder, "head": head})
    assert expected_message in str(caught.value)


def test_own_options_reach_every_layer() -> None:
    options = miniature.options({"encoder": {"type": "scrn", "context": 3, "context_decay": 0.5, "layers": 2}}).encoder
    encoder = build_encoder(options, 4)
    assert [layer.width for layer in encoder.layers] == [2 * (5 + 3)] * 2
    assert all(way.context_decay == 0.5 for layer in encoder.layers for way in (layer.forwards, layer.backwards))


def test_attention_is_the_last_layer_and_sees_what_the_encoder_below_may_see() -> None:
    own = {"attention": 2, "attention_heads": 5}
    both = build_encoder(miniature.options({"encoder": own}).encoder, 4)
    assert [type(layer).__name__ for layer in both.layers] == ["Bidirectional", "SelfAttention", "SelfAttention"]
    assert [layer.causal for layer in both.layers[1:]] == [False, False]
    assert [layer.heads for layer in both.layers[1:]] == [5, 5] and both.width == 10
    back = build_encoder(miniature.options({"encoder": {**own, **ONE_WAY, "backwards": True}}).encoder, 4)
    assert [type(layer).__name__ for layer in back.layers] == ["Backwards"] * 3
    assert [layer.encoder.causal for layer in back.layers[1:]] == [True, True]


class Echo(Encoder):
    """States that are the inputs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_width = self.width = width

    def forward(self, inputs: Padded, drawn: Tensor | None = None) -> Padded:
        return inputs


def test_states_are_the_encoders_answer_to_the_inputs() -> None:
    model = miniature.model().eval()
    model.encoder = Echo(model.inputs.width)
    batch = model.inputs.encode(TRAIN[:3])
    assert torch.equal(model.states(batch).values, model.inputs(batch).values)
