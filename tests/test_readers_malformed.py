"""Bad input is one clear sentence with file and line, what was expected, what was found and what to do."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structseq.data.annotation.table import DOCUMENT_FORMATS
from structseq.data.example import Example
from structseq.data.formats import FORMATS, detect_format, read, read_verbatim, write
from structseq.errors import ConfigError, DataError, StructseqError

GZ = gzip.compress(b"a\tO\n" * 1000, mtime=0)
U = "1\ta\t_\tX\t_\t_\t_\t_\t_\t_\n"

# name of the file, its content, options, line of the error (None: the file alone), key words of the message
CASES: dict[str, tuple[str, bytes | str, dict[str, Any], int | None, tuple[str, ...]]] = {
    "empty": ("a.conll", "", {}, None, ("expected rows", "found an empty file")),
    "blank": ("a.conll", "\n \n\t\n", {}, None, ("found no row",)),
    "byte order mark alone": ("a.conll", "\ufeff", {}, None, ("found an empty file",)),
    "comments alone": ("a.conll", "# id = 1\n# newdoc\n", {}, None, ("found no row",)),
    "boundaries alone": ("a.conll", "-DOCSTART- O\n\n", {}, None, ("found no row",)),
    "packed nothing": ("a.conll.gz", gzip.compress(b""), {}, None, ("found an empty file",)),
    "missing column": ("a.conll", "a NN O\nb O\n", {}, 2, ("expected 3 columns", "as in line 1", "found 2", "'b O'")),
    "missing column in tabs": ("a.conll", "x\n".join(["a\tO\n", ""]), {}, 2, ("expected 2 columns", "found 1", "'x'")),
    "column too many": ("a.conll", "a O\n\nNew York O\n", {}, 3, ("expected 2 columns", "found 3", "blank line ends")),
    "row lost its tab": ("a.conll", "# id = 1\na\tO\nb O\n", {}, 3, ("separated by tabs", "as in line 2", "found 1")),
    "# without its tag": ("a.conll", "a NN O\n# NN\nb NN O\n", {}, 2, ("expected 3 columns", "found 2")),
    "#word without its tag": ("a.conll", "#word\na O\n", {}, 1, ("expected 2 columns", "as in line 2", "found 1")),
    "#a=b within a sentence": ("a.conll", "a O\n#a=b\nb O\n", {}, 2, ("expected 2 columns", "found 1")),
    "one column": ("a.conll", "a\nb\n", {}, 1, ("at least 2 columns", "a token and its tag", "found 1")),
    "no such tag column": ("a.conll", "\na O\n", {"tag_column": 3}, 2, ("at least 4 columns", "found 2", "from 0")),
    "no such column backwards": (
        "a.conll",
        "a O\n",
        {"token_column": -3},
        1,
        ("at least 3 columns", "token column -3"),
    ),
    "no such further input": ("a.conll", "a O\n", {"columns": {"pos": 2}}, 1, ("at least 3 columns", "found 2")),
    "token and tag are one": ("a.conll", "a O\n", {"tag_column": 0}, 1, ("cannot be both token and tag",)),
    "empty token": ("a.conll", "a\tO\n\tO\n", {}, 2, ("expected a token", "found an empty field")),
    "empty tag": ("a.conll", "a\tO\nb\t\n", {}, 2, ("expected a tag", "found an empty field")),
    "space in a token": (
        "a.tsv",
        "a\tO\n# k = v\nN Y\tO\n",
        {},
        3,
        ("a token without spaces", "'N Y'", "separator='tab'"),
    ),
    "space in a tag": ("a.tsv", "a\tB-first name\n", {}, 1, ("a tag without spaces", "'B-first name'")),
    "Mac line ends": ("a.conll", "a O\rb O\r", {}, 1, ("bare \\r", "convert the line endings")),
    "not utf-8": ("a.conll", b"a O\n\xe9 O\n", {}, 2, ("expected utf-8", "byte 0xe9", "encoding='latin-1'")),
    "not utf-8, far down": ("a.conll", b"a O\n" * 400_000 + b"x\xff O\n", {}, 400_001, ("byte 0xff",)),
    "cut off character": ("a.conll", b"a O\nb O\xe5\x8f", {}, 2, ("expected utf-8", "unexpected end of data")),
    "utf-16": ("a.conll", "a O\n".encode("utf-16"), {}, 1, ("byte 0xff", "mark says utf-16", "encoding='utf-16'")),
    "utf-32": ("a.conll", "a O\n".encode("utf-32"), {}, 1, ("byte 0xff", "mark says utf-32", "data.encoding=utf-32)")),
    "utf-16 the other way round": ("a.jsonl", b"\xfe\xff\0{", {}, 1, ("mark says utf-16",)),
    "latin-1 text that begins like a mark": ("a.conll", b"x\xff\xfe O\n", {}, 1, ("encoding='latin-1'",)),
    "a WAV recording": (
        "a.conll",
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0",
        {},
        None,
        ("expected a text file, found a WAV recording", 'list of recordings in JSON lines, one {"audio": ...'),
    ),
    "a WAV recording in latin-1": ("a", b"RIFF\x24\0\0\0WAVEfmt ", {"encoding": "latin-1"}, None, ("a WAV recording",)),
    "a packed recording": (
        "a.gz",
        gzip.compress(b"fLaC\0\0\0\x22"),
        {},
        None,
        ("found a FLAC file", "convert it to WAV"),
    ),
    "a recording as JSON lines": ("a.jsonl", b"ID3\x04\0\0", {}, None, ("found an MP3 file", "convert it to WAV")),
    "a recording as CoNLL-U": ("a.conllu", b"\xff\xfb\x90\x64", {}, None, ("found an MP3 file",)),
    "an archive": (
        "a.conll",
        b"PK\x03\x04\x14\0",
        {},
        None,
        ("found a zip archive", "unpack it and name the file in it"),
    ),
    "words that recordings begin with": ("a.conll", b"ID3 O\n\xff", {}, 2, ("expected utf-8 text",)),
    "commas": (
        "a.conll",
        "token,tag\nNew York,B-x\n",
        {},
        2,
        ("expected 1 column sep", "commas are not", "write tabs"),
    ),
    "commas without a space": ("a.conll", "New,B-x\nYork,I-x\n", {}, 1, ("found 1; commas are not", "write tabs")),
    "commas in prose": ("a.conll", "no\nwell, yes\n", {}, 2, ("expected 1 column sep", "every row needs")),
    "a pair among columns": ("a.conll", "May 3\t05-03\n", {}, 1, ("source TAB target", "data.format")),
    "cut off gzip": ("a.conll", GZ[:-9], {}, None, ("gzip data is damaged or cut off",)),
    "damaged gzip": ("a.conll", GZ[:12] + b"\xff\xff\xff" + GZ[15:], {}, None, ("gzip data is damaged",)),
    "only the head of a gzip": ("a.conll", GZ[:2], {}, None, ("gzip data is damaged or cut off",)),
    "conllu: empty": ("a.conllu", "", {}, None, ("CoNLL-U", "an empty file")),
    "conllu: no word": ("a.conllu", "# text = a\n\n", {}, None, ("no word",)),
    "conllu: nine columns": ("a.conllu", U + "2\tb\t_\tX\t_\t_\t_\t_\t_\n", {}, 2, ("expected 10 columns", "found 9")),
    "conllu: spaces": ("a.conllu", "# x\n" + U.replace("\t", " "), {}, 2, ("separated by tabs", "found 1")),
    "conllu: empty field": ("a.conllu", U.replace("X", ""), {}, 1, ("upos, found an empty field",)),
    "conllu: no number": ("a.conllu", U + "x" + U, {}, 2, ("expected a number such as 1, 1-2 or 1.1", "'x1'")),
    "conllu: numbers jump": ("a.conllu", U + "3" + U[1:], {}, 2, ("expected word 2", "found 3", "blank line")),
    "conllu: a huge number": ("a.conllu", "1" * 5000 + U[1:], {}, 1, ("expected word 1",)),
    "conllu: no blank line": ("a.conllu", U + U, {}, 2, ("expected word 2", "found 1", "blank line")),
    "jsonl: empty": ("a.jsonl", "", {}, None, ("expected JSON lines", "an empty file")),
    "jsonl: blank": ("a.jsonl", "\n\n", {}, None, ("only blank lines",)),
    "jsonl: no JSON": ("a.jsonl", '{"tokens": []}\n{"tokens": [}\n', {}, 2, ("bad JSON", "column 13); correct")),
    "jsonl: cut off": ("a.jsonl", '{"tokens": ["a"\r\n', {}, 1, ("bad JSON", "column 16, where the line ends")),
    "jsonl: without its brace": ("a.jsonl", ' {"id": 1\n{}\n', {}, 1, ("column 10, where the line ends",)),
    "jsonl: a key twice": ("a.jsonl", '{"text": "a", "text": "b"}', {}, 1, ("'text' twice", "keep one of them")),
    "jsonl: a key twice within": (
        "a.jsonl",
        '{"text": "a"}\n{"text": "a", "spans": [{"start": 0, "end": 1, "end": 1, "label": "x"}]}',
        {},
        2,
        ("found the key 'end' twice in one object",),
    ),
    "jsonl: an empty list": ("a.jsonl", "[\n]\n", {}, None, ("an empty list",)),
    "jsonl: a list without an end": ("a.json", '[\n{"tokens": []},\n', {}, 3, ("bad JSON",)),
    "jsonl: a list without a comma": ("a.json", '[{"tokens": []}\n{"tokens": []}]', {}, 2, ("comma",)),
    "jsonl: a list of more": ("a.json", '[{"tokens": []},\n 3]', {}, 2, ("a single value",)),
    "conllu: a no-break space": ("a.conllu", "1\tJuly\t_\t_\t_\t_\t_\t_\t_\t_\n\u00a0\n", {}, 2, ("expected 10",)),
    "jsonl: a list": ("a.jsonl", '["a"]\n', {}, 1, ("expected one JSON object", "found a list")),
    "jsonl: a number": ("a.jsonl", "\n7\n", {}, 2, ("expected one JSON object", "a single value")),
    "jsonl: deep": ("a.jsonl", '{"a": ' + "[" * 100_000, {}, 1, ("expected one JSON object",)),
    "jsonl: a huge number": ("a.jsonl", '{"a": ' + "1" * 5000 + "}", {}, 1, ("expected one JSON object", "4300")),
    "jsonl: half a character": ("a.jsonl", '{"tokens": ["\\ud83d"]}', {}, 1, ("half a surrogate pair",)),
    "jsonl: neither tokens nor text": ("a.jsonl", '{"id": "x"}', {}, 1, ("'tokens' or 'text'", "found keys 'id'")),
    "jsonl: nothing": ("a.jsonl", "{}", {}, 1, ("'tokens' or 'text'", "no keys")),
    "jsonl: tokens of a number": ("a.jsonl", '{"tokens": ["a", 7]}', {}, 1, ("strings under 'tokens'", "found 7")),
    "jsonl: numbered tags": (
        "a.jsonl",
        '{"tokens": ["a"], "ner_tags": [0]}',
        {},
        1,
        ("'ner_tags'", "data.labels"),
    ),
    "jsonl: a tag too few": ("a.jsonl", '{"tokens": ["a", "b"], "tags": ["O"]}', {}, 1, ("expected 2 tags", "found 1")),
    "jsonl: no such key": (
        "a.jsonl",
        '{"tokens": ["a"]}',
        {"tag_key": "ner"},
        1,
        ("expected the key 'ner'", "'tokens'"),
    ),
    "jsonl: no such input": (
        "a.jsonl",
        '{"tokens": ["a"]}',
        {"columns": {"p": "pos"}},
        1,
        ("under 'pos'", "found null"),
    ),
    "jsonl: short input": (
        "a.jsonl",
        '{"tokens": ["a"], "p": []}',
        {"columns": {"p": "p"}},
        1,
        ("expected 1 p", "found 0"),
    ),
    "jsonl: tokens and spans": ("a.jsonl", '{"tokens": ["a"], "spans": [[0, 1, "x"]]}', {}, 1, ("spans but no tags",)),
    "jsonl: span with old keys": (
        "a.jsonl",
        '{"text": "to Oslo", "spans": [{"start": 1, "end": 2, "label": "x", "start_char": 3, "end_char": 7}]}',
        {},
        1,
        ("rename 'start' to 'start_token'", "'end_char' to 'end'"),
    ),
    "jsonl: span of two": ("a.jsonl", '{"text": "a", "spans": [[0, 1]]}', {}, 1, ("expected a span", "found [0, 1]")),
    "jsonl: span of letters": ("a.jsonl", '{"text": "a", "spans": [["0", 1, "x"]]}', {}, 1, ("expected a span",)),
    "jsonl: span without label": (
        "a.jsonl",
        '{"text": "a", "spans": [{"start": 0, "end": 1}]}',
        {},
        1,
        ("expected a span",),
    ),
    "jsonl: span too long": ("a.jsonl", '{"text": "ab", "spans": [[0, 3, "x"]]}', {}, 1, ("<= 2", "found 0 and 3")),
    "jsonl: span before": (
        "a.jsonl",
        '{"text": "ab", "spans": [[-1, 1, "x"]]}',
        {},
        1,
        ("0 <= start", "found -1 and 1"),
    ),
    "jsonl: empty span": ("a.jsonl", '{"text": "ab", "spans": [[1, 1, "x"]]}', {}, 1, ("start < end", "found 1 and 1")),
    "jsonl: cut token": (
        "a.jsonl",
        '{"text": "to Taipei", "spans": [[3, 6, "x"]]}',
        {},
        1,
        ("x 3:6 'Tai'", "'Taipei' 3:9"),
    ),
    "jsonl: overlap": (
        "a.jsonl",
        '{"text": "a b c", "spans": [[0, 3, "x"], [2, 5, "y"]]}',
        {},
        1,
        ("x 0:3", "y 2:5", "overlap"),
    ),
    "jsonl: twice": (
        "a.jsonl",
        '{"text": "a", "spans": [[0, 1, "x"], [0, 1, "y"]]}',
        {},
        1,
        ("overlap", "data.overlapping"),
    ),
    "jsonl: not utf-8": ("a.jsonl", b'{"tokens": ["\xe9"]}', {}, 1, ("byte 0xe9",)),
}


@pytest.mark.parametrize(("name", "content", "options", "line", "words"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("reader", [read, read_verbatim])
def test_malformed(
    name: str, content: bytes | str, options: dict[str, Any], line: int | None, words: tuple[str, ...], reader: Any,
    tmp_path: Path,
) -> None:  # fmt: skip
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        list(reader(file, **options))
    assert (caught.value.file, caught.value.line) == (str(file), line)
    assert all(word in caught.value.message for word in words), caught.value.message
    assert "\n" not in str(caught.value)


THREE: dict[str, tuple[dict[str, bytes], str, int | None, str]] = {
    "tags too few": ({"seq.in": b"a b\nc d\n", "seq.out": b"O O\nO\n"}, "seq.out", 2, "expected 2 tags"),
    "tags too many": ({"seq.in": b"\na\n", "seq.out": b"O\nO\n"}, "seq.out", 1, "expected 0 tags"),
    "lines too few": ({"seq.in": b"a\nb\n", "seq.out": b"O\n"}, "seq.out", 2, "as many lines as seq.in has"),
    "lines too many": ({"seq.in": b"a\n", "seq.out": b"O\nO\n"}, "seq.in", 2, "as many lines as seq.out has"),
    "intents too few": ({"seq.in": b"a\nb\n", "seq.out": b"O\nO\n", "label": b"x\n"}, "label", 2, "as seq.in has"),
    "no seq.out": ({"seq.in": b"a\n"}, "", None, "expected seq.out beside seq.in"),
    "empty": ({"seq.in": b"", "seq.out": b""}, "seq.in", None, "an empty file"),
    "not utf-8": ({"seq.in": b"a\n", "seq.out": b"\xff\n"}, "seq.out", 1, "byte 0xff"),
    "a recording": ({"seq.in": b"a\n", "seq.out": b"OggS\0\x02"}, "seq.out", None, "found an Ogg file"),
    "packed and cut off": ({"seq.in": GZ[:-9], "seq.out": GZ}, "seq.in", None, "damaged or cut off"),
}


@pytest.mark.parametrize(("files", "where", "line", "words"), THREE.values(), ids=THREE)
def test_malformed_three_files(
    files: dict[str, bytes], where: str, line: int | None, words: str, tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        list(read(tmp_path))
    assert (caught.value.file, caught.value.line) == (str(tmp_path / where), line)


HEAD = "label\ttext\n"
SPLIT = "expected a label, a tab and a text"

# content, line of the error (None: the file alone), key words of the message
LABELLED: dict[str, tuple[bytes | str, int | None, tuple[str, ...]]] = {
    "empty": ("", None, (SPLIT, "found an empty file")),
    "blank": ("\n \t\r\n", None, (SPLIT, "only blank lines")),
    "a header alone": ("\n" + HEAD, None, (SPLIT, "after the header in line 2", "found no such line")),
    "no tab": ("pos\ta\npos b\n", 2, (SPLIT, "found no tab in 'pos b'", "put one tab between")),
    "no tab under a header": (HEAD + "pos\n", 2, ("expected 2 fields", "(label, text)", "in line 1", "found no tab")),
    "a tab in the text": ("pos\ta\tb\n", 1, (SPLIT, "3 fields", "remove the tabs", "name the columns")),
    "a tab in quotes": (HEAD + 'pos\t"a\tb"\n', 2, ("expected 2", "found 3", "quotes do not protect")),
    "a field too few": (
        "id\t" + HEAD + "\n7\tpos\n",
        3,
        ("expected 3", "(id, label, text)", "found 2 fields", "each needs its tab"),
    ),
    "empty label": ("pos\ta\n\tb c\n", 2, ("expected a label", "an empty field beside the text 'b c'", "label it")),
    "label of spaces": (HEAD + "  \ta\n", 2, ("expected a label", "an empty field")),
    "empty label in another column": ("text\tlabel\na\t\n", 2, ("expected a label", "the text 'a'")),
    "a name twice": ("label\ttext\tlabel\n", 1, ("every column once", "'label' twice", "another name")),
    "a name missing": ("\t" + HEAD + "0\tpos\ta\n", 1, ("a name for every column", "none for column 1", "name it")),
    "a second header with capitals": ("Text\tLabel\na\tpos\n" * 2, 3, ("found a header (Text, Label) below",)),
    "a second header": (HEAD + "pos\ta\n" + HEAD, 3, ("found a header (label, text) below", "remove it")),
    "a second header the other way round": (HEAD + "pos\ta\ntext\tlabel\n", 3, ("found a header", "remove it")),
    "a header below texts without one": ("pos\ta\n" + HEAD, 2, ("found a header (label, text) below the first line",)),
    "a second header of other columns": ("intent\ttext\nx\ta b\nintent\ttext\n", 3, ("a header (intent, text)",)),
    "a recording": (b"RIFX\0\0\0\x24WAVE", None, ("expected a text file, found a RIFX recording",)),
    "Mac line ends": ("pos\ta\rneg\tb\r", 1, (SPLIT, "convert the line endings")),
    "not utf-8": (HEAD.encode() + b"pos\t\xe9\n", 2, ("expected utf-8", "byte 0xe9")),
    "cut off gzip": (GZ[:-9], None, ("gzip data is damaged or cut off",)),
}


@pytest.mark.parametrize(("content", "line", "words"), LABELLED.values(), ids=LABELLED)
def test_malformed_labelled_texts(
    content: bytes | str, line: int | None, words: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "a.tsv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        list(read(file, "labelled"))
    assert (caught.value.file, caught.value.line) == (str(file), line)
    assert all(word in caught.value.message for word in words), caught.value.message
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    for name in ("none.conll", "none.jsonl", "none.conllu", "none.txt", "no/folder.conll", "none/seq.in"):
        with pytest.raises(DataError, match=f"{name.removesuffix('/seq.in')}: .*(no such file|no seq.in)"):
            list(read(tmp_path / name))
    with pytest.raises(DataError, match="found another folder"):
        list(read(tmp_path))
    with pytest.raises(DataError, match="found a folder"):
        list(read(tmp_path, format="columns"))
    with pytest.raises(DataError, match="no file can have this name"):
        list(read("a\0b", format="columns"))
    with pytest.raises(DataError, match="<stream>: expected the path of a folder"):
        read(io.BytesIO(b"a"), "threefile")
    with pytest.raises(DataError, match="opened in binary mode, found StringIO"):
        list(read(io.StringIO("a O"), format="columns"))  # type: ignore[arg-type]


def test_files_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretended, because permissions do not bind everyone who runs tests."""

    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.conll").write_text("a O\n")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match="no permission to read"):
        list(read(tmp_path / "a.conll"))


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder"):
        write(tmp_path / "none" / "a.conll", [])
    with pytest.raises(DataError, match="found a folder"):
        write(tmp_path, [], format="columns")
    if Path("/dev/full").exists():
        with pytest.raises(DataError, match="/dev/full: cannot be written"):
            write("/dev/full", [Example.of(["a"])])
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="this folder cannot be made"):
        write(tmp_path / "file", [], format="threefile")


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"format": "colums"}, "unknown format 'colums'; did you mean 'columns'"),
    ({"format": "xml"}, "unknown format 'xml'"),
    ({"tag_colum": 1}, "no format has the option 'tag_colum'; did you mean 'tag_column'"),
    ({"encoding": "utf-9"}, "unknown encoding 'utf-9'"),
    ({"separator": "comma"}, "unknown separator 'comma'"),
    ({"format": "conllu", "field": "upoz"}, "unknown CoNLL-U field 'upoz'; did you mean 'upos'"),
    ({"format": "conllu", "field": "lemma:x"}, "unknown CoNLL-U field"),
    ({"format": "conllu", "columns": {"pos": 10}}, "unknown CoNLL-U field 10"),
    ({"format": "jsonl", "tokenizer": "words-9"}, "unknown tokenizer 'words-9'; did you mean 'words-1'"),
    ({"format": "labeled"}, "unknown format 'labeled'; did you mean 'labelled'"),
    ({"format": "jsonl", "misaligned": "guess"}, "unknown policy misaligned='guess'"),
    ({"format": "jsonl", "scheme": "BIOZ"}, "BIOZ"),
    ({"format": "jsonl", "columns": {"pos": 1}}, "expected the key of the further input 'pos'"),
    ({"format": "jsonl", "columns": {"tokens": "x"}}, "cannot be called 'tokens'"),
]


@pytest.mark.parametrize(("options", "words"), OPTIONS, ids=[words for _, words in OPTIONS])
@pytest.mark.parametrize("reader", [read, read_verbatim])
def test_options_that_there_are_not(options: dict[str, Any], words: str, reader: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a O\n")
    with pytest.raises(ConfigError) as caught:
        list(reader(tmp_path / "a", **options))
    assert words in str(caught.value)


shreds = st.sampled_from(
    [b"a", b"#", b"\t", b" ", b"\n", b"\r\n", b"O", b"-DOCSTART-", b"=", b"1", b"_", b"{", b'"tokens": [', b"]", b"}"]
) | st.sampled_from([b"label", b"text", b"label\ttext\n"])


@settings(max_examples=200)
@given(st.binary(max_size=40) | st.lists(shreds, max_size=25).map(b"".join), st.sampled_from(["", "\xef\xbb\xbf"]))
def test_any_bytes_are_read_whole_or_refused_with_a_sentence(content: bytes, mark: str) -> None:
    content = mark.encode("latin-1") + content
    detect_format(io.BytesIO(content))
    for format in ("columns", "conllu", "jsonl"):
        try:
            blocks = list(read_verbatim(io.BytesIO(content), format))
        except StructseqError as error:
            assert str(error).startswith("<stream>")
        else:
            if content[:2] != b"\x1f\x8b":
                assert "".join(block.text for block in blocks).encode() == content
            for one in (block.example for block in blocks):
                assert one is None or "tags" not in one.targets or len(one.tags) == len(one)
    try:
        examples = list(read(io.BytesIO(content), "labelled"))
    except StructseqError as error:
        assert str(error).startswith("<stream>")
    else:
        assert all(one.metadata["label"] and one.metadata.keys() >= {"label", "text"} for one in examples)


def test_every_format_is_tested_here() -> None:
    assert set(FORMATS) == {
        "columns",
        "conllu",
        "jsonl",
        "threefile",
        "labelled",
        "pairs",
        "audio",
        "text",
        "csv",
        "parquet",
        *DOCUMENT_FORMATS,
    }
