"""Opens what a person names as data, packed or not: a file, a .gz, a .zip with several.

Archives are read as streams, so a member's name cannot lead anywhere, and what they unpack to is bounded.
"""

import gzip
import io
import lzma
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from studio import words
from studio.data.files import DOCUMENT_EXTENSIONS, ROW_EXTENSIONS
from studio.data.kinds import HEAD_BYTES, in_words, kind_of, refuse_tar, suffix, usual
from studio.errors import DataError

# read by `reader_process`, which needs real files
APART_EXTENSIONS = (".parquet", ".arrow", ".pdf", ".docx")
# deflate cannot pack tighter than 1,032 to 1; rows of text seldom reach 30 to 1
UNPACKED_RATIO = 250
UNPACKED_ALWAYS_BYTES = 64_000_000
# what is read apart lies on the disk meanwhile; columns are packed already, and an archive makes them little smaller
UNPACKED_APART_RATIO, UNPACKED_APART_BYTES = 4, 256_000_000
PIECE_BYTES = 1_000_000
MEMBERS = 10_000
# zipfile unpacks other kinds without a bound on what comes out at once
UNPACKED_IN_PIECES = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

# what damaged bytes make of zipfile, gzip and zlib
UNPACKING_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, OverflowError,
                    NotImplementedError, RuntimeError, struct.error, IndexError, KeyError)

Report = Callable[[str, str, str], None]


@dataclass
class Part:
    """One file of rows: the name people know it by, what its content is, its bytes, and how many those are packed.

    `position` says how many of the `size` packed bytes are read, for progress. `path` is set for files that are not
    packed.
    """

    name: str
    extension: str
    stream: BinaryIO
    size: int
    position: Callable[[], int]
    path: Path | None = None


class Bounded(io.RawIOBase):
    """A stream of unpacked bytes that ends with a `DataError` once it gives more than any honest archive would.

    What came before a fault is given first; the read after it raises.
    """

    def __init__(self, stream: gzip.GzipFile | zipfile.ZipExtFile, name: str, budget: list[int]):
        self._stream, self._name, self._budget = stream, name, budget
        self._failure: DataError | None = None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes. Raises `DataError` for a bomb, a broken archive or one that ends early."""
        pieces, wanted = [], size if size >= 0 else self._budget[0] + 1
        while wanted > 0 and self._failure is None and (piece := self._piece(min(wanted, PIECE_BYTES))):
            pieces.append(piece)
            wanted -= len(piece)
        if self._failure is not None and not pieces:
            raise self._failure
        return b"".join(pieces)

    def _piece(self, size: int) -> bytes:
        try:
            data = self._stream.read1(size)
        except EOFError:
            self._failure = DataError(f"{self._name} ends in the middle: the archive was cut off.",
                                      "Pack or upload it again.")
            return b""
        except UNPACKING_ERRORS as error:
            self._failure = DataError(f"{self._name} is a broken archive: {_reason(error)}.", "Pack it again.")
            return b""
        self._budget[0] -= len(data)
        if self._budget[0] < 0:
            self._failure = DataError(
                f"{self._name} unpacks to far more than rows of text would: it may be a bomb.",
                "Unpack it yourself and name the files in it.")
            return b""
        return data


def open_parts(path: Path, skipped: Report) -> Iterator[Part]:
    """The files of rows in `path`, one after the other; each is read before the next is asked for.

    `skipped(name of the problem, file, detail)` is told of what is left out. Raises `DataError` for a missing, empty or
    foreign file.
    """
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder.", "Name one file in it.")
        size = path.stat().st_size
        if not path.is_file():
            raise DataError(f"{path} is not a file.", "Name a file with rows in it.")
        if size == 0:
            raise DataError(f"{path.name} is empty.", "Choose a file with rows in it.")
        with open(path, "rb") as file:
            yield from _open(path.name, file, size, skipped)
    except (FileNotFoundError, ValueError):
        raise DataError(f"There is no file {path}.", "Check the name and the folder.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.", "Check its permissions.") from None


def _open(name: str, file: BinaryIO, size: int, skipped: Report) -> Iterator[Part]:
    head = file.read(HEAD_BYTES)
    file.seek(0)
    extension = kind_of(name, head)
    _compare(name, extension, skipped)
    if extension == ".zip":
        yield from _members(name, file, size, skipped)
    elif extension == ".gz":
        yield _unzipped(name, file, size, skipped)
    else:
        yield Part(name, extension, file, size, file.tell, Path(file.name))


def _compare(name: str, extension: str, skipped: Report) -> None:
    if usual(suffix(name)) != extension:
        skipped("wrong_extension", name, f"it holds {in_words(extension)}")


def unpacked_limit(size: int) -> int:
    """How many bytes a packed file of `size` bytes may unpack to."""
    return max(UNPACKED_ALWAYS_BYTES, UNPACKED_RATIO * size)


def _budget(size: int) -> list[int]:
    return [unpacked_limit(size)]


def _unzipped(name: str, file: BinaryIO, size: int, skipped: Report) -> Part:
    inner = name[:-3] if suffix(name) == ".gz" else name
    head = Bounded(gzip.GzipFile(fileobj=file), name, _budget(size)).read(HEAD_BYTES)
    file.seek(0)
    refuse_tar(name, head)
    is_named = suffix(inner) in (*ROW_EXTENSIONS, *DOCUMENT_EXTENSIONS)
    extension = kind_of(inner if is_named else f"{inner}.jsonl", head)
    if extension in (".zip", ".gz"):
        raise DataError(f"{name} is an archive in an archive.", "Unpack it once and name the inner file.")
    if is_named:
        _compare(inner, extension, skipped)
    elif suffix(name) == ".gz":
        skipped("wrong_extension", name,
                f"the name does not say what is packed in it, so it is read as {in_words(extension)}")
    return _part(name, extension, gzip.GzipFile(fileobj=file), size, _budget(size), file.tell)


def _members(name: str, file: BinaryIO, size: int, skipped: Report) -> Iterator[Part]:
    """The files in a ZIP archive. Raises `DataError` where none of those in it can be read."""
    left_out: list[str] = []

    def leave_out(problem: str, member: str, detail: str) -> None:
        if problem == "archive_member":
            left_out.append(detail if detail.startswith(member) else f"{member}: {detail}")
        skipped(problem, member, detail)

    some = False
    for part in _each_member(name, file, size, leave_out):
        some = True
        yield part
    if left_out and not some:
        raise DataError(f"{name} holds no file that can be read. {left_out[0].rstrip('.')}.",
                        "Pack the files of rows again as an ordinary ZIP.")


def _each_member(name: str, file: BinaryIO, size: int, skipped: Report) -> Iterator[Part]:
    try:
        archive = zipfile.ZipFile(file)
        members = archive.infolist()
    except UNPACKING_ERRORS as error:
        raise DataError(f"{name} is not a readable ZIP archive: {_reason(error)}.", "Pack it again.") from None
    if any(member.filename == "[Content_Types].xml" for member in members):
        raise DataError(f"{name} is an Office document.", "Save a sheet as CSV; a text must be named .docx.")
    if len(members) > MEMBERS:
        raise DataError(f"{name} holds {len(members):,} files.", f"Put at most {MEMBERS:,} in an archive.")
    budget = _budget(size)
    has_rows = any(suffix(member.filename) in ROW_EXTENSIONS for member in members)
    for member in members:
        whole = f"{name}/{words.plain(member.filename)}"
        if not member.filename.strip("/"):
            skipped("archive_member", whole, "it has no name")
            continue
        if member.is_dir() or "__MACOSX/" in member.filename:
            continue
        if reason := _refused_member(member):
            skipped("archive_member", whole, reason)
            continue
        if has_rows and suffix(member.filename) in DOCUMENT_EXTENSIONS:
            skipped("archive_member", whole, "it is a document beside files of rows")
            continue
        try:
            with archive.open(member) as stream:
                head = Bounded(stream, whole, [HEAD_BYTES]).read(HEAD_BYTES)
            extension = kind_of(whole, head)
            if extension in (".zip", ".gz"):
                skipped("archive_member", whole, "it is an archive in an archive")
                continue
            _compare(whole, extension, skipped)
            with archive.open(member) as stream:
                yield _part(whole, extension, stream, size, budget, file.tell)
        except UNPACKING_ERRORS as error:
            skipped("archive_member", whole, f"it cannot be unpacked ({_reason(error)})")
        except DataError as error:
            skipped("archive_member", whole, error.message)


def _refused_member(member: zipfile.ZipInfo) -> str:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if not path.parts:
        return "it has no name"
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        return "its name leads out of the archive"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "it is a link"
    if member.flag_bits & 1:
        return "it is encrypted"
    if member.compress_type not in UNPACKED_IN_PIECES:
        return "it is packed in a rare way; pack it again as an ordinary ZIP"
    return ""


def _part(
    name: str, extension: str, stream: BinaryIO, size: int, budget: list[int], position: Callable[[], int]
) -> Part:
    if extension not in APART_EXTENSIONS:
        return Part(name, extension, Bounded(stream, name, budget), size, position)
    most = min(budget[0], max(UNPACKED_APART_BYTES, UNPACKED_APART_RATIO * size))
    bounded, file = Bounded(stream, name, [most]), tempfile.TemporaryFile()
    while piece := bounded.read(PIECE_BYTES):
        file.write(piece)
    file.flush()
    budget[0] -= file.tell()
    return Part(name, extension, file, size, position)


def _reason(error: Exception) -> str:
    return words.plain(str(error), 200).rstrip(".") or type(error).__name__
