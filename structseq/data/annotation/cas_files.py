"""Files of UIMA CAS XMI: an XMI with the type system beside it, a folder or a zip of these."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from structseq.data.annotation.document_folders import members, read_bytes, single, write_bytes, write_folder
from structseq.data.textfile import Source, Target, is_path, name_of
from structseq.errors import DataError

TYPES = "TypeSystem.xml"
_LARGEST = 1 << 30  # bytes of an unpacked member
_ZIP = b"PK\x03\x04"
_DAMAGED = (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError, ValueError)


class CasFile(NamedTuple):
    name: str
    xmi: bytes
    types: bytes  # the type system


def is_cas(first: bytes) -> bool:
    """Whether a file that begins like this is an XMI, or a zip of an XMI or a type system."""
    if first.startswith(_ZIP):
        return b".xmi" in first or TYPES.lower().encode() in first.lower()
    opens = first.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"
    return opens and any(mark in first for mark in (b"http://www.omg.org/XMI", b"<xmi:XMI"))


def read_files(source: Source) -> Iterator[CasFile]:
    """The XMI files of a path, folder, zip or stream of a zip, with their type systems; no file declares entities.

    Raises `DataError` if a file is missing, damaged or has a document type declaration.
    """
    name = name_of(source)
    if is_path(source) and os.path.isdir(name):
        for path in members(Path(name), ".xmi"):
            yield from read_files(path)
        return
    data = read_bytes(source)
    if data.startswith(_ZIP):
        yield from _zipped(data, name)
        return
    beside = [each for each in _beside(name) if is_path(source) and os.path.isfile(each)]
    yield _checked(name, data, read_bytes(beside[0]) if beside else None)


def _beside(name: str) -> list[str]:
    """Where the type system of an XMI may be."""
    path = Path(name)
    return [path.with_name(each).as_posix() for each in (f"{path.stem}.{TYPES}", TYPES, TYPES.lower())]


def _zipped(data: bytes, name: str) -> Iterator[CasFile]:
    try:
        archive = zipfile.ZipFile(BytesIO(data))
        names = [each for each in archive.namelist() if "__MACOSX" not in each]
        found = [each for each in names if each.lower().endswith(".xmi")]
        if not found:
            listed = ", ".join(names)[:80]
            raise DataError(f"expected a zip with an .xmi file and {TYPES}, found {listed!r}", file=name)
        for each in found:
            beside = [other for other in _beside(each) if other in names]
            for member in (each, *beside[:1]):
                if (size := archive.getinfo(member).file_size) > _LARGEST:
                    message = f"expected members of at most {_LARGEST:,} bytes, found {member} of {size:,} bytes"
                    raise DataError(f"{message}; unpack the zip", file=name)
            types = archive.read(beside[0]) if beside else None
            yield _checked(f"{name}/{each}", archive.read(each), types)
    except DataError:
        raise
    except _DAMAGED as error:
        raise DataError(f"the zip is damaged or cut off ({error}); export it again", file=name) from None


def _checked(name: str, xmi: bytes, types: bytes | None) -> CasFile:
    if types is None:
        message = f"expected the type system of an XMI, found none; put {TYPES} beside the XMI, or both in a zip"
        raise DataError(message, file=name)
    _check_xml(xmi, name)
    _check_xml(types, f"{TYPES} of {name}")
    return CasFile(name, xmi, types)


def _check_xml(data: bytes, name: str) -> None:
    """Raises `DataError` for bad XML and a document type declaration."""
    parser = expat.ParserCreate()

    def declared(*_: object) -> None:
        raise DataError("expected XML without a DOCTYPE, found one; remove it", file=name)

    parser.StartDoctypeDeclHandler = declared
    try:
        parser.Parse(data, True)
    except DataError:
        raise
    except (expat.ExpatError, ValueError, LookupError) as error:
        message = f"expected XML, found bytes that are none ({error}); export the file again"
        raise DataError(message, file=name, line=parser.CurrentLineNumber) from None


def write_files(target: Target, xmis: Sequence[bytes], types: bytes) -> None:
    """Writes one ``.xmi`` with its type system beside it; or all to a zip (also on a stream) or a new folder."""
    files = {TYPES: types, **{f"{number:04}.xmi": xmi for number, xmi in enumerate(xmis, 1)}}
    path = Path(name_of(target))
    if not is_path(target) or path.suffix == ".zip":
        write_bytes(target, _zip(files))
    elif path.suffix == ".xmi":
        xmi = single(xmis, os.fspath(path))
        write_bytes(path.with_name(f"{path.stem}.{TYPES}"), types)
        write_bytes(path, xmi)
    else:
        write_folder(path, files)


def _zip(files: dict[str, bytes]) -> bytes:
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            # Without a time, the same content gives the same bytes
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return content.getvalue()
