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
from commandline import call, tiny, write_corpus

from structseq import Tagger
from structseq.config import Options, outside_classes
from structseq.errors import ConfigError, ModelFileError
from structseq.model import Model
from structseq.storage import load_model, save_model

OUTSIDE = '''
"""A word feature that nobody in structseq knows."""

from collections import Counter

import numpy as np
from pydantic import Field
from torch import nn

from structseq.data.vocabulary import Vocabulary
from structseq.features.base import Feature, FeatureOptions
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


'''
CAPITALS = "my_words:Capitals"
OWN: dict[str, Any] = {"inputs": {"features": {"capitals": {"type": CAPITALS, "width": 5}}}}


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The module lies where Python finds it, and is forgotten afterwards."""
    (tmp_path / "my_words.py").write_text(OUTSIDE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("my_words", None)
    yield tmp_path
    sys.modules.pop("my_words", None)


@pytest.fixture
def model(outside: Path) -> Model:
    return miniature.model(OWN).eval()


# -- a word feature ----------------------------------------------------------------------------------------------------


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


def test_it_is_saved_and_loaded_only_when_trusted(model: Model, outside: Path) -> None:
    save_model(outside / "model", model, tokenizer="words-1")
    sys.modules.pop("my_words")
    with pytest.raises(ModelFileError) as caught:
        load_model(outside / "model", trusted=["my_words:Other"])
    assert "options.json: inputs.features.capitals.type is 'my_words:Capitals'" in str(caught.value)
    assert f"--trust {CAPITALS}" in str(caught.value) and "my_words" not in sys.modules
    loaded = load_model(outside / "model", trusted=[CAPITALS]).model
    assert loaded.options.to_dict() == model.options.to_dict() and loaded.vocabularies == model.vocabularies
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
        load_model(outside / "model", trusted=[CAPITALS])


def test_a_pickle_trusts_what_was_held(model: Model) -> None:
    tagger = Tagger(model)
    copied = pickle.loads(pickle.dumps(tagger))
    assert copied.tag(["to", "ROME"]) == tagger.tag(["to", "ROME"])


def test_it_is_trained_and_described_from_the_command_line(capsys: pytest.CaptureFixture[str], outside: Path) -> None:
    parts, folder = write_corpus(outside), outside / "model"
    own = [f"inputs.features.capitals.type={CAPITALS}", "inputs.features.capitals.width=5"]
    settings = [*tiny(1), *(word for setting in own for word in ("--set", setting))]
    assert call(capsys, "train", parts["train"], "--dev", parts["dev"], "--output", folder, *settings).status == 0
    assert "--trust" in call(capsys, "tag", folder, parts["test"]).sentence
    assert call(capsys, "tag", folder, parts["test"], "--trust", CAPITALS).status == 0
    described = call(capsys, "describe", folder, "--trust", CAPITALS).out
    for told in ("feature.capitals.letters", "inputs.features.capitals.type", CAPITALS, "\n  capitals "):
        assert told in described


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
    "a class that is not there": ({"capitals": {"type": "my_words:Capitols"}}, "cannot be imported"),
    "a module that is not there": ({"capitals": {"type": "my_werds:Capitals"}}, "cannot be imported"),
    "no word feature": ({"capitals": {"type": "my_words:Nothing"}}, "expected a WordFeature"),
    "no options": ({"capitals": {"type": "my_words:Letters"}}, "expected a class with options of its own"),
    "an unknown option": (
        {"capitals": {"type": CAPITALS, "wdth": 5}},
        'did you mean "inputs.features.capitals.width"?',
    ),
    "another kind's option": ({"capitals": {"type": CAPITALS, "windows": [3]}}, "it belongs to characters"),
    "out of range": ({"capitals": {"type": CAPITALS, "width": 0}}, "inputs.features.capitals.width"),
    "a name that is taken": ({"words": {"type": CAPITALS}}, "inputs.features.words: expected a word as name"),
    "a name of torch's": ({"keys": {"type": CAPITALS}}, "not taken"),
    "a name that is no word": ({"a.b": {"type": CAPITALS}}, "not taken"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_will_not_do_is_refused_in_a_sentence(name: str, outside: Path) -> None:
    features, said = REFUSED[name]
    with pytest.raises(ConfigError) as caught:
        miniature.model({"inputs": {"features": features}})
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
    sys.modules.pop("my_words")
    with pytest.raises(ModelFileError, match="trust"):
        load_model(outside / "model")
    assert "my_words" not in sys.modules
