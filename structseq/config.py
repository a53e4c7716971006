"""Options of a training run, from TOML, JSON or keyword arguments.

The class that ``type`` names (an encoder, a head, a word feature) declares further options in its ``Options``.
"""

from __future__ import annotations

import importlib
import json
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator, model_validator

from structseq.data.options import DataOptions
from structseq.data.record import reject_duplicate_keys
from structseq.errors import ConfigError
from structseq.features.base import FeatureOptions
from structseq.features.frame_features import FrameOptions
from structseq.features.words import OwnFeatureOptions
from structseq.section import Count, Section, Whole, option_names, resolve_class

# Module and name of each section's table of classes; imported late, because the modules need torch.
CLASS_TABLES = {
    "encoder": ("structseq.encoders", "ENCODERS"),
    "head": ("structseq.heads", "HEADS"),
    "feature": ("structseq.inputs", "FEATURES"),
}


class InputOptions(OwnFeatureOptions):
    """How a token or a frame becomes a vector for the encoder."""

    frames: FrameOptions = FrameOptions()
    column_width: Whole = Field(20, ge=1, description="width of the vector of each further column")
    dropout: float = Field(0.5, ge=0, lt=1, description="locked dropout on the encoder's input")
    word_dropout: float = Field(0.0, ge=0, lt=1, description="probability of hiding a token's whole input in training")
    features: dict[str, SerializeAsAny[FeatureOptions]] = Field(
        {}, description="further word features by name: features.NAME.type, and the options of its class"
    )

    @field_validator("features", mode="before")
    @classmethod
    def _of_their_classes(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {name: typed_section("feature", own, f"inputs.features.{name}") for name, own in values.items()}


class EncoderOptions(Section):
    """Options of all encoders; a class adds its own in ``Encoder.Options``."""

    attends: ClassVar[bool] = False
    """Whether the encoder's layers are self-attention."""

    type: str = Field("lstm", description='a row of the encoders table, or "package.module:Class"')
    width: Whole = Field(200, ge=1, description="hidden units per direction")
    layers: Whole = Field(1, ge=1, description="number of layers")
    bidirectional: bool = Field(True, description="read in both directions")
    backwards: bool = Field(False, description="if not bidirectional: read from right to left")
    attention: Whole = Field(0, ge=0, description="number of self-attention layers on top")
    attention_heads: Count | None = Field(None, description="self-attention: number of attention heads")
    dropout: float = Field(0.5, ge=0, lt=1, description="locked dropout on each layer's output")
    recurrent_dropout: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="dropout on the recurrent weights, one mask per batch; self-attention: on each sublayer's output",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> EncoderOptions:
        if self.bidirectional and self.backwards:
            raise ValueError("backwards needs an encoder of one direction; set encoder.bidirectional=false too")
        if self.attention_heads is not None and not (self.attention or self.attends):
            raise ConfigError(
                f"encoder.attention_heads: the encoder {self.type} has no such option; it belongs to the encoder "
                "attention and to self-attention layers on top (encoder.attention)"
            )
        return self


class HeadOptions(Section):
    """Options of all heads; a class adds its own in ``Head.Options``."""

    type: str = Field("crf", description='a row of the heads table, or "package.module:Class"')


class TrainingOptions(Section):
    """Optimisation."""

    epochs: Whole = Field(0, ge=0, description="maximum number of epochs; 0: 20, or more if there is little data")
    patience: Whole = Field(
        10, ge=1, description="stop after this many epochs without a better dev score; epochs that score 0 do not count"
    )
    batch_sentences: Whole = Field(32, ge=1, description="maximum sentences per batch")
    batch_tokens: Whole = Field(
        2000, ge=1, description="maximum tokens per batch, with padding; a longer sentence is a batch alone"
    )
    learning_rate: float = Field(2e-3, gt=0, description="AdamW's peak learning rate")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's decoupled weight decay")
    warmup: float = Field(0.05, ge=0, lt=1, description="share of all updates in which the rate rises to its peak")
    final_rate: float = Field(0.05, ge=0, le=1, description="share of the peak rate at the end of the linear decay")
    clip: float = Field(1.0, ge=0, description="gradient clipping; 0 turns it off")
    clip_by: Literal["norm", "value"] = Field("norm", description="clip the gradient's norm, or each of its values")
    average: Literal["auto", "none", "ema", "mean"] = Field("auto", description="weight averaging; auto: the head's")
    average_decay: float = Field(0.998, gt=0, lt=1, description="decay per update of the exponential moving average")
    tune_decision: bool = Field(True, description="after training, choose the bias for or against O on dev")
    calibrate: bool = Field(
        True, description="after training, fit a temperature on dev, so that confidences say how often they are right"
    )
    validation_fraction: float = Field(
        0.1, gt=0, lt=1, description="share of the training data that is held out if there is no dev set"
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, ...")
    threads: Whole = Field(0, ge=0, description="CPU threads; 0: two if available. 1 and 2 give the same bits")
    mixed_precision: bool = Field(True, description="bfloat16 on a GPU; never in a structured recursion")


class Options(Section):
    """All options of a run; ``Options()`` is the default recipe."""

    data: DataOptions = DataOptions()
    inputs: InputOptions = InputOptions()
    encoder: SerializeAsAny[EncoderOptions] = Field(default_factory=dict, validate_default=True)
    head: SerializeAsAny[HeadOptions] = Field(default_factory=dict, validate_default=True)
    training: TrainingOptions = TrainingOptions()

    @field_validator("encoder", "head", mode="before")
    @classmethod
    def _of_its_class(cls, values: Any, field: ValidationInfo) -> Any:
        section = str(field.field_name)
        return typed_section(section, values, section)

    @staticmethod
    def of(*layers: Mapping[str, Any]) -> Options:
        """Options from nested tables; a later layer overrides an earlier one. Raises `ConfigError`.

        >>> Options.of({"encoder": {"layers": 2}}).encoder.layers
        2
        """
        merged: dict[str, Any] = {}
        for layer in layers:
            merged = merge(merged, layer)
        return Options.checked(merged, known=option_list)


def typed_section(section: str, values: Any, place: str) -> Section:
    """The options of the class that ``type`` names; ``place`` is the section's dotted name.

    Raises `ConfigError` as `Section.checked` does, and for an unknown class.
    """
    if isinstance(values, Section):
        return values
    common = COMMON_OPTIONS[section]
    name = values.get("type", common.model_fields["type"].default) if isinstance(values, Mapping) else None
    if not isinstance(name, str):
        return common.checked(values, prefix=place)
    table = table_of(section)
    kind = getattr(resolve_class(table, name, f"{place}.type"), "Options", None)
    if not (isinstance(kind, type) and issubclass(kind, common)):
        raise ConfigError(f"{place}.type {name}: expected a class whose Options is a subclass of {common.__name__}")
    for key in values:
        owners = [row for row, other in table.items() if key in other.Options.model_fields]
        if key not in kind.model_fields and owners:
            belongs = f"it belongs to {', '.join(owners)}"
            raise ConfigError(f"{place}.{key}: the {section} {name} has no such option; {belongs}")
    return kind.checked(values, prefix=place, known=option_list if place == section else None)


def table_of(section: str) -> Mapping[str, Any]:
    """The built-in classes of a section by name."""
    module, name = CLASS_TABLES[section]
    table: Mapping[str, Any] = getattr(importlib.import_module(module), name)
    return table


COMMON_OPTIONS: Mapping[str, type[Section]] = {
    "encoder": EncoderOptions,
    "head": HeadOptions,
    "feature": FeatureOptions,
}


def outside_classes(table: Mapping[str, Any]) -> dict[str, str]:
    """The classes ``"module:Class"`` in nested options, by option; nothing is imported.

    >>> outside_classes({"encoder": {"type": "lstm"}, "head": {"type": "my_module:MyHead"}})
    {'head.type': 'my_module:MyHead'}
    """
    sections = {name: table.get(name) for name in ("encoder", "head")}
    inputs = table.get("inputs")
    features = inputs.get("features") if isinstance(inputs, Mapping) else None
    if isinstance(features, Mapping):
        sections |= {f"inputs.features.{name}": own for name, own in features.items()}
    kinds = {f"{name}.type": own.get("type") for name, own in sections.items() if isinstance(own, Mapping)}
    return {name: kind for name, kind in kinds.items() if isinstance(kind, str) and ":" in kind}


def load_options(path: str | Path, *, trusted: Collection[str] = ()) -> dict[str, Any]:
    """Read a nested table from a TOML or .json file; raises `ConfigError`.

    ``trusted`` are the classes outside this package that it may name, as ``"package.module:Class"``.
    """
    path = Path(path)
    try:
        content = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            table = json.loads(content, object_pairs_hook=reject_duplicate_keys)
        else:
            table = tomllib.loads(content)
    except OSError as problem:
        raise ConfigError(f"{path}: cannot be read ({problem.strerror}); name a TOML or JSON file of options") from None
    except (ValueError, RecursionError) as problem:
        raise ConfigError(f"{path}: expected TOML (or JSON in a .json file), found an error: {problem}") from None
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: expected a table of options, found {type(table).__name__}")
    for name, kind in outside_classes(table).items():
        if kind not in trusted:
            raise ConfigError(
                f"{path}: {name} is {kind!r}, a class outside structseq, whose code the import would execute; "
                f"if you trust it, add --trust {kind}, or from Python trusted=[{kind!r}]"
            )
    return table


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Parse ``key=value`` settings into a nested table; values are TOML or bare words. Raises `ConfigError`.

    >>> parse_settings(["encoder.layers=2", "head.type=softmax"])
    {'encoder': {'layers': 2}, 'head': {'type': 'softmax'}}
    """
    table: dict[str, Any] = {}
    seen: set[str] = set()
    for setting in settings:
        key, equals, raw = (part.strip() for part in setting.partition("="))
        if not equals or not key:
            raise ConfigError(f"--set {setting}: expected key=value, for example encoder.layers=2")
        if key in seen:
            raise ConfigError(f"--set {key} is given twice; give it once")
        seen.add(key)
        try:
            value = tomllib.loads(f"value = {raw}")["value"]
        except tomllib.TOMLDecodeError:
            value = raw
        for part in reversed(key.split(".")):
            value = {part: value}
        table = merge(table, value)
    return table


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested tables; values of ``above`` override those of ``below``."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def option_list() -> list[str]:
    """The dotted names of all options, with those of every encoder and head."""
    names: list[str] = []
    for section, field in Options.model_fields.items():
        names += option_names(field.annotation, f"{section}.")  # type: ignore[arg-type]
        if section in COMMON_OPTIONS:
            kinds = [kind.Options for kind in table_of(section).values()]
            names += (f"{section}.{name}" for kind in kinds for name in kind.model_fields)
    return list(dict.fromkeys(names))
