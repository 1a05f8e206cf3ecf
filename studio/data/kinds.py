"""What a file is by its first bytes, whatever its name says: which reader it needs, or why none will open it."""

import csv
import io
import json
import re
from pathlib import PurePosixPath

from studio.data.encoding import mark_and_encoding
from studio.data.files import EXTENSIONS, ROW_EXTENSIONS, TEXT_EXTENSIONS
from studio.errors import DataError

HEAD_BYTES = 16_384
MAGIC = {b"PAR1": ".parquet", b"ARROW1": ".arrow", b"%PDF": ".pdf", b"PK\x03\x04": ".zip", b"\x1f\x8b": ".gz"}
FOREIGN = {b"\x80\x02": "a Python pickle", b"\x80\x03": "a Python pickle",
           b"\x80\x04": "a Python pickle", b"\x80\x05": "a Python pickle", b"\x93NUMPY": "a NumPy array",
           b"\x89PNG": "a picture", b"\xff\xd8\xff": "a picture", b"GIF8": "a picture",
           b"SQLite format 3": "a database", b"\x89HDF": "an HDF5 file",
           b"BZh": "a bzip2 archive", b"\xfd7zXZ": "an xz archive", b"7z\xbc\xaf": "a 7z archive",
           b"Rar!": "a RAR archive", b"\x28\xb5\x2f\xfd": "a zstd archive", b"\x7fELF": "a program",
           b"\xd0\xcf\x11\xe0": "an old Office document, or one with a password", b"{\\rtf": "an RTF document",
           b"version https://git-lfs": "a pointer to a file that Git LFS keeps elsewhere"}
# the first two protocols are text and have no mark: a list, dict or tuple that is kept, or a name to import
OLD_PICKLE = re.compile(
    rb"\(*(?:[ldt](?:p\d+\n|q[\x00-\x1f])|[\]})](?:q[\x00-\x1f]|p\d+\n)"
    rb"|c[A-Za-z_][\w.]*\n[A-Za-z_]\w*\n(?:p\d+\n|q[\x00-\x1f]|\([SVIKXUldtc]|\)))")
WEB_PAGE = re.compile(r"\s*<(?:!doctype html|html|\?xml)", re.IGNORECASE)
CODE_EXTENSIONS = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".npy", ".npz", ".joblib")
# Arrow as a stream begins so
ARROW_STREAM = b"\xff\xff\xff\xff"
NAMES = {".jsonl": "JSON Lines", ".json": "JSON", ".csv": "a table (CSV)", ".parquet": "Parquet", ".arrow": "Arrow",
         ".pdf": "a PDF document", ".gz": "a gzip archive", ".zip": "a ZIP archive"}
SAME = {".ndjson": ".jsonl", ".markdown": ".md"}
OBJECT = re.compile(r'\{\s*(?:"(?:[^"\\]|\\.)*"\s*:|\}|$)')
ARRAY = re.compile(r"\[\s*(?:\{|$)")
TABLE_LINES, HEADER_CHARACTERS = 10, 60


def kind_of(name: str, head: bytes) -> str:
    """The extension that fits the content: what its first HEAD_BYTES say, else the name.

    Raises `DataError` where the content or the name is that of no file of rows, and says which it is.
    """
    said = suffix(name)
    if said in CODE_EXTENSIONS:
        raise DataError(f"{name} may run code when it is opened, so the studio does not open it.",
                        "Save the rows as JSON Lines or Parquet.")
    refuse_tar(name, head)
    foreign = next((what for magic, what in FOREIGN.items() if head.startswith(magic)), "")
    if foreign or OLD_PICKLE.match(head):
        raise DataError(f"{name} is {foreign or 'a Python pickle'}, not rows.", f"Use one of {', '.join(EXTENSIONS)}.")
    for magic, extension in MAGIC.items():
        if head.startswith(magic):
            return ".docx" if (said, extension) == (".docx", ".zip") else extension
    if said not in EXTENSIONS:
        raise DataError(f"{name} is not a kind of file that can hold rows.", f"Use one of {', '.join(EXTENSIONS)}.")
    if said == ".parquet" and head.startswith(ARROW_STREAM):
        return ".arrow"
    mark, encoding = mark_and_encoding(head)
    text = head[len(mark):].decode(encoding, "replace")
    if said in ROW_EXTENSIONS and WEB_PAGE.match(text):
        raise DataError(f"{name} is a web page or XML, not rows.",
                        "Download the file itself, not the page that shows it.")
    return _kind_of_text(usual(said), text)


def refuse_tar(name: str, head: bytes) -> None:
    """Raise `DataError` for a tar archive: its mark stands behind the name of its first file and zeros."""
    if head[257:262] == b"ustar" and b"\0" in head[:257]:
        raise DataError(f"{name} holds a tar archive.", "Unpack it and name the files in it, or pack them as a ZIP.")


def suffix(name: str) -> str:
    """The extension of a name, in lower case."""
    return PurePosixPath(name).suffix.lower()


def usual(extension: str) -> str:
    """The extension under which files of this kind are mostly known."""
    return SAME.get(extension, extension)


def in_words(extension: str) -> str:
    """What a file with this extension is called."""
    return NAMES.get(extension, extension.lstrip("."))


def _kind_of_text(said: str, text: str) -> str:
    """The extension of a text that begins so; `said` where it is just that, or nothing else for sure."""
    first, _, rest = text.lstrip().partition("\n")
    first = first.strip()
    if said == ".json":
        return ".csv" if _is_table(text) else said
    if ARRAY.match(first):
        # lists line by line are rows, if bad ones; one list is an array of rows
        by_line = said == ".jsonl" and rest.strip() and _is_json(first)
        return said if by_line or said in TEXT_EXTENSIONS else ".json"
    if OBJECT.match(first):
        if first == "{":
            return said if said in TEXT_EXTENSIONS else ".json"
        return ".jsonl"
    if said in TEXT_EXTENSIONS or said == ".csv" or (said == ".tsv" and "\t" in first):
        return said
    return ".csv" if _is_table(text) else said


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _is_table(text: str) -> bool:
    """Whether the first lines have the same number of cells, at least two, under a header of short names."""
    # the last line may be cut
    lines = [line for line in text.splitlines()[:TABLE_LINES + 1] if line.strip()]
    lines = lines[:-1] if len(lines) > 2 else lines
    if len(lines) < 2 or any("\0" in line or line.lstrip()[0] in "{[" for line in lines):
        return False
    delimiter = max(",;\t", key=lines[0].count)
    try:
        rows = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter, strict=True))
    except csv.Error:
        return False
    header = [cell.strip() for cell in rows[0]]
    named = all(0 < len(cell) <= HEADER_CHARACTERS for cell in header) and len(set(header)) == len(header)
    return named and len(header) > 1 and all(len(row) == len(header) for row in rows)
