"""Options: defaults, layers, ranges, files and settings; every mistake is one sentence that helps."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from structseq.config import Options, load_options, option_list, parse_settings
from structseq.encoders import ENCODERS
from structseq.errors import ConfigError
from structseq.heads import HEADS
from structseq.section import resolve_class


def nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def fields(section: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation)
        else:
            yield name, field


def at(options: Options, key: str) -> Any:
    found: Any = options
    for part in key.split("."):
        found = getattr(found, part)
    return found


# -- values ------------------------------------------------------------------------------------------------------------


def test_the_default_recipe_is_whole_and_survives_json() -> None:
    options = Options()
    assert Options.of({}) == Options.of() == options
    assert Options.of(options.to_dict()) == options
    assert Options.of(json.loads(json.dumps(options.to_dict()))) == options


def test_every_option_has_a_name_and_a_description() -> None:
    names = option_list()
    assert len(names) == len(set(names)) > 40
    sections = [Options, *(kind.Options for kind in (*ENCODERS.values(), *HEADS.values()))]
    described = {name: field.description for section in sections for name, field in fields(section)}
    for name in names:
        assert described[name.rpartition(".")[2]], name


def test_later_layers_override_earlier_ones_key_by_key() -> None:
    first = {"encoder": {"layers": 2, "width": 50}, "data": {"columns": {"pos": 1}}}
    second = {"encoder": {"width": 60}, "data": {"columns": {"chunk": 2}}}
    options = Options.of(first, second)
    assert (options.encoder.layers, options.encoder.width) == (2, 60)
    assert options.data.columns == {"pos": 1, "chunk": 2}
    assert first == {"encoder": {"layers": 2, "width": 50}, "data": {"columns": {"pos": 1}}}, "layers stay as they were"
    assert Options.of(second, first).encoder.width == 50


def test_options_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Options().encoder.width = 3  # type: ignore[misc]


def test_two_options_share_nothing() -> None:
    one, other = Options(), Options()
    one.data.columns["pos"] = 1
    assert other.data.columns == {} and Options().data.columns == {}


OUT_OF_RANGE = [
    ("inputs.words.width", -1),
    ("inputs.words.min_count", 0),
    ("inputs.words.unknown_rate", -0.1),
    ("inputs.characters.width", -1),
    ("inputs.characters.embedding", 0),
    ("inputs.characters.longest", 3),
    ("inputs.characters.windows", []),
    ("inputs.characters.windows", [0]),
    ("inputs.characters.windows", [3, -1]),
    ("inputs.affixes.prefixes", [0]),
    ("inputs.affixes.prefixes", [-2]),
    ("inputs.affixes.suffixes", [0]),
    ("inputs.affixes.suffixes", [1, -1]),
    ("inputs.affixes.min_count", 0),
    ("inputs.column_width", 0),
    ("inputs.dropout", 1.0),
    ("inputs.dropout", -0.1),
    ("inputs.word_dropout", 1),
    ("encoder.width", 0),
    ("encoder.layers", 0),
    ("encoder.dropout", 1),
    ("encoder.recurrent_dropout", 1),
    ("training.epochs", -1),
    ("training.patience", 0),
    ("training.batch_sentences", 0),
    ("training.batch_tokens", 0),
    ("training.learning_rate", 0),
    ("training.learning_rate", -1e-3),
    ("training.learning_rate", float("inf")),
    ("training.learning_rate", float("nan")),
    ("training.weight_decay", -1),
    ("training.warmup", 1),
    ("training.final_rate", 1.1),
    ("training.clip", -1),
    ("training.clip_by", "size"),
    ("training.average", "median"),
    ("training.average_decay", 1),
    ("training.average_decay", 0),
    ("training.validation_fraction", 0),
    ("training.validation_fraction", 1),
]


@pytest.mark.parametrize(("key", "value"), OUT_OF_RANGE, ids=str)
def test_a_value_out_of_range_is_named(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Options.of(nested(key, value))
    assert key in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("encoder.layers", "many"),
        ("encoder.layers", 1.5),
        ("encoder.layers", None),
        ("encoder.layers", True),
        ("encoder.bidirectional", "perhaps"),
        ("encoder.type", 3),
        ("inputs.characters.windows", "3x"),
        ("inputs.characters.windows", [2.5]),
        ("data.columns", ["pos"]),
        ("data.columns", {"pos": [1]}),
        ("encoder", 3),
        ("encoder", None),
        ("encoder", []),
    ],
    ids=str,
)
def test_a_value_of_another_type_is_named(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Options.of(nested(key, value))
    assert key in str(caught.value) and "found" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("encoder.layer", "encoder.layers"),
        ("encoder.widht", "encoder.width"),
        ("training.learningrate", "training.learning_rate"),
        ("training.lr_warmup", "training.warmup"),
        ("epochs", "training.epochs"),
        ("layers", "encoder.layers"),
        ("input", "inputs.dropout"),
        ("inputs.characters.window", "inputs.characters.windows"),
    ],
)
def test_an_unknown_option_is_answered_with_the_nearest(key: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f'unknown option {key}; did you mean "{near}"'):
        Options.of(nested(key, 1))


def test_an_unknown_option_that_is_near_nothing_lists_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"unknown option zzz; known are data\.format, "):
        Options.of({"zzz": 1})


def test_an_unknown_section_is_answered_too() -> None:
    with pytest.raises(ConfigError, match="unknown option encodr"):
        Options.of({"encodr": {"layers": 2}})


def test_all_complaints_come_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Options.of({"encoder": {"layers": 0, "widht": 3}, "training": {"epochs": -1}})
    for key in ("encoder.layers", "encoder.widht", "training.epochs"):
        assert key in str(caught.value)


@given(
    key=st.text(min_size=1, max_size=12),
    value=st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers()),
)
@settings(max_examples=60)
def test_any_setting_gives_options_or_a_config_error(key: str, value: Any) -> None:
    for table in ({key: value}, {"encoder": {key: value}}, nested(key, value)):
        try:
            Options.of(table)
        except ConfigError as problem:
            assert "\n" not in str(problem) or "\n" in key + repr(value)


# -- files -------------------------------------------------------------------------------------------------------------


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def test_toml_and_json_files(tmp_path: Path) -> None:
    toml = write(
        tmp_path, "options.toml", "[encoder]\nlayers = 2\n[inputs.characters]\nwindows = [2, 3]\n[data]\ntag_column = 3"
    )
    plain = write(tmp_path, "options.json", '{"encoder": {"layers": 2}, "inputs": {"characters": {"windows": [2, 3]}}}')
    assert load_options(str(toml))["data"] == {"tag_column": 3}
    for path in (toml, plain):
        options = Options.of(load_options(path))
        assert options.encoder.layers == 2 and options.inputs.characters.windows == (2, 3)


def test_an_empty_toml_file_is_the_default_recipe(tmp_path: Path) -> None:
    assert Options.of(load_options(write(tmp_path, "o.toml", ""))) == Options()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("o.toml", "encoder.layers = "),
        ("o.toml", "[encoder]\nlayers = 1\nlayers = 2\n"),
        ("o.toml", "[encoder]\n[encoder]\n"),
        ("o.toml", b"\xff\xfe\x00"),
        ("o.toml", '{"encoder": {}}'),
        ("o.json", "{"),
        ("o.json", ""),
        ("o.json", b"\xff\xfe\x00"),
        ("o.json", "[encoder]"),
        ("o.json", "[1, 2]"),
        ("o.json", "3"),
        ("o.json", "null"),
        ("o.json", '{"encoder": {"layers": 1}, "encoder": {"layers": 2}}'),
        ("o.json", '{"encoder": {"layers": 1, "layers": 2}}'),
    ],
    ids=repr,
)
def test_a_file_that_is_not_what_it_should_be_is_named(name: str, content: str | bytes, tmp_path: Path) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(ConfigError) as caught:
        load_options(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_no_such_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.toml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            load_options(path)


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("encoder.layers=2", 2),
        ("encoder.layers = 2", 2),
        ("encoder.dropout=0.1", 0.1),
        ("training.learning_rate=1e-3", 1e-3),
        ("training.learning_rate=.01", 0.01),
        ("encoder.bidirectional=false", False),
        ("head.type=softmax", "softmax"),
        ('head.type="softmax"', "softmax"),
        ("encoder.type=structseq.encoders.scrn:SCRN", "structseq.encoders.scrn:SCRN"),
        ("inputs.characters.windows=[2, 3]", (2, 3)),
        ("inputs.words.vectors=/a/b=c.txt", "/a/b=c.txt"),
        ("data.columns.pos=1", {"pos": 1}),
    ],
)
def test_settings(setting: str, expected: Any) -> None:
    key = setting.partition("=")[0].strip()
    key = key.removesuffix(".pos")
    assert at(Options.of(parse_settings([setting])), key) == expected


def test_settings_add_up_and_override_files() -> None:
    table = parse_settings(["encoder.layers=2", "encoder.width=7", "head.type=softmax"])
    assert table == {"encoder": {"layers": 2, "width": 7}, "head": {"type": "softmax"}}
    assert Options.of({"encoder": {"layers": 5}}, table).encoder.layers == 2


def test_no_settings() -> None:
    assert parse_settings([]) == {}


@pytest.mark.parametrize("setting", ["encoder.layers", "", "=3", " = 3", "encoder.layers:2"])
def test_a_setting_without_key_or_value(setting: str) -> None:
    with pytest.raises(ConfigError, match="expected key=value"):
        parse_settings([setting])


def test_a_setting_twice_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"encoder\.layers is given twice"):
        parse_settings(["encoder.layers=2", "encoder.width=3", "encoder.layers=2"])


@pytest.mark.parametrize("setting", ["encoder..layers=2", ".=2", "encoder.=2", "a.b.c.d=2", "encoder.layers.x=2"])
def test_odd_keys_are_answered_by_the_options(setting: str) -> None:
    with pytest.raises(ConfigError):
        Options.of(parse_settings([setting]))


@given(value=st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=60)
def test_settings_read_toml_values(value: Any) -> None:
    raw = str(value).lower() if isinstance(value, bool) else repr(value)
    assert parse_settings([f"a.b={raw}"])["a"]["b"] == tomllib.loads(f"v = {raw}")["v"] == value


# -- rows of tables ----------------------------------------------------------------------------------------------------


def test_a_row_by_name_and_a_class_from_outside() -> None:
    assert resolve_class(ENCODERS, "lstm", "encoder.type") is ENCODERS["lstm"]
    assert resolve_class(ENCODERS, "structseq.encoders.base:Backwards", "encoder.type").__name__ == "Backwards"
    with pytest.raises(ConfigError, match=r"OrderedDict: expected a subclass of Encoder, found another class"):
        resolve_class(ENCODERS, "collections:OrderedDict", "encoder.type")


@pytest.mark.parametrize(
    "name",
    ["nowhere_at_all:Class", "collections:Nothing", "collections:", ":Class", ".collections:Class", "a b:C", "::"],
)
def test_a_class_that_cannot_be_had_is_a_config_error(name: str) -> None:
    with pytest.raises(ConfigError, match=r"encoder\.type"):
        resolve_class(ENCODERS, name, "encoder.type")


def test_a_row_near_a_known_one_and_one_near_none() -> None:
    with pytest.raises(ConfigError, match=r"unknown encoder\.type 'lstn'; did you mean \"lstm\""):
        resolve_class(ENCODERS, "lstn", "encoder.type")
    with pytest.raises(ConfigError, match=r"known are elman.*package\.module:Class"):
        resolve_class(ENCODERS, "transformer", "encoder.type")


def test_backwards_is_for_one_way() -> None:
    with pytest.raises(ConfigError) as caught:
        Options.of({"encoder": {"backwards": True}})
    assert str(caught.value) == (
        "option encoder: backwards needs an encoder of one direction; set encoder.bidirectional=false too"
    )
