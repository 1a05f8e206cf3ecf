"""What the data doctor found: counts and first places under fixed names, figures, and a verdict; plain JSON."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from studio import words
from studio.data import shapes
from studio.data.privacy import mask_text
from studio.preset.schema import DataSection

# of each finding so many are in the report, of which page and terminal show the first
PLACES = 1000
# what mends.py always mends where it mends at all
MENDED = ("special_token_in_content", "nul_characters", "unlearned_end")
# what costs a row only once it is tokens, of rows as they are mended
LOST_AS_TOKENS = ("template_refuses", "all_labels_masked")

# name -> level, sentence with {n} (rows) and {total}, what to do. An error costs the row, or stops the run.
# The seven names OpenAI's validation uses come first; the sentences of those are in shapes.PROBLEMS.
OWN = {
    "not_json": ("error", "{n} [line is|lines are] not JSON.", "Each line must be one whole JSON object."),
    "truncated_last_line": ("error", "The last line breaks off in the middle.", "Save or upload the file again."),
    "truncated_file": ("error", "The file breaks off before its end.", "Save or upload the file again."),
    "nul_bytes": ("error", "{n} [row holds|rows hold] zero bytes.",
                  "Write the file again as UTF-8 text, or drop [that row|those rows]."),
    "nul_characters": ("warning", "{n} [row holds|rows hold] zero characters.", "Remove them."),
    "too_deep": ("error", "{n} [row nests|rows nest] too deeply.", "Flatten the lists and objects within them."),
    "broken_text": ("error", "{n} [row holds|rows hold] half a character, or bytes that are no text.",
                    "Write [that text|those texts] again."),
    "long_line": ("warning", "{n} [line is|lines are] longer than 1 MB.", "Check that each holds one row only."),
    "line_too_long": ("error", "{n} [line is|lines are] longer than 32 MB.",
                      "Split [that row, or drop it|those rows, or drop them]."),
    "ragged_csv": ("error", "{n} [line of the table does|lines of the table do] not fit its header.",
                   "Put quotes around cells that hold the separator, and close every quote."),
    "unnamed_column": (
        "warning", "{n} [column of a table has no name and is|columns of tables have no name and are] left out.",
        "Name [it|them] in the first line if [it holds|they hold] something to learn."),
    "unreadable_value": ("error", "{n} [row holds|rows hold] a value that cannot be read.", "Write it as text."),
    "duplicate_key": ("warning", "{n} [row names|rows name] a key twice; the last value counts.",
                      "Name each key once."),
    "encoding": (
        "error", "{n} [line is not UTF-8; it is|lines are not UTF-8; they are] read in a Windows code page here.",
        "Save the file as UTF-8, or set data.bad_rows to fix to read it so: training does not guess."),
    "wrong_extension": (
        "warning", "{n} [file holds something other than its name says|files hold something other than their names "
                   "say].",
        "Rename [it|them]."),
    "archive_member": ("warning", "{n} [file of the archive is|files of the archive are] left out.",
                       "Pack only files with rows."),
    "unreadable_file": ("error", "{n} [file|files] cannot be read.",
                        "Mend [that file or leave it|those files or leave them] out."),
    "page_without_text": (
        "warning", "{n} [page holds no text, as scans do; it is|pages hold no text, as scans do; they are] left out.",
        "Run text recognition (OCR) over the document."),
    "unreadable_page": ("warning", "{n} [page cannot be read; it is|pages cannot be read; they are] left out.",
                        "Save the document again."),
    "role_order": ("warning", "{n} [chat has|chats have] roles in an unusual order.",
                   "The usual order is system, then user and assistant in turn; many templates refuse any other."),
    "missing_user_message": ("warning", "{n} [chat has|chats have] no user message.",
                             "Give the model something to answer."),
    "unlearned_end": (
        "warning", "{n} [chat does|chats do] not end with an answer; what follows the last one is not learned.",
        "End them with the assistant's turn."),
    "empty_content": ("warning", "{n} [row has|rows have] an empty message or system prompt.", "Fill or remove it."),
    "special_token_in_content": ("warning", "{n} [row has|rows have] a chat template's special tokens in the text.",
                                 "Remove them: the template adds them itself, and the model would take them as the "
                                 "end of a turn."),
    "weight_not_zero_or_one": ("warning", "{n} [row has|rows have] a weight other than 0 or 1, which counts as 1.",
                               "Use 0 (not learned) or 1, as numbers."),
    "message_value_not_text": (
        "warning", "{n} [row has|rows have] a name, tool_call_id or reasoning_content that is not text.",
        "Write it as text, or leave it out."),
    "unused_message_key": ("warning", "{n} [row has|rows have] messages with a key that is not used.",
                           "Put into content what the model should learn, and remove the key."),
    "arguments_not_json": ("warning", "{n} [row calls|rows call] a tool with arguments that are not a JSON object.",
                           'The model would learn to call tools so: write them as {"name": value}.'),
    "tool_without_name": ("warning", "{n} [row has|rows have] a tool without a name.",
                          'Write tools as [{"type": "function", "function": {"name": "...", "parameters": {}}}].'),
    "bad_answers": (
        "warning", "{n} [row is labelled false: learned as it is, it teaches a bad answer|rows are labelled false: "
                   "learned as they are, they teach bad answers].",
        "Drop them, or train with a method that uses the label."),
    "excluded_by_hand": ("info", "{n} [row is|rows are] left out by hand.", "Restore them if that was a mistake."),
    "empty_text": ("info", "{n} [row of empty text is|rows of empty text are] left out.", "Nothing to do."),
    "late_column": ("warning", "{n} [row has|rows have] a column that the first 100 rows lack, so it is not used.",
                    "Move a row that has it to the beginning, so that the shape is told with it."),
    "duplicates": ("warning", "{n} [row repeats an earlier one|rows repeat earlier ones] word for word.",
                   "Keep one of each (data.drop_duplicates)."),
    "near_duplicates": ("warning", "{n} [row is|rows are] nearly the same as an earlier one.",
                        "Keep the best of each."),
    "heldout_overlap": (
        "warning", "{n} held-out [row is a training row|rows are training rows] too, so the score will flatter.",
        "Remove them from one side."),
    "heldout_near_overlap": ("warning", "{n} held-out [row is|rows are] nearly the same as a training row.",
                             "Remove them from one side."),
    "heldout_unusable": ("error", "{n} held-out [row|rows] cannot be used.", "Examine that file by itself."),
    "heldout_odd": ("warning", "{n} held-out [row is|rows are] odd.", "Examine that file by itself."),
    "heldout_same_question": ("info", "{n} held-out [row asks|rows ask] a question that a training row asks.",
                              "Check that this is meant."),
    "secrets": ("warning", "{n} [row holds|rows hold] what looks like a key or password.",
                "Mask it (data.mask), and revoke it: the model could repeat it."),
    "personal_data": ("warning", "{n} [row holds|rows hold] what looks like personal data.",
                      "Mask it (data.mask) unless the model may repeat it."),
    "label_imbalance": ("warning", "{n} of {total} rows [has|have] the same label.", "Add rows with the other labels."),
    "few_rows": ("warning", "There [is only {n} row|are only {n} rows].", "Fifty good rows are a sensible minimum."),
    "guessed_columns": ("warning", "The columns were guessed.", "Name the columns if that is wrong."),
    "all_labels_masked": ("error", "{n} [row has|rows have] nothing left to learn after the cut.",
                          "Raise the longest row, or shorten what comes before the answer."),
    "truncated": (
        "warning", "{n} [row is longer than the set length and loses its end|rows are longer than the set length and "
                   "lose their ends].",
        "Raise the longest row if memory allows."),
    "own_special_token": ("warning", "{n} [row has|rows have] special tokens of this model in the text.",
                          "Remove them: the model takes them as the end or start of a turn."),
    "template_refuses": ("error", "{n} [row is|rows are] refused by the model's chat template.",
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
    """A name from OWN or shapes.PROBLEMS, its level (error, warning, info), how many rows, and the first of them.

    `not_trained_yet` stands for all rows. `outcome` says what a run does about it as the preset is set, "" where that
    is left to the person.
    """

    name: str
    level: str
    count: int
    message: str
    fix: str
    places: list[Place]
    outcome: str


@dataclass
class Duplicates:
    """Rows there before, by exact and by near comparison, the latter among the first `compared` of words enough."""

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
    """Lengths in tokens under the model's tokenizer and template, of the rows that the template takes.

    All figures are 0 where it takes none. `sampled_rows` of `rows` were tokenised; where that is fewer, `mean_error` is
    the half width of the mean's 95 % interval (tokens) and counts are estimates. `histogram` holds `edges` (one more
    than counts) and `counts`, before the cut. `padding_waste` is the share of padding in batches of `batch_size` random
    rows, `packed_waste` the share of empty room with packing, `packing_gain` how many times fewer tokens are computed
    with it.
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
    def may_start(self) -> bool:
        """Whether a run would start as the preset is set."""
        learns = self.usable_rows > 0 and (self.tokens is None or self.tokens.mean_trained > 0)
        return learns and not any(map(stops, self.all_findings))

    @property
    def all_findings(self) -> list[Finding]:
        """Also those of the tokens, worst first."""
        found = self.findings + (self.tokens.findings if self.tokens else [])
        return sorted(found, key=lambda finding: (("error", "warning", "info").index(finding.level), -finding.count))

    def add_tokens(self, tokens: Tokens, bad_rows: str) -> None:
        """Take in what the rows are as tokens; `bad_rows` as in `data.bad_rows`.

        Rows that are lost then are not usable, where each was looked at. Where none is left, nothing is left out.
        """
        self.tokens = tokens
        lost = sum(finding.count for finding in tokens.findings if finding.name in LOST_AS_TOKENS)
        left = self.usable_rows - lost
        if left <= 0:
            tokens.findings = [replace(finding, outcome="") if finding.name in LOST_AS_TOKENS else finding
                               for finding in tokens.findings]
        if lost and tokens.sampled_rows == tokens.rows:
            self.usable_rows, self.epochs = left, automatic_epochs(left)
            self.verdict = verdict(left, self.rows, self.all_findings, bad_rows)

    def as_json(self) -> dict[str, Any]:
        """Plain lists, texts and numbers."""
        return asdict(self) | {
            "dropped_rows": self.dropped_rows, "may_train": self.may_train, "may_start": self.may_start,
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
            room = PLACES - len(self._places.get(name, ()))
            self.add_many(name, [
                replace(place, row=place.row and place.row + rows_before,
                        line=place.line and place.line + lines_before,
                        in_file=place.in_file and place.in_file + in_file_before)
                for place in other._places[name][:room]], count)

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

    def list(self, total: int, data: DataSection, format: str = "", sampled: int = 0) -> list[Finding]:
        """All of them, in the order they were found; `total` rows stand in the sentences.

        `data` and the `format` of the rows' shape say what a run does about them. Where only `sampled` of the rows were
        looked at, the counts are raised to the total, and the sentences say that they are estimates. A format that
        cannot be trained yet is a finding too, of all rows.
        """
        refused = shapes.refusal(format)
        of_all = [Finding("not_trained_yet", "error", total, refused.message, refused.hint, [], "")] if refused else []
        return of_all + [self._finding(name, total, data, format, sampled) for name in self._counts]

    def _finding(self, name: str, total: int, data: DataSection, format: str, sampled: int) -> Finding:
        n, places = self._counts[name], self._places[name]
        n = round(n * total / sampled) if sampled else n
        if name in OWN:
            level, sentence, fix = OWN[name]
        else:
            level, sentence, fix = "error", shapes.PROBLEMS[name], shapes.HINTS.get(name, shapes.FIX_ROWS)
        if name == "missing_prompt" and format == "preference":
            fix = "Name a prompt, or let chosen and rejected begin with the same question: that is the prompt then."
        fix = words.in_number(fix, n)
        message = words.in_number(sentence, n).format(n=f"{n:,}", total=f"{total:,}", row=f"{places[0].row:,}")
        if sampled:
            message = f"About {message} That is estimated from {sampled:,} rows: count every row for the exact number."
        masked = {detail: mask_text(detail, personal=True)[0] for detail in {place.detail for place in places}}
        places = [replace(place, detail=masked[place.detail]) for place in places]
        return Finding(name, level, n, message, fix, places, outcome(name, level, data, format))


def outcome(name: str, level: str, data: DataSection, format: str) -> str:
    """What a run does about a finding as `data` is set, "" where it is left to the person."""
    if (name == "secrets" and data.mask != "none") or (name == "personal_data" and data.mask == "all"):
        return "It will be masked, as data.mask says."
    if name == "duplicates" and data.drop_duplicates:
        return "One of each will be kept, as data.drop_duplicates says."
    # of these nothing is left to mend
    leaves_out = data.bad_rows == "drop" or (data.bad_rows == "fix" and name in LOST_AS_TOKENS)
    if leaves_out and level == "error" and name != "encoding":
        return "Left out, as data.bad_rows says."
    if data.bad_rows == "fix" and name == "encoding":
        return "Read so, as data.bad_rows says."
    if data.bad_rows == "fix" and level == "error":
        return "Mended where that is safe and left out otherwise, as data.bad_rows says."
    if data.bad_rows == "fix" and name in MENDED and format != "text":
        return "Mended, as data.bad_rows says."
    return ""


def stops(finding: Finding) -> bool:
    """Whether no run can start because of it."""
    return finding.level == "error" and not finding.outcome


def automatic_epochs(rows: int) -> int:
    """OpenAI's rule for n_epochs "auto": three, more for fewer than 34 rows, fewer above 8,333; 1 to 25."""
    if rows == 0:
        return 0
    if rows * 3 < 100:
        return min(25, 100 // rows)
    return max(1, 25_000 // rows) if rows * 3 > 25_000 else 3


def verdict(usable: int, rows: int, findings: list[Finding], bad_rows: str) -> str:
    """One sentence on whether to train; `bad_rows` as in `data.bad_rows`."""
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
    # rows of empty text are no loss
    rest = rows - usable - sum(finding.count for finding in findings if finding.name == "empty_text")
    if rest and bad_rows == "stop":
        enough += f", but {rest:,} more cannot be used as {'it is' if rest == 1 else 'they are'}"
    elif rest:
        enough += f"; {rest:,} more will be left out"
    if any(map(stops, findings)) and not (rest and bad_rows == "stop"):
        enough += ", but problems must be mended first"
    return f"{amount} {enough}."
