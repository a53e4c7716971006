"""Text files: exact lines of plain or gzip files, and files that are replaced only as a whole."""

from __future__ import annotations

import codecs
import errno
import gzip
import io
import os
import re
import zlib
from collections.abc import Collection, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from structseq.data.file_signatures import kind_of
from structseq.errors import ConfigError, DataError
from structseq.files import new_file

Source = str | os.PathLike[str] | BinaryIO
Target = str | os.PathLike[str] | BinaryIO

BOM = "\ufeff"
CHUNK = 1 << 20
GZIP = b"\x1f\x8b"
# Most bytes of a line, and of a JSON document, which may be one line
LONGEST_LINE, LONGEST_DOCUMENT = 64 << 20, 1 << 30
# Most characters of a quotation from a file, and of a message
QUOTED, MESSAGE = 80, 2000

# Longer marks first: those of utf-32 begin like those of utf-16
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

# Half of a surrogate pair, written as if it were a character of UTF-8
_HALF_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
# Bytes of no letter in latin-1, and runs that no European word has
_NOT_LATIN = re.compile(rb"[\x80-\x9f]|[\xa0-\xff]{4}")


def one_line(message: str) -> str:
    """The message on one line, with control characters escaped."""
    flat = " ".join(message.split())
    return flat if flat.isprintable() else _escaped(flat)


def _escaped(line: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line)


def shown(text: str, width: int = QUOTED) -> str:
    """`one_line` of at most ``width`` characters; of a longer one its beginning and its end.

    >>> shown("0123456789", 7)
    '012 … 9'
    """
    line = one_line(text if len(text) <= 2 * width else f"{text[:width]}{text[-width:]}")
    if len(line) <= width and len(text) <= 2 * width:
        return line
    end = (width - 3) // 4
    return f"{line[: width - 3 - end]} … {line[len(line) - end :]}"


def visible(text: str) -> str:
    """The text with control characters escaped, but for line ends; for a terminal."""
    return "\n".join(line if line.isprintable() else _escaped(line) for line in text.split("\n"))


def write_error(problem: OSError) -> str:
    """Why a file cannot be written, and what to do about a full disk."""
    if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "cannot be written, the disk is full; free some space"
    return f"cannot be written ({problem.strerror or problem})"


def is_path(source: object) -> bool:
    return isinstance(source, str | os.PathLike)


def name_of(source: Source) -> str:
    """The source's name for messages: its path, or the stream's name (``<stdin>``)."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) and name else "<stream>"


@contextmanager
def open_binary(source: Source) -> Iterator[BinaryIO]:
    """The bytes of a path or a binary stream, decompressed if they are gzip.

    A stream stays open. Raises `DataError` if the file does not exist, cannot be read or is a folder.
    """
    with ExitStack() as stack:
        if isinstance(source, str | os.PathLike):
            peekable = stack.enter_context(_open(Path(source)))
        elif isinstance(source, io.TextIOBase) or not hasattr(source, "read"):
            raise DataError(f"expected a path or a file opened in binary mode, found {type(source).__name__}")
        elif isinstance(source, io.BufferedReader):
            peekable = source
        else:
            peekable = io.BufferedReader(source)  # type: ignore[arg-type]
            stack.callback(peekable.detach)
        if peekable.peek(2)[:2] == GZIP:
            yield stack.enter_context(gzip.GzipFile(fileobj=peekable))  # type: ignore[misc]
        else:
            yield peekable


def _open(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError):  # a NUL in the name
            why = f"no file can have this name ({error})"
        elif isinstance(error, FileNotFoundError):
            why = "there is no such file"
        elif isinstance(error, IsADirectoryError) or path.is_dir():
            why = "expected a file, found a folder; name the file in it"
        elif isinstance(error, PermissionError):
            why = "no permission to read this file"
        else:
            why = f"cannot be opened ({error.strerror or error})"
        raise DataError(why, file=path) from None


def decoder_of(encoding: str) -> codecs.IncrementalDecoder:
    """A strict decoder; raises `ConfigError` for a name that is not an encoding of text."""
    try:
        with suppress(UnicodeDecodeError):  # one byte may be too few
            b"a".decode(encoding)
        return codecs.getincrementaldecoder(encoding)("strict")
    except (LookupError, ValueError):  # of bytes to bytes, such as hex; "undefined"; a NUL in the name
        name = repr(shown(encoding))
        raise ConfigError(f"unknown encoding {name}; use a name Python knows, such as utf-8 or latin-1") from None


def text_lines(source: Source, *, encoding: str = "utf-8") -> Iterator[str]:
    """The lines without endings and byte order mark; raises as `read_lines` does."""
    for number, line in enumerate(read_lines(source, encoding=encoding)):
        yield line.rstrip("\r\n").removeprefix(BOM if number == 0 else "")


def header_names(line: str, known: Collection[str]) -> tuple[str, ...]:
    """The tab-separated fields of a line; names in ``known`` are lowercased."""
    fields = line.rstrip("\r\n").split("\t")
    return tuple([field.lower() if field.lower() in known else field for field in fields])


def read_lines(source: Source, *, encoding: str = "utf-8", longest: int | None = None) -> Generator[str, None, None]:
    r"""Yields each line with its ending, ``\n`` or ``\r\n``; a byte order mark stays in line 1.

    Raises `DataError` with file and line if bytes do not fit the encoding, or a line has more than ``longest`` bytes
    (None: `LONGEST_LINE`); with the file for damaged gzip data, a recording or an archive.
    """
    decoder, name, longest = decoder_of(encoding), name_of(source), longest or LONGEST_LINE
    done, pending = 0, ""  # number of lines yielded; the start of the next one
    held = 0  # bytes of ``pending``
    fits = False  # whether text beyond ASCII was decoded
    with open_binary(source) as stream:
        for number, (chunk, last) in enumerate(_chunks(stream, name)):
            if number == 0 and (kind := kind_of(chunk)):
                raise DataError(f"expected a text file, found {kind.name}; {kind.as_text}", file=name)
            state = decoder.getstate()
            try:
                text = decoder.decode(chunk, last)
            except UnicodeDecodeError as error:
                decoder.setstate(state)
                with suppress(UnicodeDecodeError):
                    done += decoder.decode(chunk[: max(error.start - len(state[0]), 0)]).count("\n")
                raise _undecodable(error, state[0] + chunk, name, done + 1, encoding, fits) from None
            except (UnicodeError, ValueError) as error:  # of codecs that name no byte
                raise DataError(_no_text(encoding, error), file=name, line=done + 1) from None
            fits = fits or not text.isascii()
            if "\n" not in text and not last:
                pending, held = pending + text, held + len(chunk)
                if held > longest:
                    raise line_too_long(name, done + 1, longest)
                continue
            held = 0
            lines = io.StringIO(pending + text, newline="\n").readlines()
            pending = lines.pop() if not last and lines and not lines[-1].endswith("\n") else ""
            yield from lines
            done += len(lines)


def line_too_long(name: str | Path, line: int, longest: int) -> DataError:
    message = f"expected a line of at most {longest >> 20} MiB, found a longer one; end the lines of the file by \\n"
    return DataError(message, file=name, line=line)


def _no_text(encoding: str, error: Exception) -> str:
    known, advice = codecs.lookup(encoding).name, "name the file's encoding"
    if known in ("utf-16", "utf-32"):
        advice = f"the file has no byte order mark: use encoding='{known}-le' (or --set data.encoding={known}-le)"
    return f"expected {encoding} text, found an error ({shown(str(error))}); {advice}"


def _chunks(stream: BinaryIO, name: str) -> Iterator[tuple[bytes, bool]]:
    """Pieces of the file; the last one is empty and marked True."""
    while True:
        try:
            chunk = stream.read1(CHUNK) if hasattr(stream, "read1") else stream.read(CHUNK)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise damaged_gzip(name, error) from None
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror or error})", file=name) from None
        yield chunk, not chunk
        if not chunk:
            return


def damaged_gzip(name: str, error: Exception) -> DataError:
    message = f"the gzip data is damaged or cut off ({error}); download or compress the file again"
    return DataError(message, file=name)


def _undecodable(error: UnicodeDecodeError, data: bytes, name: str, line: int, encoding: str, fits: bool) -> DataError:
    """``data`` are the bytes around the error; ``fits`` says that text beyond ASCII came before them."""
    found = f"byte 0x{error.object[error.start]:02x}" if error.start < len(error.object) else "an unfinished character"
    mark = next((known for known in _MARKS if line == 1 and not error.start and error.object.startswith(known)), None)
    whole = data if data.find(b"\n", error.start) < 0 else data[: data.rfind(b"\n")]  # the last line may be cut
    advice = _use(_MARKS[mark], "its byte order mark says") if mark else _encoding_advice(whole, encoding, fits)
    return DataError(f"expected {encoding} text, found {found} ({error.reason}); {advice}", file=name, line=line)


def _use(encoding: str, why: str) -> str:
    return f"{why} {encoding}: use encoding={encoding!r} (or --set data.encoding={encoding})"


def _encoding_advice(data: bytes, encoding: str, fits: bool) -> str:
    lines = [line for line in data.split(b"\n") if not line.isascii()]
    good = sum(map(_is_utf8, lines))
    bad = len(lines) - good
    if codecs.lookup(encoding).name not in ("utf-8", "utf-8-sig"):
        if good > bad:
            return _use("utf-8", "its bytes look like")
    elif fits or good >= max(bad, 1) or _HALF_SURROGATE.search(data):
        if bad > 1:
            return f"the file is UTF-8 but for {bad} lines or more, of which this is the first: correct or remove them"
        return "the file is UTF-8 but for this line: correct the line or remove it"
    elif not good and not _NOT_LATIN.search(data):
        return "name the file's encoding, such as encoding='latin-1' (or --set data.encoding=latin-1)"
    names = "such as cp1252, gb18030 or shift_jis"
    return f"name the file's encoding with encoding=NAME (or --set data.encoding=NAME), {names}"


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def peek(source: Source, size: int = 1 << 16) -> bytes:
    """The first bytes of a file, decompressed."""
    with open_binary(source) as stream:
        pieces = b""
        for chunk, last in _chunks(stream, name_of(source)):
            pieces += chunk
            if last or len(pieces) >= size:
                break
    return pieces[:size]


def peekable(stream: BinaryIO, size: int = 1 << 16) -> BinaryIO:
    """The stream, decompressed, such that its ``peek`` returns the first ``size`` bytes."""
    first, name = b"", name_of(stream)
    for chunk, last in _chunks(stream, name):
        first += chunk
        if last or len(first) >= size:
            break
    whole = io.BufferedReader(_Rejoined(first, stream, name), max(len(first), io.DEFAULT_BUFFER_SIZE))
    return peekable(gzip.GzipFile(fileobj=whole), size) if first[:2] == GZIP else whole  # type: ignore[arg-type]


class _Rejoined(io.RawIOBase):
    """Bytes that were read from a stream, then the rest of the stream."""

    def __init__(self, first: bytes, rest: BinaryIO, name: str) -> None:
        self._first, self._rest, self.name = first, rest, name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._first or self._rest.read(len(buffer))
        size = min(len(data), len(buffer))
        buffer[:size] = data[:size]
        self._first = data[size:]
        return size


@contextmanager
def open_writer(target: Target, *, encoding: str = "utf-8") -> Iterator[TextIO]:
    """A text file to write, with gzip if its name ends in ``.gz``; a stream is written to directly and stays open.

    A file is replaced only if the block ends without an error. Raises `DataError` if the encoding cannot represent the
    text or the file cannot be written.
    """
    decoder_of(encoding)
    try:
        with ExitStack() as stack:
            stream = stack.enter_context(atomic_write(target)) if isinstance(target, str | os.PathLike) else target
            if isinstance(target, str | os.PathLike) and os.fspath(target).endswith(".gz"):
                # Without a name and a time, the same content gives the same bytes
                compressed = gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0)
                stream = stack.enter_context(compressed)  # type: ignore[assignment]
            if isinstance(stream, io.RawIOBase):  # as of PYTHONUNBUFFERED: may write only a part
                stream = io.BufferedWriter(stream)
                stack.callback(stream.detach)
            text = io.TextIOWrapper(stream, encoding=encoding, newline="")
            try:
                yield text
                text.flush()
            finally:
                text.detach()
    except UnicodeEncodeError as error:
        bad = error.object[error.start]
        message = f"{encoding} cannot hold the character {bad!a}; write the file in utf-8, and correct half surrogates"
        raise DataError(message, file=name_of(target)) from None


@contextmanager
def atomic_write(target: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file that replaces the target if the block ends without an error."""
    path = Path(target)
    if path.is_dir():
        raise DataError("expected a file to write to, found a folder", file=os.fspath(target))
    try:
        if path.exists() and not path.is_file():  # /dev/null and pipes must not be replaced
            with path.open("wb") as device:
                yield device
        else:
            with new_file(path) as stream:
                yield stream
    except OSError as error:
        none = "cannot be written (there is no such folder)"
        why = none if isinstance(error, FileNotFoundError) else write_error(error)
        raise DataError(why, file=os.fspath(target)) from None
