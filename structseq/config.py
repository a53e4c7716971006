"""Options of a training run, as TOML, JSON or keyword arguments; checked before anything is read or written.

One table of defaults serves every corpus; `docs/recipe.md` says how they were chosen. An unknown key answers "did you
mean".
"""

from __future__ import annotations

import difflib
import importlib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError, model_validator

from structseq.errors import ConfigError

# A true or false is no number here, whatever Python says.
Whole = Annotated[int, Strict()]
Count = Annotated[int, Strict(), Field(ge=1)]


class Section(BaseModel):
    """A table of options: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class AudioOptions(Section):
    """How recordings become frames (`structseq.data.audio`)."""

    features: Literal["log-mel", "mfcc"] = Field("log-mel", description="what a frame holds")
    rate: Whole = Field(8000, ge=1000, le=192_000, description="samples a second; other rates are resampled to it")
    window: float = Field(25.0, gt=0, le=1000, description="length of a frame's window in ms")
    hop: float = Field(10.0, gt=0, le=1000, description="from one frame to the next in ms")
    mels: Whole = Field(40, ge=2, le=512, description="number of mel bands")
    coefficients: Whole = Field(13, ge=1, le=512, description="mfcc: number of coefficients, at most one a mel band")
    centre: bool = Field(
        False, description="take each recording's own mean from its frames: what microphone and voice add to all"
    )
    stride: Whole = Field(1, ge=1, le=100, description="so many neighbouring frames side by side are one step")
    silence: str = Field("", description="tag of the steps between segments; empty: that of the nearest segment")
    states: Whole = Field(1, ge=1, le=20, description="parts that a segment is cut into: its tags are 7.1, 7.2, ...")
    channels: Literal["refuse", "mean"] = Field("refuse", description="what to do with more than one channel")


class DataOptions(Section):
    """How the files are read."""

    format: str = Field(
        "auto", description="file format: auto, columns, conllu, jsonl, threefile, labelled, pairs, audio"
    )
    token_column: Whole = Field(0, description="column of the token, from 0; negative counts from the end")
    tag_column: Whole = Field(-1, description="column of the tag, from 0; negative counts from the end")
    columns: dict[str, Whole | str] = Field(
        {}, description="further inputs: name = column number, CoNLL-U field or JSON key"
    )
    separator: Literal["auto", "tab", "space"] = Field("auto", description="what parts the columns of a column file")
    encoding: str = Field("utf-8", description="of the files")
    label: str = Field(
        "label", description="where a sentence's label stands: a `# key = value` line, a JSON key or a header's column"
    )
    field: str = Field("upos", description="CoNLL-U: the field that is the tag")
    scheme: str = Field("auto", description="tag scheme: auto, IO, IOB1, BIO, IOE, BIOES, BILOU, BMES, plain")
    repair: str | None = Field(
        None, description="what to do with illegal tag sequences: a named repair; none refuses them"
    )
    tokenizer: str = Field("words-1", description="tokenizer for text, by name and version; part of the model")
    misaligned: str = Field("error", description="JSON lines: what to do with a span that cuts a token")
    symbols: Literal["characters", "words"] = Field(
        "characters", description="pairs of source and target: what the steps of both are"
    )
    audio: AudioOptions = AudioOptions()


class WordsOptions(Section):
    """Word embeddings."""

    width: Whole = Field(100, ge=0, description="width of a word vector; 0 turns them off")
    min_count: Whole = Field(1, ge=1, description="rarer words share the vector of the unknown")
    lowercase: bool = Field(True, description="look words up in lower case; shape and characters keep the case")
    unknown_rate: float = Field(
        1.0, ge=0, description="a word seen n times is trained as unknown with probability rate / (rate + n)"
    )
    vectors: str | None = Field(None, description="pretrained vectors in word2vec or GloVe text format, plain or gzip")
    tune_vectors: bool = Field(False, description="let training change the pretrained vectors")


class CharactersOptions(Section):
    """A convolution over the characters of a word."""

    width: Whole = Field(50, ge=0, description="width of the word vector made from characters; 0 turns it off")
    embedding: Whole = Field(30, ge=1, description="width of a character vector")
    windows: tuple[Count, ...] = Field(
        (3,), min_length=1, description="window widths of the convolution, in characters"
    )
    longest: Whole = Field(40, ge=4, description="a longer word is seen by its first and last characters")


class AffixOptions(Section):
    """Word shape, prefixes and suffixes."""

    shape: Whole = Field(20, ge=0, description="width of the word-shape vector; 0 turns it off")
    width: Whole = Field(20, ge=0, description="width of each affix vector; 0 turns them off")
    prefixes: tuple[Count, ...] = Field((2, 3), description="prefix lengths")
    suffixes: tuple[Count, ...] = Field((1, 2, 3), description="suffix lengths")
    min_count: Whole = Field(2, ge=1, description="affixes borne by fewer distinct words share one vector")


class FrameOptions(Section):
    """What is done with frames before the encoder."""

    normalise: bool = Field(True, description="mean 0 and deviation 1 of each feature over the training frames")
    convolution: Whole = Field(0, ge=0, description="channels of a convolution over time; 0 turns it off")
    window: Whole = Field(5, ge=1, description="steps that the convolution sees at once")
    mask_time: Whole = Field(0, ge=0, description="longest stretch of steps masked in training; 0 turns it off")
    mask_features: Whole = Field(0, ge=0, description="widest band of features masked in training; 0 turns it off")


class InputOptions(Section):
    """What a token, or a frame, is turned into before the encoder."""

    words: WordsOptions = WordsOptions()
    characters: CharactersOptions = CharactersOptions()
    affixes: AffixOptions = AffixOptions()
    frames: FrameOptions = FrameOptions()
    column_width: Whole = Field(20, ge=1, description="width of the vector of each further column")
    dropout: float = Field(0.5, ge=0, lt=1, description="locked dropout on the encoder's input")
    word_dropout: float = Field(
        0.0, ge=0, lt=1, description="probability that a whole token's input vanishes in training"
    )


class EncoderOptions(Section):
    """The network that reads the sequence; what is None is left to the network."""

    type: str = Field("lstm", description='a row of the encoders table, or "package.module:Class"')
    width: Whole = Field(200, ge=1, description="units a direction")
    layers: Whole = Field(1, ge=1, description="depth")
    bidirectional: bool = Field(True, description="read both ways")
    backwards: bool = Field(False, description="where it reads one way: from each sentence's end to its beginning")
    attention: Whole = Field(0, ge=0, description="self-attention layers on top")
    dropout: float = Field(0.5, ge=0, lt=1, description="locked dropout on each layer's output")
    recurrent_dropout: float = Field(
        0.3, ge=0, lt=1, description="dropout on the recurrent weights, once a batch; attention: on what it adds"
    )
    activation: str | None = Field(
        None,
        description="elman: tanh or relu; lstm_peephole: tanh or linear; jordan (outputs): tanh, logistic or linear",
    )
    outputs: Count | Literal["tags"] | None = Field(
        None, description="jordan: width of its output layer, which is its memory; tags: as many as there are tags"
    )
    periods: tuple[Count, ...] | None = Field(None, description="clockwork: the modules' periods in steps, rising")
    context: Count | None = Field(None, description="scrn: number of slow units")
    context_decay: float | None = Field(
        None, ge=0, lt=1, description="scrn: share of a slow unit that stays from step to step"
    )
    attention_heads: Count | None = Field(None, description="attention: parts of the width that attend on their own")

    @model_validator(mode="after")
    def _one_way_alone_has_a_direction(self) -> EncoderOptions:
        if self.bidirectional and self.backwards:
            raise ValueError("backwards is for an encoder that reads one way; set encoder.bidirectional=false too")
        return self


class HeadOptions(Section):
    """The structured layer."""

    type: str = Field("crf", description='a row of the heads table, or "package.module:Class"')
    scheme: str = Field(
        "auto", description="scheme learned inside: auto (the file's own), BIO, BIOES; answers keep the file's"
    )
    projection: Literal["linear", "none"] = Field(
        "linear", description="from states to tag scores; none: the states are the scores, and there must be one a tag"
    )
    pooling: str | None = Field(
        None,
        description="classify, joint: how a sequence becomes one vector: attention (where not given, of joint), last, "
        "max (of classify), mean",
    )
    attention: Literal["additive", "dot", "location"] | None = Field(
        None, description="generate: how the decoder looks at the encoder's states (location where not given)"
    )
    decoder: Count | None = Field(None, description="generate, autoencode: width of the decoder's state")
    embedding: Count | None = Field(None, description="generate, autoencode: width of a symbol's vector")
    bottleneck: Count | None = Field(None, description="autoencode: width of the vector that a sequence becomes")
    dropout: float | None = Field(None, ge=0, lt=1, description="generate, autoencode: dropout in the decoder")
    beam: Count | None = Field(
        None, description="ctc, generate: answers kept while searching for the best; 1: the best step at each step"
    )
    costs: dict[str, float] = Field(
        {},
        description="crf, joint (by softmax-margin then), svm: cost of a mistake where this type, tag or O is right",
    )


class TrainingOptions(Section):
    """Optimisation."""

    epochs: Whole = Field(
        0, ge=0, description="passes over the training data at most; 0: 20, and more where there is little data"
    )
    patience: Whole = Field(
        10, ge=1, description="stop after so many passes without a better dev score; passes that score 0 do not count"
    )
    batch_sentences: Whole = Field(32, ge=1, description="sentences a batch at most")
    batch_tokens: Whole = Field(
        2000, ge=1, description="tokens a batch at most, padding included; one longer sentence is a batch"
    )
    learning_rate: float = Field(2e-3, gt=0, description="AdamW's peak rate")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's decoupled decay")
    warmup: float = Field(0.05, ge=0, lt=1, description="share of all updates in which the rate rises to its peak")
    final_rate: float = Field(
        0.05, ge=0, le=1, description="share of the peak rate at the last update; the decay is linear"
    )
    clip: float = Field(1.0, ge=0, description="gradient clipping; 0 turns it off")
    clip_by: Literal["norm", "value"] = Field("norm", description="clip the gradient's norm, or each of its values")
    average: Literal["auto", "none", "ema", "mean"] = Field(
        "auto", description="weight averaging; auto: the head's own"
    )
    average_decay: float = Field(0.998, gt=0, lt=1, description="decay of the exponential moving average, an update")
    tune_decision: bool = Field(True, description="choose on dev, at the end, how readily entities are answered")
    validation_fraction: float = Field(
        0.1, gt=0, lt=1, description="share held out of the training data where no dev set is given"
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, ...")
    threads: Whole = Field(0, ge=0, description="CPU threads; 0: two where they can be had. 1 and 2 give the same bits")
    mixed_precision: bool = Field(True, description="bfloat16 where a GPU is there; never in a structured recursion")


class Options(Section):
    """Everything a run can be told; ``Options()`` is the default recipe."""

    data: DataOptions = DataOptions()
    inputs: InputOptions = InputOptions()
    encoder: EncoderOptions = EncoderOptions()
    head: HeadOptions = HeadOptions()
    training: TrainingOptions = TrainingOptions()

    @staticmethod
    def of(*layers: Mapping[str, Any]) -> Options:
        """Options from nested tables; a later layer overrides an earlier one.

        Raises
        ------
        ConfigError
            For an unknown key (with the nearest known one), a wrong type or a value out of range.

        >>> Options.of({"encoder": {"layers": 2}}).encoder.layers
        2
        """
        merged: dict[str, Any] = {}
        for layer in layers:
            merged = _merge(merged, layer)
        try:
            return Options.model_validate(merged)
        except ValidationError as problem:
            raise ConfigError(_sentence(problem)) from None

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, as JSON and TOML hold them."""
        return self.model_dump(mode="json")


def load_options(path: str | Path) -> dict[str, Any]:
    """The nested table of a TOML or JSON file (by extension), unchecked; `Options.of` checks it."""
    path = Path(path)
    try:
        content = path.read_text(encoding="utf-8")
        table = json.loads(content, object_pairs_hook=once) if path.suffix == ".json" else tomllib.loads(content)
    except OSError as problem:
        raise ConfigError(f"{path}: cannot be read ({problem.strerror}); name a TOML or JSON file of options") from None
    except (ValueError, RecursionError) as problem:
        raise ConfigError(f"{path}: expected TOML (or JSON in a .json file), found an error: {problem}") from None
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: expected a table of options, found {type(table).__name__}")
    return table


def dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested tables by their dotted names; an empty table is a value.

    >>> dict(dotted({"encoder": {"layers": 2}, "head": {"costs": {}}}))
    {'encoder.layers': 2, 'head.costs': {}}
    """
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from dotted(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which no key stands twice, as ``object_pairs_hook`` of `json.loads`; raises ValueError for one
    that does."""
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise ValueError(f"the key {key[:60]!r} twice in one object; keep one of them")
        table[key] = value
    return table


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """The nested table of ``key=value`` settings with dotted keys; values are TOML, and bare words are strings.

    >>> parse_settings(["encoder.layers=2", "head.type=softmax"])
    {'encoder': {'layers': 2}, 'head': {'type': 'softmax'}}
    """
    table: dict[str, Any] = {}
    seen: set[str] = set()
    for setting in settings:
        key, equals, raw = setting.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ConfigError(f"--set {setting}: expected key=value, for example encoder.layers=2")
        if key in seen:
            raise ConfigError(f"--set {key} is given twice; give it once")
        seen.add(key)
        nested: Any = _toml_value(raw.strip())
        for part in reversed(key.split(".")):
            nested = {part: nested}
        table = _merge(table, nested)
    return table


def row_of(table: Mapping[str, Any], name: str, what: str) -> Any:
    """The class that ``name`` stands for: a row of ``table``, or ``"package.module:Class"`` from outside.

    Raises `ConfigError` with the nearest row where there is none.
    """
    if name in table:
        return table[name]
    module, colon, attribute = name.partition(":")
    if colon:
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError, TypeError) as problem:
            raise ConfigError(f"{what} {name}: cannot be imported ({problem})") from None
    near = difflib.get_close_matches(name, table, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(table)}, or package.module:Class"
    raise ConfigError(f"unknown {what} {name!r}; {hint}")


def _toml_value(raw: str) -> Any:
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _sentence(problem: ValidationError) -> str:
    """Pydantic's findings as sentences: key, expected, found, and the nearest known key."""
    return "; ".join(_finding(dict(error)) for error in problem.errors())


def _finding(error: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "value_error":  # a sentence of ours
        return f"option {where}: {error['ctx']['error']}"
    if error["type"] != "extra_forbidden":
        return f"option {where}: {error['msg'][0].lower()}{error['msg'][1:]}, found {error['input']!r}"
    near = difflib.get_close_matches(where, option_names(), n=1, cutoff=0.5)
    last = where.rpartition(".")[2]
    near = near or [name for name in option_names() if name.rpartition(".")[2] == last][:1]
    hint = f'; did you mean "{near[0]}"?' if near else f"; known are {', '.join(option_names())}"
    return f"unknown option {where}{hint}"


def option_names(section: type[BaseModel] = Options, prefix: str = "") -> list[str]:
    """Every option by its dotted name, in order."""
    names: list[str] = []
    for name, known in section.model_fields.items():
        kind = known.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names += option_names(kind, f"{prefix}{name}.")
        else:
            names.append(f"{prefix}{name}")
    return names
