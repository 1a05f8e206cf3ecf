"""The account of every row that training does not take as its file has it: left out or changed, where, and why."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from studio import words
from studio.data.mends import MENDS
from studio.data.report import OWN, Findings, Place
from studio.data.shapes import FIX_ROWS, HINTS, PROBLEMS
from studio.preset.schema import DataSection

# where a run keeps it, below its folder
ACCOUNT_FILE = "data/left_out.jsonl"
# what was done on purpose, beside the problems of PROBLEMS and report.OWN
DONE = {
    "excluded_by_hand": "left out by hand",
    "duplicates": "the same as an earlier row",
    "edited_by_hand": "edited by hand",
    "beyond_share": "beyond the share of rows to learn from",
    "masked": "secrets or personal data masked",
    "heldout_overlap": "held out, and a training row too",
    "heldout_near_overlap": "held out, and nearly the same as a training row",
    "heldout_same_question": "held out, and asks what a training row asks",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the account.

    `row` counts the rows of the data set from 1, through all its files; 0 where no row could be read. `line` is 0 in
    files without lines. `reason` is a name from DONE, mends.MENDS, shapes.PROBLEMS or report.OWN.
    """

    file: str
    row: int
    line: int
    reason: str
    detail: str = ""


def as_json(left_out: Iterable[Entry], changed: Iterable[Entry]) -> list[dict[str, Any]]:
    """The account as rows of JSON, those left out first."""
    return [{"left_out": True} | asdict(entry) for entry in left_out] + [
        {"left_out": False} | asdict(entry) for entry in changed]


def in_words(entries: Iterable[Entry]) -> str:
    """Reasons with their counts, the most frequent first: "12 have no assistant answer, 3 left out by hand"."""
    counts = Counter(entry.reason for entry in entries)
    return ", ".join(f"{n:,} {reason_in_words(name)}" for name, n in counts.most_common())


def reason_in_words(name: str) -> str:
    """A reason as a few words."""
    return DONE.get(name) or MENDS.get(name) or name.replace("_", " ")


def stops(entry: Entry) -> bool:
    """Whether what is noted would stop a run that takes no bad rows."""
    return entry.reason in PROBLEMS or (entry.reason in OWN and OWN[entry.reason][0] == "error")


def sentences(entries: Iterable[Entry], total: int) -> list[tuple[str, str]]:
    """For each problem a sentence with count and first place, and what to do; the most frequent first."""
    of_reason: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        of_reason[entry.reason].append(entry)
    return [_sentence(found, total) for found in sorted(of_reason.values(), key=len, reverse=True)]


def _sentence(entries: list[Entry], total: int) -> tuple[str, str]:
    name, first = entries[0].reason, entries[0]
    if name in PROBLEMS:
        message = words.in_number(PROBLEMS[name], len(entries)).format(
            n=f"{len(entries):,}", total=f"{total:,}", row=f"{first.row:,}")
        return message, words.in_number(HINTS.get(name, FIX_ROWS), len(entries))
    findings = Findings()
    findings.add(name, Place(first.file, first.row, first.line), len(entries))
    (finding,) = findings.list(total, DataSection())
    where = f"{first.file}, line {first.line:,}" if first.line else first.file
    detail = f": {first.detail.rstrip('.')}" if first.detail else ""
    return f"{finding.message.rstrip('.')} (first: {where}{detail}).", finding.fix
