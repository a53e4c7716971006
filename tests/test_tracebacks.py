"""What can be wrong with input ends in one sentence, without a traceback or raw control characters."""

from __future__ import annotations

import gzip
import io
import json
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
from commandline import call, columns, sentences

from structseq.cli.entrypoint import remark
from structseq.data.columns import read_columns
from structseq.data.formats import read
from structseq.data.textfile import LONGEST_LINE, atomic_write, one_line, open_writer, read_lines, shown
from structseq.errors import DataError
from structseq.features.vectors import read_vectors

SPAM = "\x1b]0;title\x07\x1b[31m\x9b2J\u202e"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile.healthy(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.conll"
    path.write_text(columns(sentences(4)), encoding="utf-8")
    return path


# -- encodings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding", ["undefined", "rot13", "hex", "utf-8\0", "a\0b", "", "no such", "\ud800", "x" * 10**5]
)
@pytest.mark.parametrize("command", ["tag", "check", "evaluate"])
def test_what_is_no_encoding(
    encoding: str, command: str, model: Path, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [command, *([] if command == "check" else [model]), rows, "--set", f"data.encoding={encoding}"]
    done = call(capsys, *words)
    assert done.status == 2 and "encoding" in done.sentence and len(done.sentence) < 400


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "idna", "punycode", "utf-7", "utf-16-le"])
def test_text_that_is_not_of_its_encoding(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"xn--\x80 \xff" + b"a" * 99 + b"\n")
    with pytest.raises(DataError, match=r"text\.txt:1: expected .* text"):
        list(read_lines(path, encoding=encoding))


def test_utf_16_without_a_mark(rows: Path, capsys: pytest.CaptureFixture[str], model: Path) -> None:
    rows.write_bytes(columns(sentences(2)).encode("utf-16-le"))
    done = call(capsys, "tag", model, rows, "--set", "data.encoding=utf-16")
    assert done.status == 2 and "utf-16-le" in done.sentence


# -- columns ----------------------------------------------------------------------------------------------------------


def test_a_further_column_may_be_named_by_the_header() -> None:
    text = b"form\tpos\tner\nto\tP\tO\nTaipei\tN\tB-city\n"
    (example,) = read_columns(io.BytesIO(text), columns={"part": "POS"})
    assert example.inputs["part"] == ("P", "N")


@pytest.mark.parametrize("command", ["tag", "check", "train"])
def test_a_further_column_that_is_a_word(
    command: str, model: Path, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words: dict[str, list[object]] = {"tag": [model, rows], "check": [rows], "train": [rows, "--output", out]}
    done = call(capsys, command, *words[command], "--set", "data.columns.pos=upos")
    assert done.status == 2 and re.search("data.columns|expected a column 'upos'|model was trained", done.sentence)


# -- lines without end, vectors ---------------------------------------------------------------------------------------


class Endless(io.RawIOBase):
    """A line without an end; counts what was read of it."""

    name = "endless"

    def __init__(self, start: bytes = b"") -> None:
        self.start, self.count = start, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = self.start or b"a" * len(buffer)
        size = min(len(content), len(buffer))
        buffer[:size] = content[:size]
        self.start, self.count = self.start[size:], self.count + size
        return size


@pytest.mark.parametrize("start", [b"", b"a\tb\n" * 100_000])
def test_a_line_without_an_end(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("structseq.data.textfile.LONGEST_LINE", 1 << 20)
    stream = Endless(start)
    line = start.count(b"\n") + 1
    with pytest.raises(DataError, match=f"endless:{line}: expected a line of at most 1 MiB, found a longer one; "):
        list(read_lines(io.BufferedReader(stream)))
    assert stream.count < 4 << 20


def test_a_long_line_is_read_whole() -> None:
    assert LONGEST_LINE == 64 << 20
    text = "x" * (3 << 20)
    assert list(read_lines(io.BytesIO(f"{text}\n{text}".encode()))) == [f"{text}\n", text]


def test_a_compressed_line_without_an_end_of_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("structseq.features.vectors.LONGEST_LINE", 1 << 20)
    (tmp_path / "vectors.gz").write_bytes(gzip.compress(b"a 1 2\n" + b"1 " * (1 << 20)))
    with pytest.raises(DataError, match=r"vectors\.gz:2: expected a line of at most 1 MiB"):
        read_vectors(tmp_path / "vectors.gz")


ODD_VECTORS = [
    *(
        f"{header}\nword 1 2 3\n"
        for header in ("² 3", "3 ²", "9" * 5000 + " 3", "3 " + "9" * 5000, "٣ ٣", "3 " + "9" * 18)
    ),
    *(f"word {number} 2\n" for number in ("1\0", "1_0", "١", "0x1", "9" * 5000, "nan", "\ud800")),
]


@pytest.mark.parametrize("content", ODD_VECTORS, ids=range(len(ODD_VECTORS)))
def test_odd_numbers_of_vectors(content: str, tmp_path: Path) -> None:
    """A header that is none is a word."""
    (tmp_path / "vectors.txt").write_text(content, encoding="utf-8", errors="surrogatepass")
    try:
        _, table = read_vectors(tmp_path / "vectors.txt")
    except DataError as problem:
        assert f"{tmp_path / 'vectors.txt'}:" in str(problem) and len(str(problem)) < 400
    else:
        assert np.isfinite(table).all()


# -- damaged gzip as a stream -----------------------------------------------------------------------------------------

WHOLE = gzip.compress(columns(sentences(200)).encode(), mtime=0)
DAMAGED = {
    "cut": WHOLE[: len(WHOLE) // 2],
    "cut in the header": WHOLE[:5],
    "two bytes": WHOLE[:2],
    "changed": WHOLE[:40] + bytes(each ^ 0xFF for each in WHOLE[40:60]) + WHOLE[60:],
    "a method that does not exist": WHOLE[:2] + b"\x07" + WHOLE[3:],
    "a checksum": WHOLE[:-8] + b"\0" * 8,
    "a second member": WHOLE + b"\x1f\x8b\x08garbage",
    "nothing but zeros after the header": WHOLE[:10] + b"\xff" * 100,
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("open_as", ["bytes", "buffered", "raw", "path"])
def test_damaged_gzip_of_any_source(name: str, open_as: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.conll"
    path.write_bytes(DAMAGED[name])
    sources: dict[str, Callable[[], object]] = {
        "bytes": lambda: io.BytesIO(DAMAGED[name]),
        "buffered": lambda: path.open("rb"),
        "raw": lambda: path.open("rb", buffering=0),
        "path": lambda: path,
    }
    source = sources[open_as]()
    try:
        with pytest.raises(DataError, match="gzip"):
            list(read(source))  # type: ignore[arg-type]
    finally:
        if isinstance(source, io.IOBase):
            source.close()


# -- the three streams ------------------------------------------------------------------------------------------------

# Per line: the streams, the command line, the exit status, and what standard error says
STREAMS: dict[str, tuple[dict[int, str | None], list[str], int, str]] = {
    "output closed": ({1: None}, ["tag", "MODEL", "ROWS"], 2, "standard output is closed"),
    "output of a text closed": ({1: None}, ["tag", "MODEL", "--text", "to Taipei"], 2, "standard output is closed"),
    "output of a report closed": ({1: None}, ["evaluate", "MODEL", "ROWS"], 2, "standard output is closed"),
    "output of JSON closed": ({1: None}, ["evaluate", "MODEL", "ROWS", "--json", "-"], 2, "standard output is closed"),
    "output of a description closed": ({1: None}, ["describe", "MODEL"], 2, "standard output is closed"),
    "input closed": ({0: None}, ["tag", "MODEL", "-"], 2, "<stdin>: cannot be read"),
    "all closed, to a file": ({0: None, 1: None, 2: None}, ["tag", "MODEL", "ROWS", "-o", "OUT"], 0, ""),
    "errors closed": ({2: None}, ["tag", "MODEL", "ROWS"], 0, ""),
    "errors closed, and an error": ({2: None}, ["tag", "MODEL", "nothing"], 2, ""),
    "damaged input": ({0: "DAMAGED"}, ["tag", "MODEL", "-"], 2, "<stdin>: the gzip data is damaged"),
    "damaged input of a format": ({0: "DAMAGED"}, ["tag", "MODEL", "--format", "conll"], 2, "gzip data is damaged"),
    "full": ({1: "/dev/full"}, ["tag", "MODEL", "ROWS"], 2, "the output: cannot be written, the disk is full"),
    "full, of a text": ({1: "/dev/full"}, ["tag", "MODEL", "--text", "to Taipei"], 2, "the disk is full"),
    "full, of a report": ({1: "/dev/full"}, ["evaluate", "MODEL", "ROWS"], 2, "the disk is full"),
}  # fmt: skip

# Forks for each command line, which saves the imports; a child sees the streams as a new process does
FORKING = """
import json, os, sys
import structseq.estimator, structseq.inference.rewriting, structseq.run, structseq.storage.description
from structseq import cli

def child(streams, words, errors):
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for number, path in streams.items():
        number = int(number)
        if path is None:
            os.close(number)
        else:
            os.dup2(os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY), number)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        closed = streams.get(str(number), "") is None
        setattr(sys, name, None if closed else os.fdopen(number, mode, closefd=False))
        if not closed:
            getattr(sys, name).buffer.raw.name = f"<{name}>"
        setattr(sys, f"__{name}__", getattr(sys, name))
    status = cli.main(words)
    for stream in filter(None, (sys.__stdout__, sys.__stderr__)):  # as Python does at its end, which takes seconds here
        try:
            stream.closed or stream.flush()
        except OSError:
            status = 120
    os._exit(status)

sys.stdout.reconfigure(line_buffering=True)
work = json.loads(sys.argv[1])
for words in (work[0][1], work[2][1]):  # loads the kernels
    before, sys.stdout = sys.stdout, open(os.devnull, "w")
    assert cli.main(words) == 0
    sys.stdout = before
for n, (streams, words) in enumerate(work):
    if not (pid := os.fork()):
        child(streams, words, f"{sys.argv[2]}/{n}.err")
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_closed_and_full_streams(model: Path, rows: Path, tmp_path: Path) -> None:
    (tmp_path / "damaged.gz").write_bytes(DAMAGED["cut"])
    paths = {"MODEL": model, "ROWS": rows, "OUT": tmp_path / "out", "DAMAGED": tmp_path / "damaged.gz"}

    def named(word: str | None) -> str | None:
        return str(paths.get(word or "", word)) if word is not None else None

    work = [
        [{n: named(path) for n, path in streams.items()}, list(map(named, words))]
        for streams, words, _, _ in STREAMS.values()
    ]
    command = [sys.executable, "-c", FORKING, json.dumps(work), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [
        (name, int(status), (tmp_path / f"{n}.err").read_text(encoding="utf-8"))
        for n, (name, status) in enumerate(zip(STREAMS, done.stdout.split(), strict=True))
    ]
    for name, status, said in found:
        wanted, words = STREAMS[name][2:]
        assert (status, words in said, said.count("\n")) == (wanted, True, int(bool(words))), (name, status, said)
    assert paths["OUT"].stat().st_size > 100


# -- foreign text -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [SPAM, "x" * 77_000, "é" * 77_000, "a b " * 20_000])
def test_foreign_text_in_a_message(said: str, capsys: pytest.CaptureFixture[str]) -> None:
    remark(f"error: file: expected this, found {said}; do that")
    line = capsys.readouterr().err
    assert line.startswith("error: file: expected this, found ") and line.endswith("; do that\n")
    assert len(line) < 2100 and line[:-1].isprintable()
    assert shown(said).isprintable() and len(shown(said)) <= 80


def test_a_line_keeps_what_is_printable() -> None:
    assert one_line("a\tb\n\x1b[0mc\u202e\ud800 ü 台北") == "a b \\x1b[0mc\\u202e\\ud800 ü 台北"


# -- a full disk ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_files() -> object:
    """No file may have more than 4,000 bytes; Python is told by an error, as it is on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
    yield None
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def test_a_file_that_does_not_fit(small_files: object, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the disk is full; free some space"), atomic_write(tmp_path / "out") as stream:
        stream.write(b"x" * 100_000)
    assert not list(tmp_path.iterdir())


def test_an_unbuffered_stream_is_written_whole(tmp_path: Path) -> None:
    class Slow(io.RawIOBase):
        written = b""

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.written += bytes(data[:100])
            return min(len(data), 100)

    slow = Slow()
    with open_writer(slow) as out:  # type: ignore[arg-type]
        out.write("x" * 5000)
    assert slow.written == b"x" * 5000 and not slow.closed


def test_vectors_that_do_not_fit(
    small_files: object, model: Path, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows_before = sorted(tmp_path.iterdir())
    done = call(capsys, "embed", model, "--text", "to Taipei", "--output", tmp_path / "v.npy")
    assert done.status == 0
    text = tmp_path / "text.txt"
    text.write_text("to Taipei\n" * 300)
    done = call(capsys, "embed", model, text, "--format", "text", "--output", tmp_path / "many.npy")
    assert done.status == 2 and done.sentence.endswith("many.npy: cannot be written, the disk is full; free some space")
    assert sorted(tmp_path.iterdir()) == sorted([*rows_before, tmp_path / "v.npy", text])
