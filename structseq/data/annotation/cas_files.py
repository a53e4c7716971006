"""Files of UIMA CAS XMI: an XMI with the type system beside it, a folder or a zip of these."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from xml.parsers import expat

from structseq.data.annotation.document_folders import members, read_bytes, single, write_bytes, write_folder
from structseq.data.textfile import Source, Target, is_path, name_of
from structseq.errors import DataError

MAX_MEMBER = 200_000_000  # bytes of a file in a zip
TYPES = "TypeSystem.xml"
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

    Raises `DataError` if a file is missing, damaged, too large or has a document type declaration.
    """
    if is_path(source) and Path(source).is_dir():  # type: ignore[arg-type]
        for path in members(Path(source), ".xmi"):  # type: ignore[arg-type]
            yield from read_files(path)
        return
    name, data = name_of(source), read_bytes(source)
    if data.startswith(_ZIP):
        yield from _zipped(data, name)
    else:
        check_xml(data, name, root="XMI")
        types = _types_beside(Path(name)) if is_path(source) else None
        if types is None:
            advice = f"put {TYPES} beside the XMI, or both in a zip"
            raise DataError(f"expected the type system of an XMI, found none; {advice}", file=name)
        yield CasFile(name, data, types)


def _types_beside(path: Path) -> bytes | None:
    for name in (f"{path.stem}.{TYPES}", TYPES, TYPES.lower()):
        beside = path.with_name(name)
        if beside.is_file():
            data = read_bytes(beside)
            check_xml(data, str(beside))
            return data
    return None


def _zipped(data: bytes, name: str) -> Iterator[CasFile]:
    try:
        archive = zipfile.ZipFile(BytesIO(data))
        members = {member.filename: member for member in archive.infolist() if "__MACOSX" not in member.filename}
    except _DAMAGED as error:
        raise DataError(f"the zip is damaged or cut off ({error}); export it again", file=name) from None
    lower = {member.lower(): member for member in members}
    found = [member for member in members if member.lower().endswith(".xmi")]
    if not found:
        raise DataError(f"expected a zip with an .xmi file and {TYPES}, found {', '.join(members)[:80]!r}", file=name)
    for member in found:
        path = PurePosixPath(member.lower())
        beside = [str(path.with_name(each.lower())) for each in (f"{path.stem}.{TYPES}", TYPES)]
        types = next((lower[each] for each in beside if each in lower), None)
        if types is None:
            raise DataError(f"expected {TYPES} beside {member} in the zip, found none; add it", file=name)
        xmi = _member(archive, members[member], name, root="XMI")
        yield CasFile(f"{name}/{member}", xmi, _member(archive, members[types], name))


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, root: str = "") -> bytes:
    where = f"{name}/{member.filename}"
    if member.file_size > MAX_MEMBER:
        message = f"expected a file of at most {MAX_MEMBER:,} bytes, found {member.file_size:,}; unpack the zip"
        raise DataError(message, file=where)
    try:
        data = archive.read(member)
    except _DAMAGED as error:
        raise DataError(f"cannot be read from the zip ({error}); export it again", file=where) from None
    check_xml(data, where, root=root)
    return data


def check_xml(data: bytes, name: str, *, root: str = "") -> None:
    """Raises `DataError` for bad XML, a document type declaration, another root or an id given twice."""
    parser = expat.ParserCreate()
    ids: set[str] = set()

    def declared(*_: object) -> None:
        raise DataError("expected XML without a DOCTYPE, found one; remove it", file=name)

    def started(tag: str, attributes: Mapping[str, str]) -> None:
        if root and not ids and tag.rpartition(":")[2] != root:
            raise DataError(f"expected the root <xmi:{root}>, found <{tag[:60]}>; export UIMA CAS XMI", file=name)
        number = attributes.get("xmi:id") if ids else "the root"
        if number in ids:
            message = f"expected each xmi:id once, found {number!r:.60} again; correct one of them"
            raise DataError(message, file=name, line=parser.CurrentLineNumber)
        if number is not None:
            ids.add(number)

    parser.StartDoctypeDeclHandler, parser.StartElementHandler = declared, started
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        message = f"expected XML, found bytes that are none ({error}); export the file again"
        raise DataError(message, file=name, line=parser.CurrentLineNumber) from None


def write_files(target: Target, xmis: Sequence[bytes], types: bytes) -> None:
    """Writes one ``.xmi`` with its type system beside it; or all to a zip (also on a stream) or a new folder."""
    numbered = {f"{number:04}.xmi": xmi for number, xmi in enumerate(xmis, 1)}
    path = Path(name_of(target))
    if not is_path(target) or path.suffix == ".zip":
        write_bytes(target, _zip(numbered, types))
    elif path.suffix == ".xmi":
        xmi = single(xmis, os.fspath(path))
        write_bytes(path.with_name(f"{path.stem}.{TYPES}"), types)
        write_bytes(path, xmi)
    else:
        write_folder(path, {TYPES: types, **numbered})


def _zip(files: dict[str, bytes], types: bytes) -> bytes:
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**files, TYPES: types}.items():
            # Without a time, the same content gives the same bytes
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return content.getvalue()
