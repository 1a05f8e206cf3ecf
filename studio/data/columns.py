"""Which column plays which part, told by its name and by what stands in it, each with how sure that is and why."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from studio import words
from studio.data.chats import is_chat

# the names in use, the surest first; compared in lower case
MESSAGES = ("messages", "conversations", "conversation", "chat", "dialog", "dialogue")
PROMPT = ("prompt", "instruction", "question", "query", "input", "source", "user", "human", "problem")
COMPLETION = (
    "completion", "output", "response", "answer", "target", "assistant", "gpt", "solution", "generated_solution",
    "chosen")
CONTEXT = ("input", "context")
SYSTEM = ("system", "system_prompt")
TOOLS = ("tools",)
TEXT = ("text", "content", "document", "body", "sentence", "review")
LABEL = ("label", "category", "class", "intent", "sentiment")
CHOSEN = ("chosen", "preferred_output", "chosen_response")
REJECTED = ("rejected", "non_preferred_output", "rejected_response")
REFERENCE = ("ground_truth", "reference_answer", "reference", "verifiable_answer", "gold_answer")
SCORE = ("score", "similarity", "similarity_score")
PAIRS = (
    ("sentence1", "sentence2"), ("sentence_a", "sentence_b"), ("sentence_1", "sentence_2"), ("anchor", "positive"),
    ("query", "positive"), ("premise", "hypothesis"), ("text1", "text2"), ("text_a", "text_b"),
    ("question1", "question2"))
# parts of names that say the same, also in other languages
SAYS_PROMPT = frozenset({
    "prompt", "instruction", "question", "query", "ask", "request", "frage", "anfrage", "pregunta", "pergunta",
    "domanda", "vraag", "pytanie", "otazka", "kerdes", "soru", "вопрос", "问题", "質問", "intrebare", "user"})
SAYS_COMPLETION = frozenset({
    "completion", "answer", "response", "reply", "output", "summary", "highlights", "antwort", "respuesta", "resposta",
    "risposta", "reponse", "réponse", "antwoord", "odpowiedz", "odpoved", "valasz", "cevap", "ответ", "答案", "回答",
    "solution", "assistant", "bot", "raspuns"})
SAYS_TEXT = frozenset({"text", "content", "document", "body", "article", "passage", "paragraph"})
SAYS_LABEL = frozenset({"label", "category", "class", "intent", "sentiment", "topic", "tag"})
SAYS_NO_TEXT = frozenset({"id", "ids", "date", "time", "url", "type", "count", "number", "score", "length", "lang"})
SAYS_REJECTED = frozenset({"rejected", "worse", "bad"})

# what labels of answers say, in lower case
TRUE, FALSE = frozenset({"true", "1", "1.0", "yes", "good"}), frozenset({"false", "0", "0.0", "no", "bad"})

LABELS_AT_MOST, LABEL_CHARACTERS, LABEL_ROWS = 20, 60, 6
SURE_SHARE = 0.9
BY_NAME, BY_PART_OF_NAME, BY_CONTENT, BY_ORDER = 0.9, 0.7, 0.6, 0.4


@dataclass(frozen=True)
class Proposal:
    """`column` for a part of the mapping, how sure (0 to 1), and why in a sentence."""

    part: str
    column: str
    confidence: float
    reason: str


def propose(columns: Sequence[str], first_rows: Sequence[Any]) -> list[Proposal]:
    """The likeliest column for each part there is one for, each column at most once; surest first."""
    found = [proposal for column in columns for proposal in _of_column(column, _values(first_rows, column))]
    known = {column.strip().lower(): column for column in columns}
    if "q" in known and "a" in known:
        found += [Proposal(part, known[name], BY_PART_OF_NAME, "q and a stand for question and answer.")
                  for part, name in (("prompt", "q"), ("completion", "a"))]
    chosen: dict[str, Proposal] = {}
    taken: set[str] = set()
    for proposal in sorted(found, key=lambda proposal: -proposal.confidence):
        if proposal.part not in chosen and proposal.column not in taken:
            chosen[proposal.part] = proposal
            taken.add(proposal.column)
    left = [column for column in columns if column not in taken and is_prose(_values(first_rows, column))]
    return sorted([*chosen.values(), *_by_order(left, chosen)], key=lambda proposal: -proposal.confidence)


def is_prose(values: Sequence[Any]) -> bool:
    """Whether a column holds texts, and not codes, addresses of pages or dates."""
    texts = [value for value in values if isinstance(value, str) and value.strip()]
    return bool(texts) and len(texts) * 2 > len(values) and sum(" " in text.strip() for text in texts) * 2 >= len(texts)


def are_labels(values: Sequence[Any]) -> bool:
    """Whether few short values come again and again."""
    said = [str(value) for value in values if isinstance(value, str | int)]
    different = set(said)
    return (len(said) == len(values) >= LABEL_ROWS and len(different) <= min(LABELS_AT_MOST, len(said) // 2)
            and all(len(label) <= LABEL_CHARACTERS for label in different))


def are_booleans(values: Sequence[Any]) -> bool:
    """Whether most values are true or false; the others may be typing errors."""
    said = sum(isinstance(value, bool) or str(value).strip().lower() in ("true", "false") for value in values)
    return bool(values) and 2 * said >= len(values)


def verdict_of(label: Any) -> bool | None:
    """Whether a label calls its answer good; None where it says neither."""
    said = str(label).strip().lower()
    return True if said in TRUE else False if said in FALSE else None


def are_verdicts(values: Sequence[Any]) -> bool:
    """Whether values beside answers call them good or bad: most are true or false, or nearly all say it otherwise.

    Of ratings and numbered classes, too, many are 0 or 1.
    """
    said = sum(verdict_of(value) is not None for value in values)
    return are_booleans(values) or (bool(values) and said >= SURE_SHARE * len(values))


def _values(rows: Sequence[Any], column: str) -> list[Any]:
    values = (row.get(column) for row in rows if isinstance(row, dict))
    return [value for value in values if value is not None]


def _of_column(column: str, values: list[Any]) -> list[Proposal]:
    """What a column could be by itself."""
    shown, name = f'"{words.plain(column, 40)}"', column.strip().lower()
    if any(is_chat(value) for value in values):
        part = next((part for part, names in (("rejected", REJECTED), ("chosen", CHOSEN), ("prompt", PROMPT))
                     if name in names), "messages")
        return [Proposal(part, column, 1.0 if name in MESSAGES else BY_NAME, f"{shown} holds lists of messages.")]
    if are_booleans(values):
        return [Proposal("label", column, BY_NAME, f"{shown} holds true and false.")]
    found = []
    says = set(_words_of(column))
    texts = [value.strip() for value in values if isinstance(value, str)]
    for part, names, said in (
            ("prompt", PROMPT, SAYS_PROMPT), ("completion", COMPLETION[:-1], SAYS_COMPLETION),
            ("text", TEXT, SAYS_TEXT), ("label", LABEL, SAYS_LABEL),
            ("chosen", CHOSEN, frozenset()), ("rejected", REJECTED, SAYS_REJECTED),
            ("system", SYSTEM, frozenset()), ("context", ("context",), frozenset())):
        if name in names:
            sureness = BY_NAME - 0.01 * names.index(name)
            found.append(Proposal(part, column, sureness, f"{shown} is a usual name for it."))
        elif says.intersection(said) and not says.intersection(SAYS_NO_TEXT) and (texts or not values):
            found.append(Proposal(part, column, BY_PART_OF_NAME, f"The name {shown} says so."))
    asked = sum(text.endswith(("?", "？")) for text in texts)
    if texts and asked * 2 > len(texts):
        found.append(Proposal("prompt", column, BY_CONTENT, f"Most texts in {shown} are questions."))
    if are_labels(values):
        found.append(Proposal("label", column, BY_CONTENT, f"{shown} holds few values that come again and again."))
    return found


def _by_order(left: list[str], chosen: dict[str, Proposal]) -> list[Proposal]:
    """What two columns of texts are where nothing but their order tells."""
    if len(left) == 2 and not {"prompt", "completion", "text"} & set(chosen):
        return [Proposal("prompt", left[0], BY_ORDER, "It is the first of two columns of texts."),
                Proposal("completion", left[1], BY_ORDER, "It is the second of two columns of texts.")]
    if len(left) == 1 and "completion" not in chosen and "prompt" in chosen:
        return [Proposal("completion", left[0], BY_ORDER, "It is the other column of texts.")]
    if len(left) == 1 and "prompt" not in chosen and "completion" in chosen:
        return [Proposal("prompt", left[0], BY_ORDER, "It is the other column of texts.")]
    if len(left) == 1 and "text" not in chosen and "completion" not in chosen:
        return [Proposal("text", left[0], BY_ORDER, "It is the only column of texts.")]
    return []


def _words_of(column: str) -> list[str]:
    """"customerQuestion_1" as customer, question."""
    spaced = re.sub(r"([a-zß-ÿ])([A-Z])", r"\1 \2", column)
    return [word for word in re.split(r"[\W\d_]+", spaced.lower()) if word]
