"""Classes from outside with options of their own: trained, saved, loaded only when trusted, described, pickled."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import miniature
import pytest
import torch
from commandline import InProcess, call, tiny, write_corpus

from structseq import Tagger
from structseq.config import Options, outside_classes
from structseq.errors import ConfigError, ModelFileError
from structseq.model import Model
from structseq.storage import load_model, save_model

OUTSIDE = '''
"""A word feature, an encoder and a head that structseq does not know."""

from collections import Counter

import numpy as np
import torch
from pydantic import Field
from torch import nn

from structseq.config import EncoderOptions
from structseq.data.vocabulary import Vocabulary
from structseq.encoders.recurrent import Recurrent
from structseq.features.base import Feature, FeatureOptions
from structseq.heads.tagging import SoftmaxHead
from structseq.inputs.base import WordFeature
from structseq.section import Count


class Letters(Feature):
    """The number of a word's capital letter, and how many capitals it has."""

    def __init__(self, options, vocabularies):
        self.letters, self.most = vocabularies["letters"], options.most

    @classmethod
    def count(cls, options, words):
        return {"letters": Vocabulary.count(Counter(c for word in words for c in word if c.isupper()))}

    def index(self, words):
        capitals = [[c for c in word if c.isupper()] for word in words]
        first = self.letters.numbers("".join(found[:1]) for found in capitals)
        count = [min(len(found), self.most) for found in capitals]
        return np.stack([np.array(first, np.int64), np.array(count, np.int64)], 1)


class Capitals(WordFeature):
    """Their vectors, added."""

    class Options(FeatureOptions):
        width: Count = Field(4, description="width of a vector")
        most: Count = Field(3, description="more capitals count as this many")

    Index = Letters

    def __init__(self, feature, options):
        super().__init__(feature, options.width)
        self.letter = nn.Embedding(len(feature.letters), options.width)
        self.count = nn.Embedding(options.most + 1, options.width)

    def forward(self, index):
        return self.letter(index[:, 0]) + self.count(index[:, 1])


class Nothing:
    """No word feature."""

    class Options(FeatureOptions):
        pass


class Leaky(Recurrent):
    """Leaky integrator units."""

    class Options(EncoderOptions):
        leak: float = Field(0.5, ge=0, lt=1, description="share of a state that stays from step to step")

    def __init__(self, in_width, width, *, recurrent_dropout=0.0, leak=0.5):
        super().__init__(in_width, width, recurrent_dropout=recurrent_dropout)
        self.leak, self.input = leak, nn.Linear(in_width, width)
        self.memory = nn.Parameter(nn.init.orthogonal_(torch.empty(width, width)))

    @property
    def recurrent(self):
        return self.memory

    def run(self, values, recurrent):
        state, states = values.new_zeros(len(values), self.width), []
        for step in self.input(values).unbind(1):
            state = self.leak * state + (1 - self.leak) * torch.tanh(step + state @ recurrent.T)
            states.append(state)
        return torch.stack(states, 1)


class Smooth(SoftmaxHead):
    """Softmax with label smoothing."""

    class Options(SoftmaxHead.Options):
        smoothing: float = Field(0.1, ge=0, lt=1, description="share of the target spread over all tags")

    def __init__(self, in_width, tags, *, projection="linear", smoothing=0.1):
        super().__init__(in_width, tags, projection=projection)
        self.smoothing = smoothing

    def loss(self, states, target):
        uniform = -self.emissions(states).log_softmax(-1).mean(-1)  # (B, T)
        spread = (uniform * states.mask()).sum(1)
        return (1 - self.smoothing) * super().loss(states, target) + self.smoothing * spread
'''
CAPITALS, LEAKY, SMOOTH = "my_parts:Capitals", "my_parts:Leaky", "my_parts:Smooth"
OWN: dict[str, Any] = {
    "inputs": {"features": {"capitals": {"type": CAPITALS, "width": 5}}},
    "encoder": {"type": LEAKY, "leak": 0.25},
    "head": {"type": SMOOTH, "smoothing": 0.2},
}
# By option: the class that it names.
TYPES = {"inputs.features.capitals.type": CAPITALS, "encoder.type": LEAKY, "head.type": SMOOTH}
FEATURE = (f"inputs.features.capitals.type={CAPITALS}", "inputs.features.capitals.width=5")
PARTS = (*FEATURE, f"encoder.type={LEAKY}", "encoder.leak=0.25", f"head.type={SMOOTH}", "head.smoothing=0.2")


def set_(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def trust(*names: str) -> list[str]:
    return [word for name in names for word in ("--trust", name)]


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The module is where Python finds it, and is forgotten afterwards."""
    (tmp_path / "my_parts.py").write_text(OUTSIDE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("my_parts", None)
    yield tmp_path
    sys.modules.pop("my_parts", None)


@pytest.fixture
def model(outside: Path) -> Model:
    return miniature.model(OWN).eval()


# -- what its parts do -------------------------------------------------------------------------------------------------


def test_a_feature_is_an_input_beside_the_others(model: Model) -> None:
    assert list(model.inputs.features) == ["words", "characters", "affixes", "capitals"]
    assert model.inputs.word_width == miniature.model().inputs.word_width + 5
    letters = model.vocabularies["feature.capitals.letters"]
    assert set(letters) == {c for word in model.vocabularies["words"] for c in word if c.isupper()}
    batch = model.inputs.encode_tokens([["ROME", "unseen", "to"]])
    capitals, vectors = model.inputs.features["capitals"], model.inputs(batch).values[0, :, -5:]
    assert torch.equal(vectors[0], capitals.letter.weight[letters["R"]] + capitals.count.weight[3])
    assert torch.equal(vectors[1], capitals.letter.weight[0] + capitals.count.weight[0])
    model.inputs(model.inputs.encode(miniature.corpus().train[:2])).values.sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in capitals.parameters())


def test_weights_of_the_others_do_not_change(model: Model) -> None:
    """It draws after them."""
    plain = miniature.model()
    for name, parameter in plain.inputs.named_parameters():
        assert torch.equal(parameter, dict(model.inputs.named_parameters())[name])


def test_an_encoder_and_a_head_get_their_own_options(model: Model) -> None:
    mixed = miniature.model({"encoder": OWN["encoder"]})
    layer = model.encoder.layers[0]
    assert [layer.forwards.leak, layer.backwards.leak, model.head.smoothing] == [0.25, 0.25, 0.2]
    assert type(layer.forwards).__name__ == "Leaky" and type(mixed.head).__name__ == "CrfHead"
    examples = list(miniature.corpus().train[:4])
    batch, target = model.inputs.encode(examples), model.head.pad([model.head.target(row) for row in examples])
    loss = model.loss(batch, target)
    model.head.smoothing = 0.0
    assert not torch.allclose(loss, model.loss(batch, target))
    loss.sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in [*model.encoder.parameters(), *model.head.parameters()])


# -- saved, loaded, pickled --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", TYPES)
def test_loading_imports_nothing_that_is_not_trusted(option: str, model: Model, outside: Path) -> None:
    save_model(outside / "model", model, tokenizer="words-1")
    sys.modules.pop("my_parts")
    name = TYPES[option]
    with pytest.raises(ModelFileError) as caught:
        load_model(outside / "model", trusted=["my_parts:Other", *({*TYPES.values()} - {name})])
    assert f"options.json: {option} is {name!r}" in str(caught.value)
    assert f"--trust {name}" in str(caught.value) and "my_parts" not in sys.modules


def test_a_trusted_model_comes_back_bit_for_bit(model: Model, outside: Path) -> None:
    save_model(outside / "model", model, tokenizer="words-1")
    loaded = load_model(outside / "model", trusted=list(TYPES.values())).model
    assert loaded.options.to_dict() == model.options.to_dict() and loaded.vocabularies == model.vocabularies
    assert [loaded.encoder.layers[0].forwards.leak, loaded.head.smoothing] == [0.25, 0.2]
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    examples = miniature.corpus().dev
    assert list(loaded.predict(examples)) == list(model.predict(examples))


def test_a_folder_that_lacks_its_vocabulary_is_refused(model: Model, outside: Path) -> None:
    save_model(outside / "model", model, tokenizer="words-1")
    path = outside / "model" / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    del config["vocabularies"]["feature.capitals.letters"]
    path.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelFileError, match=r"no model can be built .*letters"):
        load_model(outside / "model", trusted=list(TYPES.values()))


def test_a_pickle_trusts_what_was_held(model: Model) -> None:
    tagger = Tagger(model)
    copied = pickle.loads(pickle.dumps(tagger))
    assert copied.tag(["to", "ROME"]) == tagger.tag(["to", "ROME"])


# -- the command line --------------------------------------------------------------------------------------------------


def test_they_are_trained_and_described_from_the_command_line(
    capsys: pytest.CaptureFixture[str], outside: Path
) -> None:
    parts, folder = write_corpus(outside), outside / "model"
    words = ["train", parts["train"], "--dev", parts["dev"], "--output", folder, *tiny(1), *set_(*PARTS)]
    assert call(capsys, *words).status == 0
    for use in (["tag", folder, parts["test"]], ["evaluate", folder, parts["test"]], ["describe", folder]):
        for option, name in TYPES.items():
            refused = call(capsys, *use, *trust(*({*TYPES.values()} - {name})))
            assert refused.status == 2 and f"{option} is {name!r}" in refused.sentence
            assert f"--trust {name}" in refused.sentence
        done = call(capsys, *use, *trust(*TYPES.values()))
        assert done.status == 0
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    for option, name in TYPES.items():
        assert f"{option} {name}" in lines
    assert {"encoder.leak 0.25", "head.smoothing 0.2", "inputs.features.capitals.width 5"} <= {*lines}
    assert f"encoder bidirectional {LEAKY}, 1 layer(s) of width 8" in lines and f"head {SMOOTH}" in lines
    assert any(line.startswith("feature.capitals.letters ") for line in lines) and "\n  capitals " in done.out


def test_they_are_compared_with_the_houses_own(
    capsys: pytest.CaptureFixture[str], outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("structseq.experiment.compare.Pool", InProcess)
    parts, out = write_corpus(outside), outside / "out"
    words = ["compare", parts["train"], "--dev", parts["dev"], "--output", out, *tiny(1), *set_(*FEATURE), "--quiet"]
    systems = ("--encoders", f"{LEAKY}[leak=0.25],elman", "--heads", f"{SMOOTH}[smoothing=0.2],softmax")
    assert call(capsys, *words, *systems).status == 0
    found = json.loads((out / "comparison.json").read_text(encoding="utf-8"))["systems"]
    assert {(system["encoder"], system["head"]) for system in found} == {
        (encoder, head)
        for encoder in (f"{LEAKY}[leak=0.25]", "elman")
        for head in (f"{SMOOTH}[smoothing=0.2]", "softmax")
    }
    for trial in (out / "trials").iterdir():
        table = json.loads((trial / "options.json").read_text(encoding="utf-8"))
        assert table["inputs"]["features"]["capitals"] == {"type": CAPITALS, "width": 5, "most": 3}
        assert table["encoder"].get("leak", 0.25) == 0.25 and table["head"].get("smoothing", 0.2) == 0.2


# -- options -----------------------------------------------------------------------------------------------------------


def test_the_houses_own_kinds_may_be_had_once_more(tmp_path: Path) -> None:
    further = {
        "cased": {"type": "words", "width": 3, "lowercase": False},
        "wide": {"type": "characters", "width": 2, "embedding": 2, "windows": [5]},
        "ends": {"type": "affixes", "shape": 0, "width": 2, "suffixes": [4], "prefixes": []},
        "off": {"type": "characters", "width": 0},
    }
    model = miniature.model({"inputs": {"features": further}}).eval()
    assert list(model.inputs.features) == ["words", "characters", "affixes", "cased", "wide", "ends"]
    assert [model.inputs.features[name].width for name in ("cased", "wide", "ends")] == [3, 2, 2]
    save_model(tmp_path / "model", model, tokenizer="words-1")
    loaded = load_model(tmp_path / "model").model
    assert loaded.options == model.options
    examples = miniature.corpus().dev
    assert list(loaded.predict(examples)) == list(model.predict(examples))


REFUSED = {
    "no type": ({"capitals": {"width": 5}}, "inputs.features.capitals.type: field required"),
    "no table": ({"capitals": 5}, "inputs.features.capitals"),
    "no tables": (5, "inputs.features"),
    "a kind that is not there": ({"capitals": {"type": "caracters"}}, 'did you mean "characters"?'),
    "a class that is not there": ({"capitals": {"type": "my_parts:Capitols"}}, "cannot be imported"),
    "a module that is not there": ({"capitals": {"type": "my_werds:Capitals"}}, "cannot be imported"),
    "no word feature": ({"capitals": {"type": "my_parts:Nothing"}}, "expected a subclass of WordFeature"),
    "no options": ({"capitals": {"type": "my_parts:Letters"}}, "expected a subclass of WordFeature"),
    "an unknown option": (
        {"capitals": {"type": CAPITALS, "wdth": 5}},
        'did you mean "inputs.features.capitals.width"?',
    ),
    "another kind's option": ({"capitals": {"type": CAPITALS, "windows": [3]}}, "it belongs to characters"),
    "out of range": ({"capitals": {"type": CAPITALS, "width": 0}}, "inputs.features.capitals.width"),
    "a name that is taken": ({"words": {"type": CAPITALS}}, "inputs.features.words: expected a Python identifier"),
    "a name of torch's": ({"keys": {"type": CAPITALS}}, "not taken"),
    "a name that is no word": ({"a.b": {"type": CAPITALS}}, "not taken"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_will_not_do_is_refused_in_a_sentence(name: str, outside: Path) -> None:
    features, said = REFUSED[name]
    with pytest.raises(ConfigError) as caught:
        miniature.model({"inputs": {"features": features}})
    assert said in str(caught.value) and "\n" not in str(caught.value)


REFUSED_PARTS = {
    "an encoder's unknown option": ({"encoder": {"type": LEAKY, "layer": 2}}, 'did you mean "encoder.layers"?'),
    "an encoder's option out of range": ({"encoder": {"type": LEAKY, "leak": 1}}, "option encoder.leak: input should"),
    "another encoder's option": ({"encoder": {"type": LEAKY, "periods": [1]}}, "it belongs to clockwork"),
    "an encoder's option of another type": ({"encoder": {"type": LEAKY, "leak": "much"}}, "found 'much'"),
    "a head's option out of range": (
        {"head": {"type": SMOOTH, "smoothing": -1}},
        "option head.smoothing: input should",
    ),
    "another head's option": ({"head": {"type": SMOOTH, "beam": 3}}, "head.beam: the head my_parts:Smooth has no such"),
    "a head for an encoder": ({"encoder": {"type": SMOOTH}}, "expected a subclass of Encoder"),
    "an encoder for a head": ({"head": {"type": LEAKY}}, "expected a subclass of Head"),
    "outside options without their class": ({"encoder": {"leak": 0.5}}, "unknown option encoder.leak"),
}


@pytest.mark.parametrize("name", REFUSED_PARTS)
def test_what_an_encoder_or_a_head_does_not_take_is_refused(name: str, outside: Path) -> None:
    table, said = REFUSED_PARTS[name]
    with pytest.raises(ConfigError) as caught:
        miniature.model(table)
    assert said in str(caught.value) and "\n" not in str(caught.value)


# -- what is executed --------------------------------------------------------------------------------------------------


def test_classes_from_outside_are_found_in_tables_of_any_form() -> None:
    table = {
        "encoder": {"type": "a:B"},
        "head": {"type": "crf"},
        "inputs": {"features": {"x": {"type": "c:D"}, "y": {"type": "characters"}, "z": 5}, "words": {"type": "e:F"}},
    }
    assert outside_classes(table) == {"encoder.type": "a:B", "inputs.features.x.type": "c:D"}
    for odd in ({}, {"encoder": 5, "inputs": 7}, {"inputs": {"features": []}}, {"head": {"type": ["a:B"]}}):
        assert outside_classes(odd) == {}
    assert outside_classes(Options().to_dict()) == {}


def test_no_second_name_hides_a_class(outside: Path, model: Model) -> None:
    """A key with dots is not the option that it looks like."""
    save_model(outside / "model", model, tokenizer="words-1")
    path = outside / "model" / "options.json"
    table = json.loads(path.read_text(encoding="utf-8"))
    table["inputs"]["features.capitals"] = {"type": "characters"}
    path.write_text(json.dumps(table), encoding="utf-8")
    sys.modules.pop("my_parts")
    with pytest.raises(ModelFileError, match="trust"):
        load_model(outside / "model")
    assert "my_parts" not in sys.modules
