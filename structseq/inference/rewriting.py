"""Rewriting files with predictions in further columns or keys; everything else is kept."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

from structseq.data.annotation.document import Annotation, Document
from structseq.data.annotation.json_records import SPAN_KEYS
from structseq.data.annotation.to_examples import Cutting
from structseq.data.example import Example
from structseq.data.formats import read_verbatim
from structseq.data.jsonl import TAG_KEYS, keys_of
from structseq.data.record import read_records
from structseq.data.textfile import BOM, Source, one_line, text_lines
from structseq.data.tokenizer import tokenizer_of
from structseq.inference.tagger import Tagger
from structseq.tasks.answers import Tagging, TextToken

Item = TypeVar("Item")

# The options of `keys_of`
_KEYS = {"columns", "tags", "tokenizer", "scheme", "token_key", "tag_key", "text_key", "span_key"}


def tagged_columns(tagger: Tagger, source: Source, format: str, options: dict[str, Any]) -> Iterator[str]:
    """Rewrite a column or CoNLL-U file: the predicted tag is the last column, a predicted label a comment."""
    key, line = tagger.model.options.data.label, 1
    blocks = read_verbatim(source, format, **options)
    for block, tagging in _tagged(tagger, ((block, block.example) for block in blocks), confidence=False):
        text = block.text if tagging is None else block.append(tagging.tags)
        if tagging is not None and tagging.label is not None:
            text = with_comment(text, block.line_of(0) - line, f"# predicted_{key} = {one_line(tagging.label)}")
        yield text
        line += block.text.count("\n")


def with_comment(text: str, number: int, comment: str) -> str:
    """Insert ``comment`` before line ``number``, from 0."""
    mark = BOM if text.startswith(BOM) else ""
    lines = text.removeprefix(mark).split("\n")
    lines.insert(number, comment + ("\r" if lines[number].endswith("\r") else ""))
    return mark + "\n".join(lines)


def tagged_records(tagger: Tagger, source: Source, options: dict[str, Any], *, confidence: bool) -> Iterator[str]:
    """Rewrite JSON lines; predicted keys begin with ``predicted_`` if a record has gold tags or one of the keys."""
    keys, tokenize = keys_of(**{n: v for n, v in options.items() if n in _KEYS}), tokenizer_of(options["tokenizer"])

    def example(values: Any, record: Any) -> Example:
        found = keys.example(record)
        if keys.token_key_of(values) is not None:
            return found
        text = values[keys.text_key]
        tokens = tuple([TextToken(*token) for token in tokenize(text)])
        return replace(found, inputs={**found.inputs, "tokens": tokens}, metadata={"text": text})

    records = read_records(source, encoding=options["encoding"])
    pairs = ((each, None if each.values is None else example(each.values, each)) for each in records)
    for record, tagging in _tagged(tagger, pairs, confidence=confidence):
        if tagging is None or record.values is None:
            yield record.text
            continue
        answer = tagging.record()
        if any(key in record.values for key in (*TAG_KEYS, *SPAN_KEYS, *answer)):
            answer = {f"predicted_{name}": value for name, value in answer.items()}
        of_text = keys.token_key_of(record.values) is None
        tokens = {"tokens": list(tagging.tokens)} if of_text else {}
        yield record.with_values(**tokens, **answer)


def tagged_texts(tagger: Tagger, source: Source, encoding: str, *, confidence: bool) -> Iterator[str]:
    for tagging in tagger.tag_texts(text_lines(source, encoding=encoding), confidence=confidence):
        yield json.dumps(tagging.text_record(), ensure_ascii=False) + "\n"


def tagged_documents(
    tagger: Tagger, documents: Iterable[Document], cutting: Cutting, *, scores: bool
) -> Iterator[Document]:
    """The documents with predicted annotations in place of their own; ``scores``: their confidences as attributes."""
    numbered = enumerate(documents)  # neighbours may be equal
    pairs = ((each, example) for each in numbered for example in _sentences_of(each[1], cutting))
    tagged = _tagged(tagger, pairs, confidence=scores)
    for (_, document), sentences in groupby(tagged, key=itemgetter(0)):
        taggings = [tagging for _, tagging in sentences if tagging is not None]
        found = tuple([annotation for tagging in taggings for annotation in _annotations(tagging)])
        yield replace(document, annotations=found, relations=(), labels=_labels_of(taggings) or document.labels)


def _sentences_of(document: Document, cutting: Cutting) -> Iterator[Example | None]:
    """None, so that a document without sentences is not lost, then its sentences; tokens have offsets in the text."""
    yield None
    for start, tokens, example in cutting.sentences(document):
        placed = tuple([TextToken(token.text, start + token.start, start + token.end) for token in tokens])
        yield replace(example, inputs={**example.inputs, "tokens": placed})


def _annotations(tagging: Tagging) -> Iterator[Annotation]:
    for span in tagging.spans:
        first, last = tagging.tokens[span.start], tagging.tokens[span.end - 1]
        assert isinstance(first, TextToken) and isinstance(last, TextToken)
        score = {} if span.confidence is None else {"score": span.confidence}
        yield Annotation(span.label, ((first.start, last.end),), attributes=score)


def _labels_of(taggings: Sequence[Tagging]) -> tuple[str, ...]:
    """The predicted label of a text that is one sentence."""
    return (taggings[0].label,) if len(taggings) == 1 and taggings[0].label is not None else ()


def _tagged(
    tagger: Tagger, pairs: Iterable[tuple[Item, Example | None]], *, confidence: bool
) -> Iterator[tuple[Item, Tagging | None]]:
    """Each item with the tagging of its example, if any."""
    waiting: deque[tuple[Item, bool]] = deque()

    def examples() -> Iterator[Example]:
        for item, example in pairs:
            waiting.append((item, example is not None))
            if example is not None:
                yield example

    for tagging in tagger.tag_many(examples(), confidence=confidence):
        while not waiting[0][1]:
            yield waiting.popleft()[0], None
        yield waiting.popleft()[0], tagging
    for item, _ in waiting:
        yield item, None
