"""What the data doctor found: counts and first places under fixed names, figures, and a verdict; plain JSON."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from studio.data import shapes

PLACES = 10

# name -> level, sentence with {n} (rows) and {total}, what to do. An error costs the row, or stops the run.
# The seven names OpenAI's validation uses come first; the sentences of those are in shapes.PROBLEMS.
OWN = {
    "not_json": ("error", "{n} lines are not JSON.", "Each line must be one whole JSON object."),
    "truncated_last_line": ("error", "The last line breaks off in the middle.", "Save or upload the file again."),
    "truncated_file": ("error", "The file breaks off before its end.", "Save or upload the file again."),
    "nul_bytes": ("error", "{n} rows hold zero bytes.", "Write the file again as UTF-8 text, or drop those rows."),
    "nul_characters": ("warning", "{n} rows hold zero characters in their text.", "Remove them."),
    "too_deep": ("error", "{n} rows nest too deeply.", "Use plain rows."),
    "broken_text": ("error", "{n} rows hold half a character, which no tokenizer reads.", "Write those texts again."),
    "long_line": ("warning", "{n} lines are longer than 1 MB.", "Look whether they hold what you mean."),
    "line_too_long": ("error", "{n} lines are longer than 32 MB.", "Part those rows, or drop them."),
    "ragged_csv": ("error", "{n} lines of the table do not fit its header.",
                   "Put quotes around cells that hold the separator, and close every quote."),
    "unreadable_value": ("error", "{n} rows hold a value that cannot be read.", "Write it as text."),
    "duplicate_key": ("warning", "{n} rows name a key twice; the last value counts.", "Name each key once."),
    "encoding": ("error", "{n} lines are not UTF-8; they are read in a Windows code page here.",
                 "Save the file as UTF-8: training does not guess."),
    "wrong_extension": ("warning", "{n} files hold something other than their name says.", "Rename them."),
    "archive_member": ("warning", "{n} files of the archive are left out.", "Pack only files with rows."),
    "unreadable_file": ("error", "{n} files cannot be read.", "Mend or leave out those files."),
    "page_without_text": ("warning", "{n} pages hold no text, as scans do; they are left out.",
                          "Run text recognition (OCR) over the document."),
    "unreadable_page": ("warning", "{n} pages cannot be read; they are left out.", "Save the document again."),
    "role_order": ("warning", "{n} chats have roles in an unusual order.",
                   "Chats go system, user, assistant, user, ...; many templates refuse others."),
    "missing_user_message": ("warning", "{n} chats have no user message.", "Give the model something to answer."),
    "unlearned_end": ("warning", "{n} chats do not end with an answer; what follows the last one is not learned.",
                      "End them with the assistant's turn."),
    "empty_content": ("warning", "{n} rows have an empty message or system prompt.", "Fill or remove it."),
    "special_token_in_content": (
        "warning", "{n} rows have a template's special tokens in their text.",
        "Remove them: the template adds them itself, and the model would take them as the end of a turn."),
    "weight_not_zero_or_one": ("warning", "{n} rows have a weight other than 0 or 1, which counts as 1.",
                               "Use 0 (not learned) or 1, as numbers."),
    "message_value_not_text": ("warning", "{n} rows have a name, tool_call_id or reasoning_content that is not text.",
                               "Write it as text, or leave it out."),
    "arguments_not_json": ("warning", "{n} rows call a tool with arguments that are not a JSON object.",
                           "The model would learn to call tools so: write them as {\"name\": value}."),
    "tool_without_name": ("warning", "{n} rows have a tool without a name.",
                          'Write tools as [{"type": "function", "function": {"name": "...", "parameters": {}}}].'),
    "bad_answers": ("warning", "{n} rows are labelled false: learned as they are, they teach bad answers.",
                    "Drop them, or train with a method that uses the label."),
    "excluded_by_hand": ("info", "{n} rows are left out by hand.", "Restore them if that is wrong."),
    "empty_text": ("info", "{n} rows of empty text are left out.", "Nothing to do."),
    "late_column": ("warning", "{n} rows have a column that the first 100 rows lack, so it is not used.",
                    "Move a row that has it to the beginning, so that the shape is told with it."),
    "duplicates": ("warning", "{n} rows are there already, word for word.", "Keep one of each."),
    "near_duplicates": ("warning", "{n} rows are nearly the same as an earlier one.", "Keep the best of each."),
    "heldout_overlap": ("warning", "{n} held-out rows are training rows too, so the score will flatter.",
                        "Remove them from one side."),
    "heldout_near_overlap": ("warning", "{n} held-out rows are nearly the same as a training row.",
                             "Remove them from one side."),
    "heldout_unusable": ("error", "{n} held-out rows cannot be used.", "Examine that file by itself."),
    "heldout_odd": ("warning", "{n} held-out rows are odd.", "Examine that file by itself."),
    "heldout_same_question": ("info", "{n} held-out rows ask a question that a training row asks.",
                              "Look whether that is meant."),
    "secrets": ("warning", "{n} rows hold what looks like a key or password.",
                "Remove it and make it void: the model can repeat it."),
    "personal_data": ("warning", "{n} rows hold what looks like personal data.",
                      "Mask it unless the model may repeat it."),
    "label_imbalance": ("warning", "{n} of {total} rows have the same label.", "Add rows with the other labels."),
    "few_rows": ("warning", "There are only {n} rows.", "Fifty good rows are a sensible least."),
    "guessed_columns": ("warning", "The columns were guessed.", "Name the columns if that is wrong."),
    "all_labels_masked": ("error", "{n} rows have nothing left to learn after the cut.",
                          "Raise the longest row, or shorten what comes before the answer."),
    "truncated": ("warning", "{n} rows are longer than the longest row and lose their end.",
                  "Raise the longest row if memory allows."),
    "own_special_token": (
        "warning", "{n} rows have special tokens of this model in their text.",
        "Remove them: the model takes them as the end or start of a turn."),
    "template_refuses": ("error", "{n} rows are refused by the model's chat template.",
                         "Change the roles or their order, or choose another model."),
}


@dataclass(slots=True)
class Place:
    """Where something was found.

    `row` counts the rows of the whole data set from 1, through all its files, as the page of rows, edits by hand and
    the account do. `line` is the line in `file`, `in_file` the row in it, which is told where a kind of file has no
    lines. 0 where there is none.
    """

    file: str
    row: int
    line: int
    detail: str = ""
    in_file: int = 0


@dataclass
class Finding:
    """A name from OWN or shapes.PROBLEMS, its level (error, warning, info), how many rows, and the first of them."""

    name: str
    level: str
    count: int
    message: str
    fix: str
    places: list[Place]


@dataclass
class Duplicates:
    """Rows there before, by exact and by near comparison, the latter among the first `compared` rows."""

    exact: int = 0
    near: int = 0
    compared: int = 0


@dataclass
class Overlap:
    """Held-out rows that are training rows: the same, nearly the same, or with the same question."""

    heldout_rows: int
    exact: int
    near: int
    same_question: int


@dataclass
class Tokens:
    """Lengths in tokens under the model's tokenizer and template.

    `sampled_rows` of `rows` were tokenised; where that is fewer, `mean_error` is the half width of the mean's 95 %
    interval (tokens) and counts are estimates. `histogram` holds `edges` (one more than counts) and `counts`, before
    the cut. `padding_waste` is the share of padding in batches of `batch_size` random rows, `packed_waste` the share of
    empty room with packing, `packing_gain` how many times fewer tokens are computed with it.
    """

    model: str
    rows: int
    sampled_rows: int
    max_length: int
    mean: float
    mean_error: float
    mean_trained: float
    median: int
    p95: int
    longest: int
    histogram: dict[str, list[int]]
    truncated_share: float
    tokens_cut_share: float
    suggested_max_length: int
    tokens_per_epoch: int
    trained_tokens_per_epoch: int
    batch_size: int
    padding_waste: float
    packed_waste: float
    packing_gain: float
    findings: list[Finding] = field(default_factory=list)


@dataclass
class Report:
    """The whole examination of a data set; `complete` is False where the person ended it early.

    `languages` counts a sample of the rows by ISO 639 code, "und" where they are too short to tell. `tokens` is None
    until they are counted; `tokens_error` (message, hint, field) says why they cannot be.
    """

    source: str
    verdict: str
    rows: int
    usable_rows: int
    shape: dict[str, Any]
    files: list[dict[str, Any]]
    findings: list[Finding]
    epochs: int
    duplicates: Duplicates
    overlap: Overlap | None
    secrets: dict[str, int]
    personal_data: dict[str, int]
    labels: dict[str, int]
    languages: dict[str, int]
    turns: dict[str, float]
    seconds: float
    complete: bool = True
    tokens: Tokens | None = None
    tokens_error: dict[str, str] | None = None

    @property
    def dropped_rows(self) -> int:
        return self.rows - self.usable_rows

    @property
    def may_train(self) -> bool:
        """Whether training would accept every row."""
        return all(finding.level != "error" for finding in self.all_findings)

    @property
    def all_findings(self) -> list[Finding]:
        """Also those of the tokens, worst first."""
        found = self.findings + (self.tokens.findings if self.tokens else [])
        return sorted(found, key=lambda finding: (("error", "warning", "info").index(finding.level), -finding.count))

    def as_json(self) -> dict[str, Any]:
        """Plain lists, texts and numbers."""
        return asdict(self) | {"dropped_rows": self.dropped_rows, "may_train": self.may_train,
                               "findings": [asdict(finding) for finding in self.all_findings]}


class Findings:
    """Counts by name, and the first places of each."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._places: dict[str, list[Place]] = {}

    def add(self, name: str, place: Place, count: int = 1) -> None:
        self._counts[name] = self._counts.get(name, 0) + count
        places = self._places.setdefault(name, [])
        if len(places) < PLACES:
            places.append(place)

    def join(self, other: "Findings", rows_before: int, lines_before: int, in_file_before: int) -> None:
        """Add those of a part of a file that begins after so many rows of the data set, and lines and rows of it."""
        for name, count in other._counts.items():
            self.add_many(name, [
                replace(place, row=place.row and place.row + rows_before,
                        line=place.line and place.line + lines_before,
                        in_file=place.in_file and place.in_file + in_file_before)
                for place in other._places[name]], count)

    def add_many(self, name: str, first_places: list[Place], count: int) -> None:
        """Add `count` of them, of which the first ones are given."""
        self._counts[name] = self._counts.get(name, 0) + count
        places = self._places.setdefault(name, [])
        places += first_places[:PLACES - len(places)]

    def copy(self) -> "Findings":
        """The same counts and places, to add to."""
        other = Findings()
        other._counts = dict(self._counts)
        other._places = {name: list(places) for name, places in self._places.items()}
        return other

    def rename(self, name: str, new: str) -> None:
        """Call what was found so by another name."""
        if name in self._counts:
            self.add_many(new, self._places.pop(name), self._counts.pop(name))

    def __contains__(self, name: str) -> bool:
        return name in self._counts

    def count(self, name: str) -> int:
        return self._counts.get(name, 0)

    def list(self, total: int) -> list[Finding]:
        """All of them, worst first; `total` rows stand in the sentences."""
        return [self._finding(name, total) for name in self._counts]

    def _finding(self, name: str, total: int) -> Finding:
        n, places = self._counts[name], self._places[name]
        if name in OWN:
            level, sentence, fix = OWN[name]
        else:
            level, sentence, fix = "error", shapes.PROBLEMS[name], shapes.HINTS.get(name, shapes.FIX_ROWS)
        message = sentence.format(n=f"{n:,}", total=f"{total:,}", row=f"{places[0].row:,}")
        return Finding(name, level, n, _singular(message) if n == 1 else message, fix, places)


def _singular(sentence: str) -> str:
    for many, one in SINGULAR:
        sentence = sentence.replace(many, one)
    return sentence


SINGULAR = (
    ("1 lines are not UTF-8; they are", "1 line is not UTF-8; it is"), ("1 lines are", "1 line is"),
    ("1 lines of the table do", "1 line of the table does"),
    ("1 rows hold", "1 row holds"), ("1 rows nest", "1 row nests"), ("1 rows name", "1 row names"),
    ("1 pages hold no text, as scans do; they are", "1 page holds no text, as scans do; it is"),
    ("1 pages cannot be read; they are", "1 page cannot be read; it is"),
    ("1 files hold", "1 file holds"), ("their name says", "its name says"),
    ("1 files of the archive are", "1 file of the archive is"), ("1 files cannot", "1 file cannot"),
    ("1 chats have", "1 chat has"), ("1 chats do", "1 chat does"), ("1 rows have", "1 row has"),
    ("in their text", "in its text"), ("1 rows are", "1 row is"),
    ("1 rows of empty text are", "1 row of empty text is"),
    ("1 held-out rows are training rows", "1 held-out row is a training row"),
    ("1 held-out rows are", "1 held-out row is"), ("1 held-out rows cannot", "1 held-out row cannot"),
    ("1 held-out rows ask", "1 held-out row asks"),
    ("lose their end", "loses its end"), ("There are only 1 rows", "There is only 1 row"),
    ("learned as they are, they teach bad answers", "learned as it is, it teaches a bad answer"))


def automatic_epochs(rows: int) -> int:
    """OpenAI's rule for n_epochs "auto": three, more for fewer than 34 rows, fewer above 8,333; 1 to 25."""
    if rows == 0:
        return 0
    if rows * 3 < 100:
        return min(25, 100 // rows)
    return max(1, 25_000 // rows) if rows * 3 > 25_000 else 3


def verdict(usable: int, rows: int, errors: int) -> str:
    """One sentence on whether to train."""
    if usable == 0:
        return "No row can be used: mend the problems below first."
    amount = "1 row" if usable == 1 else f"{usable:,} rows"
    if usable < 10:
        enough = "are too few to learn from; 10 is the least that services accept, 50 a sensible start"
    elif usable < 50:
        enough = "may teach a style or a format; 50 good ones are a sensible start"
    elif usable < 100:
        enough = "are a sensible start; 100 or more make the result dependable"
    elif usable < 1000:
        enough = "are enough for a clear task; 1,000 teach harder ones"
    else:
        enough = "are plenty for most tasks"
    if usable == 1:
        enough = enough.replace("are too few", "is too little", 1)
    stop = f", but {rows - usable:,} more cannot be used as they are" if rows > usable else ""
    stop = stop or (", but problems must be mended first" if errors else "")
    return f"{amount} {enough}{stop}."
