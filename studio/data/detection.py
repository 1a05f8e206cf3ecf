"""Finds the shape of a data set: by what the preset names, by names in use, by what stands in the columns."""

from collections.abc import Iterable, Sequence
from typing import Any

from studio import words
from studio.data import columns as parts
from studio.data import templates
from studio.data.chats import is_chat, is_whole_chat
from studio.data.columns import are_booleans, are_labels, are_verdicts, propose
from studio.data.shapes import Shape
from studio.data.templates import named, no_column
from studio.errors import DataError
from studio.preset.schema import DataSection

ANY = DataSection()
# names of prompts that stand alone
ASKING = ("instruction", "question", "query", "problem")
NAMED = "The preset names the columns."
# fields of the preset that name a column
FIELDS = ("messages_column", "prompt_column", "completion_column", "text_column", "rejected_column", "label_column")
# the field in which a person names the column of a part
FIELD_OF = {
    "messages": "messages_column", "prompt": "prompt_column", "completion": "completion_column", "text": "text_column",
    "chosen": "completion_column", "rejected": "rejected_column", "label": "label_column",
    "sentence1": "prompt_column", "sentence2": "completion_column", "score": "label_column", "answer":
    "completion_column"}
# for each shape the parts it must have
NEEDED = {
    "messages": ("messages",), "prompt_completion": ("prompt", "completion"), "text": ("text",),
    "text_label": ("text", "label"), "text_pair": ("sentence1", "sentence2"), "preference": ("chosen", "rejected"),
    "unpaired_preference": ("prompt", "completion", "label"), "prompt_only": ("prompt",)}
# names under which a column may hold what is trained: none of them is passed over in silence
TELLING = frozenset({
    *parts.MESSAGES, *parts.PROMPT, *parts.COMPLETION, *parts.CONTEXT, *parts.SYSTEM, *parts.TOOLS, *parts.TEXT,
    *parts.LABEL, *parts.CHOSEN, *parts.REJECTED, *parts.REFERENCE, *parts.SCORE, "negative", "weight",
    *(name for pair in parts.PAIRS for name in pair)})
OPTIONAL = {"text_pair": ("score",), "preference": ("prompt",), "prompt_only": ("answer",)}
HOLDS = {
    "auto": "chats, prompts and answers, or text", "messages": "messages", "prompt_completion": "prompts and answers",
    "text": "text", "text_label": "texts and labels", "text_pair": "pairs of texts",
    "preference": "chosen and rejected answers", "unpaired_preference": "answers with a label that is true or false",
    "prompt_only": "prompts"}


def detect(columns: Sequence[str], first_rows: Sequence[Any], section: DataSection = ANY) -> Shape:
    """Find the shape from column names and values; what the preset names goes first.

    Raises `DataError` where a named column is missing or no shape can be told.
    """
    for field in FIELDS:
        name = getattr(section, field)
        if name and name not in columns:
            raise DataError(no_column(name, columns), "Choose one of them, or leave the field empty.",
                            field=f"data.{field}")
    seen = _Seen(columns, first_rows)
    if any(getattr(section, field) for field in FIELDS) or section.prompt_template or section.completion_template:
        return _named_shape(seen, section)
    chosen = FINDERS.values() if section.format == "auto" else [FINDERS[section.format]]
    for find in chosen:
        if shape := find(seen):
            return shape
    if section.format in ("auto", "prompt_completion") and (shape := _guess(seen)):
        return shape
    raise DataError(
        f"No columns were found that hold {HOLDS[section.format]}; the columns are {named(columns) or 'none'}.",
        "Name the columns in data.prompt_column and data.completion_column, or data.text_column.",
        field="data.format")


def late_columns(row: dict[str, Any], columns: Iterable[str], shape: Shape) -> list[str]:
    """Columns of a row that may matter and are not used, since the first rows, with `columns`, lack them."""
    return [name for name, value in row.items() if name not in columns and name not in shape.late and value is not None
            and isinstance(name, str) and name.strip().lower() in TELLING]


class _Seen:
    """The columns by their names in lower case, and the first rows."""

    def __init__(self, columns: Sequence[str], first_rows: Sequence[Any]):
        self.columns, self.rows = columns, first_rows
        self.known = {name.strip().lower(): name for name in reversed(columns)}

    def column(self, names: Sequence[str]) -> str | None:
        """The first of the names that is there, as the data set writes it."""
        return next((self.known[name] for name in names if name in self.known), None)

    def part(self, part: str, names: Sequence[str]) -> dict[str, str]:
        """{part: column} where one of the names is there."""
        column = self.column(names)
        return {part: column} if column else {}

    def late(self, **names: Sequence[str]) -> dict[str, str]:
        """{column: part} for the names of each part that no column bears yet."""
        return {name: part for part, of_part in names.items() if not self.column(of_part) for name in of_part}

    def values(self, column: str) -> list[Any]:
        values = (row.get(column) for row in self.rows if isinstance(row, dict))
        return [value for value in values if value is not None]


def _named_shape(seen: _Seen, section: DataSection) -> Shape:
    """The shape of columns and templates that a person named; what they did not name is found where it can be."""
    format = section.format if section.format != "auto" else _format_of(seen, section)
    given = {part: column for part, field in FIELD_OF.items() if (column := getattr(section, field))}
    built = _templates(seen, section, format)
    found: dict[str, str] = {}
    for part in NEEDED[format]:
        if part in built:
            continue
        column = given.get(part) or _other_part(seen, section, part, taken=set(found.values()) | set(given.values()))
        if column is None:
            raise _missing(part, section, seen)
        found[part] = column
    for part in OPTIONAL.get(format, ()):
        if part not in built and part in given and given[part] not in found.values():
            found[part] = given[part]
    if format == "preference" and "prompt" not in found and "prompt" not in built:
        found |= seen.part("prompt", parts.PROMPT)
    late = {}
    if format == "messages":
        found |= seen.part("system", parts.SYSTEM) | seen.part("tools", parts.TOOLS)
        late = seen.late(system=parts.SYSTEM, tools=parts.TOOLS)
    reason = "The preset names a template." if built else NAMED
    return Shape(format, found, 1.0, reason, built, late)


def _format_of(seen: _Seen, section: DataSection) -> str:
    """The shape that the named parts belong to."""
    if section.messages_column:
        return "messages"
    if section.rejected_column:
        return "preference"
    answers = section.completion_column or section.completion_template
    if section.label_column:
        return "unpaired_preference" if answers else "text_label"
    asks = section.prompt_column or (section.prompt_template and not section.text_column)
    if answers or section.prompt_column:
        return "prompt_completion"
    used = templates.parse(section.prompt_template).columns if section.prompt_template else []
    answer = seen.column(parts.COMPLETION)
    return "prompt_completion" if asks and answer and answer not in used else "text"


def _templates(seen: _Seen, section: DataSection, format: str) -> dict[str, str]:
    """The part that each template builds. Raises `DataError` where the shape has none to build."""
    built = {}
    needed = (*NEEDED[format], *OPTIONAL.get(format, ()))
    for field, wanted in (("prompt_template", ("prompt", "text")), ("completion_template", ("completion",))):
        template = getattr(section, field)
        if not template:
            continue
        templates.check(template, seen.columns, f"data.{field}")
        part = next((part for part in wanted if part in needed), None)
        if part is None:
            raise DataError(f"The template has nothing to build: the rows are read as {HOLDS[format]}.",
                            f"Empty data.{field}, or choose another data.format.", field=f"data.{field}")
        built[part] = template
    return built


def _other_part(seen: _Seen, section: DataSection, part: str, taken: set[str]) -> str | None:
    """A column by its usual name, where only a template or other parts are named; a lone prompt or answer is not
    completed so."""
    if (part == "completion" and section.prompt_column) or (part == "prompt" and section.completion_column):
        return None
    names = {"prompt": parts.PROMPT, "completion": parts.COMPLETION, "text": parts.TEXT, "label": parts.LABEL,
             "chosen": parts.CHOSEN, "rejected": parts.REJECTED, "messages": parts.MESSAGES}.get(part, ())
    return next((seen.known[name] for name in names if name in seen.known and seen.known[name] not in taken), None)


def _missing(part: str, section: DataSection, seen: _Seen) -> DataError:
    field = f"data.{FIELD_OF[part]}"
    if part in ("prompt", "completion"):
        return DataError("Prompt and answer column go together, and only one is named.", f"Set {field} too.",
                         field=field)
    return DataError(f"No column is named that holds the {part.rstrip('12')}; the columns are {named(seen.columns)}.",
                     f"Set {field} too.", field=field)


def _find_preference(seen: _Seen) -> Shape | None:
    chosen, rejected = seen.column(parts.CHOSEN), seen.column(parts.REJECTED)
    if not (chosen and rejected):
        return None
    columns = seen.part("prompt", parts.PROMPT) | {"chosen": chosen, "rejected": rejected}
    columns |= seen.part("system", parts.SYSTEM) | seen.part("tools", parts.TOOLS)
    if chosen == seen.known.get("preferred_output") and columns.get("prompt", "").strip().lower() == "input":
        columns["tools"] = columns["prompt"]
    return Shape("preference", columns, 0.95 if "messages" in seen.known else 1.0,
                 f"{_shown(chosen)} holds the better answer, {_shown(rejected)} the worse.",
                 late=seen.late(prompt=() if "prompt" in columns else ("prompt",), system=parts.SYSTEM,
                                tools=() if "tools" in columns else parts.TOOLS))


def _find_unpaired(seen: _Seen) -> Shape | None:
    label, prompt, answer = seen.known.get("label"), seen.column(parts.PROMPT), seen.column(parts.COMPLETION)
    if not (label and prompt and answer and are_verdicts(seen.values(label))):
        return None
    sureness = 0.95 if are_booleans(seen.values(label)) else 0.85
    return Shape("unpaired_preference", {"prompt": prompt, "completion": answer, "label": label}, sureness,
                 f"{_shown(label)} says of each answer in {_shown(answer)} whether it is good.")


def _find_messages(seen: _Seen) -> Shape | None:
    for name in (*parts.MESSAGES, *(name for name in seen.known if name not in parts.PROMPT)):
        sure = name in parts.MESSAGES
        accepts = is_chat if sure else is_whole_chat
        if name in seen.known and any(accepts(value) for value in seen.values(seen.known[name])):
            columns = {"messages": seen.known[name]} | seen.part("system", parts.SYSTEM)
            columns |= seen.part("tools", parts.TOOLS)
            return Shape("messages", columns, 1.0 if sure else 0.8, f"{_shown(seen.known[name])} holds lists of"
                         " messages.", late=seen.late(system=parts.SYSTEM, tools=parts.TOOLS))
    if "messages" in seen.known:
        return Shape("messages", {"messages": seen.known["messages"]}, 0.8, 'There is a column "messages".')
    return None


def _find_text_pair(seen: _Seen) -> Shape | None:
    for first, second in parts.PAIRS:
        if first in seen.known and second in seen.known:
            columns = {"sentence1": seen.known[first], "sentence2": seen.known[second]}
            columns |= seen.part("negative", ("negative",)) | seen.part("score", parts.SCORE)
            return Shape("text_pair", columns, 0.95, f"{_shown(columns['sentence1'])} and "
                         f"{_shown(columns['sentence2'])} are texts that go together.")
    return None


def _find_prompt_only(seen: _Seen) -> Shape | None:
    """Prompts with a reference to check answers by, or with nothing beside."""
    prompt, reference = seen.column(("prompt", *ASKING)), seen.column(parts.REFERENCE)
    if not prompt:
        return None
    if reference and not seen.column(("completion", "output", "response")):
        return Shape("prompt_only", {"prompt": prompt, "answer": reference}, 0.9,
                     f"{_shown(prompt)} asks, and {_shown(reference)} is what answers are checked by.")
    if seen.column(parts.COMPLETION) or any(is_whole_chat(value) for value in seen.values(prompt)):
        return None
    others = [column for column in seen.columns if column != prompt and parts.is_prose(seen.values(column))]
    if _guess_by_name(seen) or (others and prompt.lower() not in ("prompt", "instruction")):
        return None
    return Shape("prompt_only", {"prompt": prompt}, 0.6, f"{_shown(prompt)} asks, and no column answers.")


def _find_pair(seen: _Seen) -> Shape | None:
    completion, prompt = seen.column(parts.COMPLETION), seen.column(parts.PROMPT)
    if not (prompt and completion):
        return _guess_by_name(seen)
    columns = {"prompt": prompt, "completion": completion} | seen.part("system", parts.SYSTEM)
    context = next((seen.known[name] for name in parts.CONTEXT if seen.known.get(name) not in (None, prompt)), None)
    columns |= {"context": context} if context else {}
    late = seen.late(system=parts.SYSTEM,
                     context=() if context else [name for name in parts.CONTEXT if name != prompt.strip().lower()])
    if any(is_chat(value) for value in seen.values(prompt)):
        columns |= seen.part("tools", parts.TOOLS)
        late |= seen.late(tools=parts.TOOLS)
    asks = " and ".join(_shown(columns[part]) for part in ("prompt", "context") if part in columns)
    sure = (prompt.lower(), completion.lower()) in (("prompt", "completion"), ("instruction", "output"))
    return Shape("prompt_completion", columns, 1.0 if sure else 0.9, f"{asks} asks, {_shown(completion)} answers.",
                 late=late)


def _find_text_label(seen: _Seen) -> Shape | None:
    text, label = seen.column(parts.TEXT), seen.column(parts.LABEL)
    if not (text and label) or any(isinstance(value, float | list | dict) for value in seen.values(label)):
        return None
    return Shape("text_label", {"text": text, "label": label}, 0.8 if are_labels(seen.values(label)) else 0.6,
                 f"{_shown(label)} is taken as the label of {_shown(text)}.")


def _find_text(seen: _Seen) -> Shape | None:
    name = seen.column(parts.TEXT)
    if name:
        return Shape("text", {"text": name}, 0.9, f"Column {_shown(name)} holds plain text.")
    if len(seen.known) == 1:
        only = next(iter(seen.known.values()))
        if all(isinstance(value, str) for value in seen.values(only)):
            return Shape("text", {"text": only}, 0.5, f"The only column, {_shown(only)}, is taken as plain text.")
    return None


def _guess_by_name(seen: _Seen) -> Shape | None:
    """A question or a text beside a column whose name says that it answers."""
    shape = _guess(seen)
    if shape is None or shape.confidence < parts.BY_PART_OF_NAME:
        return None
    answers = [found.column for found in propose(seen.columns, seen.rows) if found.part == "completion"]
    return shape if shape.columns["completion"] in answers else None


def _guess(seen: _Seen) -> Shape | None:
    """Question and answer under names of their own, by parts of names and by what stands in the columns."""
    found = {proposal.part: proposal for proposal in propose(seen.columns, seen.rows)}
    prompt = found.get("prompt") or found.get("text")
    answer = found.get("completion") or found.get("label")
    if not (prompt and answer):
        return None
    confidence = min(prompt.confidence, answer.confidence)
    reason = f"{_shown(prompt.column)} is taken as the question and {_shown(answer.column)} as the answer."
    return Shape("prompt_completion", {"prompt": prompt.column, "completion": answer.column}, confidence, reason)


def _shown(column: str) -> str:
    return f'"{words.plain(column, 40)}"'


FINDERS = {
    "preference": _find_preference, "unpaired_preference": _find_unpaired, "messages": _find_messages,
    "text_pair": _find_text_pair, "prompt_only": _find_prompt_only, "prompt_completion": _find_pair,
    "text_label": _find_text_label, "text": _find_text}
