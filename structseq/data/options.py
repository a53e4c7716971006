"""The options of reading files."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from structseq.section import Section, Whole


class AudioOptions(Section):
    """How recordings become frames (`structseq.data.audio`)."""

    features: Literal["log-mel", "mfcc"] = Field("log-mel", description="the values of a frame")
    rate: Whole = Field(8000, ge=1000, le=192_000, description="samples per second; other recordings are resampled")
    window: float = Field(25.0, gt=0, le=1000, description="length of a frame's window in ms")
    hop: float = Field(10.0, gt=0, le=1000, description="time from one frame to the next in ms")
    mels: Whole = Field(40, ge=2, le=512, description="number of mel bands")
    coefficients: Whole = Field(
        13, ge=1, le=512, description="mfcc: number of coefficients, at most the number of mel bands"
    )
    centre: bool = Field(
        False, description="subtract each recording's mean from its frames, to reduce effects of microphone and voice"
    )
    stride: Whole = Field(1, ge=1, le=100, description="number of neighbouring frames that are joined into one step")
    silence: str = Field("", description="tag of the steps between segments; empty: the tag of the nearest segment")
    states: Whole = Field(1, ge=1, le=20, description="parts that a segment is cut into: its tags are 7.1, 7.2, ...")
    channels: Literal["refuse", "mean"] = Field("refuse", description="what to do with more than one channel")


class DataOptions(Section):
    format: str = Field(
        "auto", description="file format: auto, columns, conllu, jsonl, threefile, labelled, pairs, audio, text"
    )
    token_column: Whole | str = Field(
        0, description="column of the token, from 0 (negative counts from the end), its name in the header, or its key"
    )
    tag_column: Whole | str = Field(-1, description="column or key of the tag, as token_column")
    sentence_column: str = Field("", description="tables: column of the sentence's number, if a row is a token")
    text_column: str = Field("", description="tables, JSON lines: column or key of the text")
    span_column: str = Field("", description="tables, JSON lines: column or key of the text's spans")
    columns: dict[str, Whole | str] = Field(
        {}, description="further inputs: name = column number, CoNLL-U field or JSON key"
    )
    separator: Literal["auto", "tab", "space"] = Field("auto", description="separator of a column file")
    comments: Literal["auto", "always", "never"] = Field(
        "auto", description="columns: whether a line that begins with # is a comment; auto judges it by the rows"
    )
    encoding: str = Field("utf-8", description="character encoding of the files")
    label: str = Field(
        "label", description="where a sentence's label is: a `# key = value` line, a JSON key or a header's column"
    )
    field: str = Field("upos", description="CoNLL-U: the field that is the tag")
    scheme: str = Field(
        "auto",
        description="tag scheme: auto (found for each file), IO, IOB1, BIO, IOE1, IOE, BIOES, BILOU, BMES, plain",
    )
    repair: Literal["conlleval", "drop", "refuse"] = Field(
        "conlleval",
        description="illegal tags: read as conlleval reads them, drop their entities from the training data, or refuse "
        "the file",
    )
    tokenizer: str = Field("words-1", description="tokenizer for text, by name and version; saved with the model")
    misaligned: Literal["error", "expand", "contract", "drop"] = Field(
        "error", description="texts with spans: what to do with a span that cuts a token"
    )
    overlapping: Literal["error", "longest", "first", "outermost", "innermost"] = Field(
        "error", description="texts with spans: which of overlapping spans to keep"
    )
    fragments: Literal["error", "hull", "split", "first", "drop"] = Field(
        "error", description="texts with spans: what to make of a discontinuous span"
    )
    offsets: Literal["auto", "codepoint", "utf16"] = Field(
        "auto",
        description="texts with spans: what their offsets count; auto: what the tool counts, checked by its copies",
    )
    split: Literal["auto", "lines", "none"] = Field(
        "auto",
        description="texts with spans: how they become sentences; auto: as in the file; brat: lines; else none",
    )
    layer: str = Field(
        "", description="layer, control or question of the spans if a file has several; empty: the only one"
    )
    labels: list[str] = Field([], description="names of tags that are stored as numbers, in their order")
    symbols: Literal["characters", "words"] = Field(
        "characters", description="pairs: what source and target are cut into"
    )
    audio: AudioOptions = AudioOptions()

    @field_validator("repair", mode="before")
    @classmethod
    def _default_repair(cls, value: object) -> object:
        """Older models have none."""
        return "conlleval" if value is None else value
