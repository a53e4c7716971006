"""Files to tag: lines that are rows, lines that are texts, and lines that may be both."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from structseq.data.formats import read
from structseq.data.options import DataOptions
from structseq.data.reading import tagger_format
from structseq.data.textfile import peekable, read_lines
from structseq.errors import DataError

PROSE = "Anna lives in Oslo.\nShe sells books there.\nBob, whom nobody knows, came to see her in May.\nHe left.\n"


def found(path: Path, content: str, encoding: str = "utf-8") -> str:
    """The format, the same from the file and from a stream."""
    path.write_bytes(content.encode(encoding))
    data = DataOptions(encoding=encoding)
    of_file = tagger_format(path, data)
    if path.suffix == ".txt":
        assert tagger_format(peekable(io.BytesIO(path.read_bytes())), data) == of_file
    return of_file


@pytest.mark.parametrize(
    "content",
    [
        "Anna\nsleeps\n", "Anna\n\nBob\n", "Anna\tNNP\nsleeps\tVB\n", "Anna\t\nsleeps\tVB\n",
        "Anna NNP\nsleeps VB\n\nBob NNP\n", "",
        "# id = 1\nAnna NNP\n", "# a remark\nAnna NNP\n", "-DOCSTART-\n\nAnna NNP O\n", "New York\tB\n\nRome\tB\n",
        "#begin document (a); part 000\nAnna NNP\nsleeps VB\n", "台北\n很\n好\n。\n",
        "\n\nAnna NNP\r\nhas VB\r\n\r\nBob NNP\r\n",
        "Anna NNP\nsleeps VB\n\n" * 9000,
    ],
)  # fmt: skip
def test_rows(tmp_path: Path, content: str) -> None:
    assert found(tmp_path / "a.txt", content) == "columns"


@pytest.mark.parametrize("content", [PROSE, PROSE.replace("\n", "\n\n"), f"# Anna\n\n{PROSE}", PROSE * 2000])
def test_texts(tmp_path: Path, content: str) -> None:
    assert found(tmp_path / "a.txt", content) == "text"
    assert found(tmp_path / "b.txt", content, "utf-16") == "text"


@pytest.mark.parametrize(
    "content",
    [
        "Anna lives in Oslo\n", "Anna lives in Oslo\nBob lives in Rome\n",
        "Anna lives in Oslo\nBob lives in Rome\n\n\n",
        "Anna sleeps\n\n\n", "1\tAnna sleeps\n2\tBob sleeps\n", "Anna NNP O\nsleeps VB O\nwell RB\n",
        "#hello dear friends\n", "安娜住在奥斯陆。\n她卖书。\n", "แอนนาอาศัยอยู่ในออสโลและขายหนังสือ\n",
    ],
)  # fmt: skip
def test_both(tmp_path: Path, content: str) -> None:
    file = tmp_path / "a.txt"
    with pytest.raises(DataError, match=r"a\.txt: .*--format text.*--format conll"):
        found(file, content)
    for name in ("a.conll", "a.BIO", "a.iob", "a.conll.gz"):
        assert found(tmp_path / name, content) == "columns"


@pytest.mark.parametrize(
    "content",
    [
        "Anna\tB\nsleeps\nthere\tO\n",
        "Anna B\nsleeps\nthere O\n\nBob B\nhas O\n",
        "Anna\nsleeps\nNew York\n\nBob\nhas\n",
    ],
)
def test_rows_with_a_mistake_stay_rows_so_that_the_line_is_named(tmp_path: Path, content: str) -> None:
    assert found(tmp_path / "a.txt", content) == "columns"
    with pytest.raises(DataError, match=r"a\.txt:[23]: "):
        list(read(tmp_path / "a.txt", tags=False))


def test_a_peekable_stream_loses_nothing() -> None:
    for size in (0, 1, 8191, 65536, 200_001, 3_000_000):
        content = b"0123456\n" * (size // 8) + b"x" * (size % 8)
        stream = peekable(io.BytesIO(content))
        assert stream.peek() == stream.peek() and len(stream.peek()) >= min(size, 65536)
        assert "".join(read_lines(stream)).encode() == content
