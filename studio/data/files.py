"""Reads rows from a file of any kind that holds them, also packed, with errors that name the line."""

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

from studio import words
from studio.data.encoding import is_utf16
from studio.errors import DataError

ROW_EXTENSIONS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
EXTENSIONS = (*ROW_EXTENSIONS, ".gz", ".zip")
STREAMED = (".arrow", ".gz", ".zip")


def read_file(path: Path, limit: int = 0) -> list[Any]:
    """Read a file's rows, at most `limit` (0: all). CSV cells are strings.

    Raises `DataError` for a missing, empty, unreadable or wrong kind of file, with the line where there is one.
    """
    extension = path.suffix.lower()
    if extension not in EXTENSIONS:
        raise DataError(f"{path.name} is not a kind of file that can hold rows.",
                        f"Use one of {', '.join(EXTENSIONS)}.")
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder.", "Name one file in it.")
        if path.stat().st_size == 0:
            raise DataError(f"{path.name} is empty.", "Choose a file with rows in it.")
        if extension in STREAMED:
            rows = _read_streamed(path, limit)
        else:
            rows = _read_parquet(path, limit) if extension == ".parquet" else _read_text(path, extension, limit)
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.", "Check the name and the folder.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.", "Check its permissions.") from None
    if not rows:
        raise DataError(f"{path.name} holds no rows.", "Choose a file with rows in it.")
    return rows


def _read_streamed(path: Path, limit: int) -> list[Any]:
    """Packed files, Arrow and UTF-16 by the data doctor's reader; what costs a row there is an error here."""
    from studio.data.archives import open_parts
    from studio.data.batches import FileFacts
    from studio.data.records import read_batches

    rows: list[Any] = []
    for part in open_parts(path, lambda *_: None):
        for batch in read_batches(part, FileFacts(part.name, part.extension, part.size)):
            fault = next((fault for fault in batch.faults if not fault.keeps_row or fault.name == "encoding"), None)
            if fault is not None:
                where = f" at line {fault.line:,}" if fault.line else ""
                raise DataError(f"{part.name} cannot be read{where}: {fault.name.replace('_', ' ')}.",
                                f'Look what is wrong with it:  python -m studio doctor "{path}"')
            rows += batch.rows
            if limit and len(rows) >= limit:
                return rows[:limit]
    return rows


def _read_text(path: Path, extension: str, limit: int) -> list[Any]:
    data = path.read_bytes()
    if is_utf16(data):
        return _read_streamed(path, limit)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path.name} is not UTF-8 text at line {line:,}.", "Save it as UTF-8.") from None
    if extension in (".csv", ".tsv"):
        return _read_csv(path.name, text, "\t" if extension == ".tsv" else "", limit)
    if extension == ".json":
        return _read_json(path.name, text, limit)
    return _read_json_lines(path.name, text, limit)


def _read_json_lines(name: str, text: str, limit: int) -> list[Any]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line or line.isspace():
            continue
        if limit and len(rows) == limit:
            break
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise DataError(f"{name} is not JSON at line {number:,}: {error.msg} at column {error.colno:,}.",
                            "Each line must be one whole JSON object.") from None
        except RecursionError:
            raise DataError(f"{name} is nested too deeply at line {number:,}.", "Use plain rows.") from None
    return rows


def _read_json(name: str, text: str, limit: int) -> list[Any]:
    """An array of rows, or {"data": [...]}; a file of JSON lines with this extension is read as such."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):
            return _read_json_lines(name, text, limit)
        raise DataError(f"{name} is not JSON at line {error.lineno:,}: {error.msg} at column {error.colno:,}.",
                        "Mend the file, or save it as JSON Lines with one object a line.") from None
    except RecursionError:
        raise DataError(f"{name} is nested too deeply.", "Use plain rows.") from None
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        value = value["data"]
    if not isinstance(value, list):
        raise DataError(f"{name} holds no list of rows.", 'It must be an array [...] or {"data": [...]}.')
    return value[:limit] if limit else value


def _read_csv(name: str, text: str, delimiter: str, limit: int) -> list[dict[str, str]]:
    csv.field_size_limit(sys.maxsize)
    delimiter = delimiter or csv_delimiter(text.lstrip("\r\n").partition("\n")[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[dict[str, str]] = []
    header: list[str] = []
    try:
        for cells in reader:
            if not cells:
                continue
            if not header:
                header = csv_header(name, cells)
                continue
            if limit and len(rows) == limit:
                break
            if len(cells) != len(header):
                raise DataError(f"{name} has {len(cells):,} cells at line {reader.line_num:,}, its header has "
                                f"{len(header):,}.", "Put quotes around cells that hold the separator.")
            rows.append(dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise DataError(f"{name} is not readable CSV at line {reader.line_num:,}: {error}.",
                        "Check the quotes on that line.") from None
    return rows


def csv_delimiter(first_line: str) -> str:
    """The sign that parts the cells: comma, semicolon or tab, whichever the first line has most of."""
    return max(",;\t", key=first_line.count)


def csv_header(name: str, cells: list[str]) -> list[str]:
    """The names of the columns. Raises `DataError` for one without name and for a name used twice."""
    header = [cell.strip() for cell in cells]
    if "" in header:
        raise DataError(f"Column {header.index('') + 1} of {name} has no name.",
                        "The first line must name every column.")
    twice = next((cell for cell in header if header.count(cell) > 1), None)
    if twice is not None:
        raise DataError(f'{name} has two columns called "{words.plain(twice)}".',
                        "Give every column a name of its own.")
    return header


def _read_parquet(path: Path, limit: int) -> list[dict[str, Any]]:
    """Parquet through pyarrow, which takes columns of unknown extension types as what they are stored as."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if not limit:
                return file.read().to_pylist()
            rows: list[dict[str, Any]] = []
            for batch in file.iter_batches(batch_size=min(limit, 10_000)):
                rows += batch.to_pylist()
                if len(rows) >= limit:
                    break
            return rows[:limit]
    except pyarrow.ArrowException as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{path.name} is not a readable Parquet file: {reason}.", "Write the file again.") from None
