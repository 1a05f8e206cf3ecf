"""Marks of levels, and tables, as all that is printed shares them."""

MARKS = {"error": "✗", "warning": "!", "info": "·"}


def print_table(rows: list[list[str]]) -> None:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
