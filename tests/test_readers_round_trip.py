"""What is written is read back, exactly, in every format that can hold it; what a format cannot hold is refused."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from structseq.data.example import Example
from structseq.data.formats import FORMATS, read, read_verbatim, write
from structseq.data.textfile import peek
from structseq.data.tokenizer import TOKENIZERS, tokenizer_of
from structseq.errors import DataError
from structseq.spans import scheme_of

# Characters that some reader somewhere takes for a separator, a line end, a comment, a mark, or loses
ODD = (
    *("#", "##", "# ", "#a=b", "#newdoc", "=", "-", "-X-", "-DOCSTARTS-", '"', "'", "\\", "_", "|", "{", "1-2", "1.1"),
    *("\u00a0", "\u3000", "\u2009", "\u200b", "\u200c", "\u200d", "\u2028", "\u2029", "\x85", "\x0b", "\x0c"),
    *("\x1c", "\x1d", "\x1e", "\x1f", "\x00", "\x7f", "\ufeff", "\u0301", "e\u0301", "é", "台", "ﬁ", "ẞ", "İ"),
    *("😀", "👨\u200d👩\u200d👧", "🇹🇼", "\U0010ffff"),
)
CHARACTERS = st.characters(exclude_categories=("Cs",), exclude_characters=" \t\r\n")

pieces = st.sampled_from(ODD) | st.text(CHARACTERS, min_size=1, max_size=4)
words = st.lists(pieces, min_size=1, max_size=3).map("".join).map(lambda word: word.replace(" ", "") or "#")
tokens = words | st.sampled_from(["x" * 5000, "#", "-"])
tags = st.sampled_from(["O", "B-x", "I-x", "S-y-z", "#", "=", "NN", "_", "B-\u00a0", "-DOCSTART-"]) | words
letters = st.characters(categories=("L", "Nd", "So"))
keys = st.text(letters, min_size=1, max_size=5) | st.sampled_from(["sent_id", "a b"])
values = st.lists(words, max_size=3).map(" ".join) | st.just("a\tb = c")
metadata = st.dictionaries(keys, values, max_size=2)


@st.composite
def sentences(draw: st.DrawFn, names: tuple[str, ...], least: int, tagged: bool) -> Example:
    length = draw(st.integers(least, 4))
    inputs = {name: tuple(draw(tokens) for _ in range(length)) for name in names}
    targets = {"tags": tuple(draw(tags) for _ in range(length))} if tagged else {}
    return Example(inputs, targets, "", draw(metadata), draw(st.booleans()))


@st.composite
def corpora(draw: st.DrawFn, *, least: int = 1, further: bool = True, always_tagged: bool = False) -> list[Example]:
    """Sentences that all have the same columns."""
    names = ("tokens", *draw(st.sampled_from([(), ("pos",), ("pos", "lemma")] if further else [()])))
    tagged = always_tagged or draw(st.booleans())
    return draw(st.lists(sentences(names, least, tagged), min_size=1, max_size=4))


def written(corpus: list[Example], name: str, reading: dict[str, Any], **writing: Any) -> list[Example]:
    """The corpus through a file, its bytes held to be kept by `read_verbatim` where the format has such blocks."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / name
        write(file, corpus, **writing)
        format = {key: writing[key] for key in ("format",) if key in writing}
        if file.is_file() and FORMATS[writing.get("format", "columns")].verbatim is not None:
            whole = "".join(block.text for block in read_verbatim(file, **format, **reading))
            assert whole.encode() == peek(file, 1 << 30)
        assert [path.name for path in Path(folder).iterdir()] == [name]
        return list(read(file, **format, **reading))


def alike(corpus: list[Example]) -> list[Example]:
    return [replace(one, source="") for one in corpus]


def column_options(corpus: list[Example]) -> dict[str, Any]:
    names = list(corpus[0].inputs)
    return {"columns": {name: i for i, name in enumerate(names) if i}, "tags": "tags" in corpus[0].targets}


def clear_of_boundaries(corpus: list[Example]) -> list[Example]:
    """The corpus without the one token that columns cannot hold."""
    kept = [tuple("x" if token.lower() == "-docstart-" else token for token in one.tokens) for one in corpus]
    return [replace(one, inputs={**one.inputs, "tokens": ts}) for one, ts in zip(corpus, kept, strict=True)]


@settings(max_examples=80)
@given(corpora(), st.sampled_from(["a.conll", "a.tsv.gz"]))
@example([Example.of(["\ufeff", "\ufeff#"], ["O", "O"])], "a.conll")
@example([Example({"tokens": ("a",)}, metadata={"newdoc id": "1", "newpar": ""}, starts_document=True)], "a.conll")
@example([Example.of(["#"]), Example.of(["#newdoc", "#a=b"])], "a.conll")
def test_columns(corpus: list[Example], name: str) -> None:
    corpus = clear_of_boundaries(corpus)
    assert alike(written(corpus, name, column_options(corpus), format="columns")) == corpus


@settings(max_examples=50)
@given(corpora())
def test_columns_separated_by_spaces_are_exact_or_refused(corpus: list[Example]) -> None:
    corpus = clear_of_boundaries(corpus)
    try:
        back = written(corpus, "a.conll", column_options(corpus), format="columns", separator="space")
    except DataError as refusal:
        assert "read as a comment" in refusal.message
    else:
        assert alike(back) == corpus


@settings(max_examples=50)
@given(corpora(always_tagged=True), st.sampled_from(["xpos", "misc:NER", "feats:Case"]))
def test_conllu(corpus: list[Example], field: str) -> None:
    if ":" in field:
        corpus = [replace(one, targets={"tags": tuple(t.replace("|", "/") for t in one.tags)}) for one in corpus]
    columns = {"pos": "upos", "lemma": "lemma"}
    reading = {"field": field, "columns": {name: columns[name] for name in corpus[0].inputs if name in columns}}
    assert alike(written(corpus, "a.conllu", reading, field=field, columns=columns)) == corpus


anything = st.text(st.characters(exclude_categories=("Cs",)), max_size=6) | st.sampled_from(ODD)


@settings(max_examples=50)
@given(corpora(least=0), st.lists(anything, max_size=5), st.sampled_from(["a.jsonl", "a.jsonl.gz"]))
def test_json_lines(corpus: list[Example], odd: list[str], name: str) -> None:
    odd_one = replace(corpus[0], inputs={key: tuple(odd) for key in corpus[0].inputs}, metadata={"\n": "\r\n \t"})
    tagged = "tags" in corpus[0].targets
    corpus = [*corpus, replace(odd_one, targets={"tags": tuple(odd)} if tagged else {})]
    columns = {name: name for name in corpus[0].inputs if name != "tokens"}
    assert alike(written(corpus, name, {"columns": columns})) == corpus


@settings(max_examples=50)
@given(corpora(further=False), st.sampled_from(["BIO", "BILOU", "IOB1", "IO"]))
def test_json_lines_with_a_text_and_spans(corpus: list[Example], scheme: str) -> None:
    own = scheme_of(scheme)
    inventory = own.complete(["O", "B-x" if scheme not in ("IO", "IOB1") else "I-x"])
    tagged = [
        replace(one, targets={"tags": tuple(inventory[len(t) % len(inventory)] for t in one.tags)})
        if "tags" in one.targets
        else one
        for one in corpus
    ]
    texts = [one for one in tagged if all(token.strip() for token in one.tokens)]  # no text has a token of white space
    legal = [one for one in texts if not one.targets or not own.violations(one.tags)]
    reading = {"tokenizer": "whitespace-1", "scheme": scheme}
    if legal:
        further = {"tags": "tags" in legal[0].targets}
        back = alike(written(legal, "a.jsonl", reading | further, format="doccano", **reading))
        for one, same in zip(legal, back, strict=True):
            assert (one.inputs, one.targets, one.starts_document) == (same.inputs, same.targets, same.starts_document)
            assert same.metadata == {**one.metadata, "text": " ".join(one.tokens)}


@settings(max_examples=50)
@given(corpora(least=0, further=False), st.booleans())
def test_three_files(corpus: list[Example], with_intent: bool) -> None:
    intents = [" ".join(one.metadata.values()).strip(" \t") for one in corpus]
    corpus = [
        replace(one, starts_document=False, metadata={"intent": intent} if with_intent else {})
        for one, intent in zip(corpus, intents, strict=True)
    ]
    reading = {"tags": "tags" in corpus[0].targets}
    assert alike(written(corpus, "folder", reading, format="threefile")) == corpus


# What may stand between two tabs, other white space of Unicode and quotes included; what may not, rarely
fields = st.lists(pieces | st.just(" "), max_size=4).map("".join)
broken = st.sampled_from(["a\tb", "\n", "a\r", "", " a"])


@st.composite
def labelled_corpora(draw: st.DrawFn, tokenizer: str) -> list[Example]:
    """Texts as the reader of labelled texts gives them, all with the same further columns."""
    further = draw(st.lists(fields.filter(lambda name: name not in ("", "label", "text")), max_size=2, unique=True))
    labels, cut = words | words.map(lambda word: f"{word} {word}"), tokenizer_of(tokenizer)
    corpus = []
    for text in draw(st.lists(fields, max_size=4, min_size=1)):
        metadata = {"label": draw(labels), "text": text, **{name: draw(fields) for name in further}}
        corpus.append(Example({"tokens": tuple(token.text for token in cut(text))}, metadata=metadata))
    return corpus


@settings(max_examples=50)
@given(st.data(), st.sampled_from(list(TOKENIZERS)), st.sampled_from(["a.tsv", "a.tsv.gz"]))
def test_labelled_texts(data: st.DataObject, tokenizer: str, name: str) -> None:
    corpus = data.draw(labelled_corpora(tokenizer))
    assert alike(written(corpus, name, {"tokenizer": tokenizer}, format="labelled")) == corpus


def one_field_each(corpus: list[Example]) -> bool:
    """Whether all have the same metadata, none with a tab or line end, and a label that stays what it is."""
    values = [value for one in corpus for pair in one.metadata.items() for value in pair]
    labels = [one.metadata["label"] for one in corpus]
    return (
        all(one.metadata.keys() == corpus[0].metadata.keys() for one in corpus)
        and not any(mark in value for value in values for mark in "\t\r\n")
        and all(label and label == label.strip(" ") for label in labels)
    )


@settings(max_examples=50)
@given(corpora(least=0, further=False), st.lists(words | broken, min_size=4, max_size=4), st.booleans())
def test_labelled_tokens_are_exact_or_refused(corpus: list[Example], labels: list[str], plain: bool) -> None:
    corpus = [
        replace(one, targets={}, starts_document=False, metadata={"label": label, **({} if plain else one.metadata)})
        for one, label in zip(corpus, labels, strict=False)
    ]
    try:
        back = written(corpus, "a.tsv", {"tokenizer": "whitespace-1"}, format="labelled")
    except DataError as refusal:
        assert "a labelled file cannot hold" in refusal.message
        assert not one_field_each(corpus)
    else:
        assert alike(back) == [replace(one, metadata={"text": " ".join(one.tokens), **one.metadata}) for one in corpus]
        assert one_field_each(corpus)


def test_the_same_corpus_is_the_same_bytes_packed_too(tmp_path: Path) -> None:
    corpus = [Example.of(["a", "b"], ["O", "B-x"])]
    for name in ("a.conll.gz", "b.conll.gz", "a.conll"):
        write(tmp_path / name, corpus)
    assert (tmp_path / "a.conll.gz").read_bytes() == (tmp_path / "b.conll.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.conll.gz").read_bytes()) == (tmp_path / "a.conll").read_bytes()


REFUSED: list[tuple[str, Example, dict[str, Any], str]] = [
    ("a.conll", Example.of(["New York"], ["O"]), {}, "white space in tokens: 'New York'"),
    ("a.conll", Example.of(["a\tb"], ["O"]), {}, "white space in tokens"),
    ("a.conll", Example.of(["a\r"], ["O"]), {}, "white space in tokens"),
    ("a.conll", Example.of(["a"], ["B-first name"]), {}, "white space in tags"),
    ("a.conll", Example.of(["a", ""], ["O", "O"]), {}, "an empty value in tokens"),
    ("a.conll", Example.of(["a"], [""]), {}, "an empty value in tags"),
    ("a.conll", Example.of([], []), {}, "a sentence without tokens"),
    ("a.conll", Example.of(["-DOCSTART-"], ["O"]), {}, "read as a document boundary"),
    ("a.conll", Example.of(["-docstart-"]), {}, "read as a document boundary"),
    ("a.conll", Example({"tokens": ("a",)}, metadata={"key": "two\nlines"}), {}, "metadata 'key'"),
    ("a.conll", Example({"tokens": ("a",)}, metadata={"a=b": "c"}), {}, "metadata 'a=b'"),
    ("a.conll", Example({"tokens": ("a",)}, metadata={"newdoc id": "c"}), {}, "starts no document"),
    ("a.conll", Example({"tokens": ("a",)}, {"label": "spam"}), {}, "the target 'label'"),
    ("a.conll", Example.of(["#", "b"], ["=", "O"], pos=["x", "y"]), {"separator": "space"}, "read as a comment"),
    ("a.conll", Example.of(["a", "b"], ["O", "O"], pos=["", "y"]), {"separator": "space"}, "an empty value in pos"),
    ("a.conllu", Example.of(["a\tb"], ["O"]), {}, "the value 'a\\tb' in tokens"),
    ("a.conllu", Example.of(["a"], ["B|x"]), {"field": "misc:NER"}, "the value 'B|x' in tags"),
    ("a.conllu", Example.of(["a"], ["O"], pos=["N"]), {}, "the input 'pos' without a field for it"),
    ("a.conllu", Example.of([], []), {}, "a sentence without tokens"),
    ("a.jsonl", Example({"tokens": ("a",)}, metadata={"tags": "O"}), {}, "metadata under the key 'tags'"),
    ("a.jsonl", Example.of(["a"], ["I-x"]), {"format": "doccano"}, "tags that BIO does not write for their spans"),
    ("a.jsonl", Example.of(["a"], ["O"], pos=["N"]), {"format": "doccano"}, "the further input 'pos'"),
    ("folder", Example({"tokens": ("a",)}, metadata={"id": "1"}), {"format": "threefile"}, "the metadata 'id'"),
    ("folder", Example({"tokens": ("a",)}, starts_document=True), {"format": "threefile"}, "a document boundary"),
    ("folder", Example.of(["a"], pos=["N"]), {"format": "threefile"}, "the further input 'pos'"),
    ("folder", Example.of(["a b"]), {"format": "threefile"}, "white space in tokens"),
    ("a.tsv", Example.of(["a"], ["O"]), {"format": "labelled"}, "the target 'tags'"),
    ("a.tsv", Example.of(["a"], pos=["N"]), {"format": "labelled"}, "the further input 'pos'"),
]


@pytest.mark.parametrize(("name", "bad", "options", "words"), REFUSED, ids=[f"{r[0]}: {r[3]}" for r in REFUSED])
def test_what_a_format_cannot_hold_is_refused_and_nothing_is_written(
    name: str, bad: Example, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    good = replace(bad, inputs=dict.fromkeys(bad.inputs, ("x",)), targets={"tags": ("O",)} if bad.targets else {})
    good = replace(good, metadata={}, starts_document=False)
    with pytest.raises(DataError) as caught:
        write(tmp_path / name, [good, bad], **options)
    assert words in caught.value.message
    assert caught.value.file == str(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_as_it_was(tmp_path: Path) -> None:
    for name, options in (("a.conll", {}), ("three", {"format": "threefile"})):
        write(tmp_path / name, [Example.of(["old"], ["O"])], **options)
        with pytest.raises(DataError):
            write(tmp_path / name, [Example.of(["new"], ["O"]), Example.of(["n w"], ["O"])], **options)
        assert [one.tokens for one in read(tmp_path / name)] == [("old",)]


def test_a_written_file_keeps_its_permissions_and_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("old\n")
    (tmp_path / "a.conll").chmod(0o600)
    (tmp_path / "link.conll").symlink_to(tmp_path / "a.conll")
    with pytest.raises(DataError, match="it is a link; name the file itself"):
        write(tmp_path / "link.conll", [Example.of(["new"])])
    write(tmp_path / "a.conll", [Example.of(["new"])])
    assert (tmp_path / "a.conll").read_text() == "new\n\n"
    assert (tmp_path / "a.conll").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "link.conll").is_symlink()


def test_tokens_come_first_for_any_order_of_the_inputs(tmp_path: Path) -> None:
    write(tmp_path / "a.conll", [Example({"pos": ("N",), "tokens": ("a",)}, {"tags": ("O",)})])
    assert (tmp_path / "a.conll").read_text() == "a\tN\tO\n\n"


def test_sentences_of_unlike_columns_are_refused(tmp_path: Path) -> None:
    corpus = [Example.of(["a"], ["O"]), Example.of(["a"])]
    with pytest.raises(DataError, match=r"columns \(tokens\) after sentences with \(tokens, tags\)"):
        write(tmp_path / "a.conll", corpus)
    write(tmp_path / "a.jsonl", corpus)
    assert alike(list(read(tmp_path / "a.jsonl"))) == corpus


def test_what_an_encoding_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="latin-1 cannot hold the character '\\\\u53f0'"):
        write(tmp_path / "a.conll", [Example.of(["台"])], encoding="latin-1")
    with pytest.raises(DataError, match="half surrogates"):
        write(tmp_path / "a.jsonl", [Example.of(["\ud800"])])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030", "latin-1"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    corpus = [Example.of(["café", "\u00a0", "#"], ["O", "B-x", "O"])]
    write(tmp_path / "a.conll", corpus, encoding=encoding)
    assert alike(list(read(tmp_path / "a.conll", format="columns", encoding=encoding))) == corpus


def test_three_files_do_not_keep_a_label_of_other_sentences(tmp_path: Path) -> None:
    one = Example.of(["a"], ["O"])
    write(tmp_path, [replace(one, metadata={"intent": "book"})], format="threefile")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["label", "seq.in", "seq.out"]
    write(tmp_path, [one], format="threefile")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seq.in", "seq.out"]
