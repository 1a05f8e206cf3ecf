"""The shapes that rows come in, what can be wrong with a row, and which shapes can be trained yet."""

from dataclasses import dataclass, field

from studio.errors import DataError

# OpenAI's names for what can be wrong with a row, then our own; {n} rows of {total}, the first is {row}
PROBLEMS = {
    "data_type": "{n} of {total} rows [is|are] not [an object|objects] with named columns (first: row {row}).",
    "missing_messages_list": "{n} of {total} rows [has|have] no list of messages (first: row {row}).",
    "python_not_json":
        "{n} of {total} rows [has|have] messages in Python's notation, which is not JSON (first: row {row}).",
    "message_missing_key": "{n} of {total} rows [has|have] a message without role or content (first: row {row}).",
    "message_unrecognized_key":
        "{n} of {total} rows [has|have] something other than text in a message, as a picture (first: row {row}).",
    "unrecognized_role":
        "{n} of {total} rows [has|have] a role beside system, user, assistant or tool (first: row {row}).",
    "missing_content": "{n} of {total} rows [has|have] an empty message (first: row {row}).",
    "example_missing_assistant_message": "{n} of {total} rows [has|have] no assistant answer (first: row {row}).",
    "unreadable_tools": "{n} of {total} rows [has|have] tools that are no list of objects (first: row {row}).",
    "unreadable_tool_calls": "{n} of {total} rows [has|have] calls of tools that name no function (first: row {row}).",
    "missing_prompt": "{n} of {total} rows [has|have] no prompt (first: row {row}).",
    "missing_completion": "{n} of {total} rows [has|have] no answer (first: row {row}).",
    "missing_text": "{n} of {total} rows [has|have] no text (first: row {row}).",
    "missing_pair": "{n} of {total} rows [lacks|lack] one of the texts that go together (first: row {row}).",
    "missing_label": "{n} of {total} rows [has|have] no label (first: row {row}).",
    "missing_rejected": "{n} of {total} rows [has|have] no rejected answer (first: row {row}).",
    "chosen_equals_rejected":
        "{n} of {total} rows [has|have] the same answer as chosen and as rejected (first: row {row}).",
    "label_not_boolean": "{n} of {total} rows [has|have] a label that is not true or false (first: row {row}).",
    "score_not_number": "{n} of {total} rows [has|have] a score that is not a number (first: row {row}).",
    "template_empty_column":
        "{n} of {total} rows [has|have] an empty column that the template needs (first: row {row}).",
}
HINTS = {
    "python_not_json": "Write them with json.dumps before the table is saved, or save the rows as JSON Lines.",
    "message_unrecognized_key": "The studio trains on text; leave [that row|those rows] out.",
    "example_missing_assistant_message": "Drop [that row or give it|those rows or give them] an answer,"
                                         " then check again.",
    "unreadable_tools": "Write tools as a list of objects, or as JSON of one, or drop [that row|those rows].",
    "unreadable_tool_calls": 'Write each call as {"function": {"name": "...", "arguments": "{}"}},'
                             " or drop [that row|those rows].",
    "chosen_equals_rejected": "Drop [that row|those rows]: nothing can be preferred."
                             " Masks and mends may have made answers equal.",
    "label_not_boolean": "Label good answers true and bad ones false.",
    "template_empty_column": "Put [[ ]] around the part that may be left out, or drop [that row|those rows].",
}
FIX_ROWS = "Fix [that row or drop it|those rows or drop them], then check again."

# what holds, why it is not trained, and what a person can do
NOT_TRAINED = {
    "preference": ("pairs of a chosen and a rejected answer", "Set data.format to prompt_completion to learn the chosen"
                   " answers, or choose another data set."),
    "unpaired_preference": ("answers labelled good or bad", "Keep the good answers alone and set data.format to"
                            " prompt_completion, or choose another data set."),
    "prompt_only": ("prompts without an answer to learn word for word", "Set data.format to prompt_completion if the"
                    " rows do hold answers to learn, or choose another data set."),
    "text_pair": ("pairs of texts, as embedding models learn from them", "Choose a data set with chats, prompts and"
                  " answers, or text."),
}


@dataclass(frozen=True)
class Shape:
    """What the columns hold: `format` as in `data.format`, and which column plays which part.

    `columns` maps parts to column names: messages, prompt, context, completion, system, tools, text, label, chosen,
    rejected, sentence1, sentence2, negative, score, answer. `templates` build a part (prompt, completion, text) from
    columns instead. `confidence` is 1 where a person or a standard named the columns, lower where they were guessed;
    `reason` says why in a sentence. `late` maps columns that the first rows lack to the parts they play where a later
    row has them.
    """

    format: str
    columns: dict[str, str]
    confidence: float
    reason: str
    templates: dict[str, str] = field(default_factory=dict)
    late: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A row cannot be used; the only argument is the name of the problem, one of PROBLEMS."""


def refusal(format: str) -> DataError | None:
    """Why a run on rows of this shape is refused, or None where they can be trained."""
    if format not in NOT_TRAINED:
        return None
    held, hint = NOT_TRAINED[format]
    return DataError(f"The rows hold {held}, which this version examines but cannot train on yet.", hint,
                     field="data.format")
