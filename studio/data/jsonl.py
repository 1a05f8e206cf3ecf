"""Rows as JSONL inside a run folder: our own files, written whole and read back as they were."""

import json
import os
from pathlib import Path
from typing import Any


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write one row a line, replacing the file in one step; its folder is made."""
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(f".{path.name}")
    with open(partial, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    os.replace(partial, path)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The rows of a file; lines end at line feeds only, since texts may hold other separators. [] without a file."""
    try:
        with open(path, encoding="utf-8", newline="\n") as file:
            return [json.loads(line) for line in file]
    except FileNotFoundError:
        return []
