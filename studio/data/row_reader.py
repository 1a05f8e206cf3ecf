"""One row of a source as a run takes it: in the form of its shape, mended and masked as the preset says."""

from collections.abc import Sequence
from typing import Any

from studio.data.conversion import convert_row
from studio.data.mends import mend
from studio.data.privacy import mask_row
from studio.data.shapes import Refused, Shape
from studio.preset.schema import DataSection


class RowReader:
    """Reads rows as `data.bad_rows` and `data.mask` say.

    `mended` and `masked` hold, for each row that was given, the names of its mends and the kinds of what was masked.
    """

    def __init__(self, section: DataSection):
        self._mends, self._masks = section.bad_rows == "fix", section.mask != "none"
        self._personal = section.mask == "all"
        self.mended: list[Sequence[str]] = []
        self.masked: list[Sequence[str]] = []

    @property
    def changes(self) -> bool:
        """Whether a row may come out other than `convert_row` gives it."""
        return self._mends or self._masks

    @property
    def mends(self) -> bool:
        return self._mends

    def read_row(self, row: Any, shape: Shape) -> dict[str, Any]:
        """The row, and a note of what was done with it. Raises `Refused`."""
        read, mended, masked = self.read(row, shape)
        self.mended.append(mended or ())
        self.masked.append(masked or ())
        return read

    def read(self, row: Any, shape: Shape) -> tuple[dict[str, Any], list[str], list[str]]:
        """The row, the names of what was mended, and the kinds of what was masked. Raises `Refused`."""
        try:
            return self._read(row, shape)
        except Refused:
            if self._mends:  # what cannot be mended is refused for what is wrong with it as it stands
                convert_row(row, shape)
            raise

    def _read(self, row: Any, shape: Shape) -> tuple[dict[str, Any], list[str], list[str]]:
        read, mended = mend(row, shape) if self._mends else (convert_row(row, shape), [])
        masked: list[str] = []
        if self._masks:
            read, masked = mask_row(read, self._personal)
        if (mended or masked) and "chosen" in read and read["chosen"] == read["rejected"]:
            raise Refused("chosen_equals_rejected")
        return read, mended, masked
