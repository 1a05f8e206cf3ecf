"""Templates build texts from columns, leave optional parts out, run nothing, and say what is wrong with them."""

import contextlib

import pytest

from studio.data.formats import convert
from studio.data.templates import check, parse
from studio.errors import DataError
from studio.preset.schema import DataSection
from tests.seconds import least_seconds

ROW = {"title": "Soup", "body": "Boil.", "n": 3, "none": None, "empty": " ", "list": ["a", 1], "first name": "Ann"}


@pytest.mark.parametrize(("template", "text"), [
    ("{title}: {body}", "Soup: Boil."),
    ("{ title }\n{first name}", "Soup\nAnn"),
    ("{title}[[ ({n})]]", "Soup (3)"),
    ("{title}[[ by {none}]][[, {empty}]].", "Soup."),
    ("[[{none} and {title}]]{body}", "Boil."),
    ('{{"name": "{title}"}}', '{"name": "Soup"}'),
    ("[[[[{n}]]]]", "[[3]]"),
    ("{list}", '["a", 1]'),
    ("[1] {title} ] [", "[1] Soup ] ["),
    ("{body}{body}", "Boil.Boil."),
    ("{none}", None), ("{title} {empty}", None), ("{missing}", None),
])
def test_a_template_is_filled_from_a_row(template, text):
    assert parse(template).fill(ROW) == text


def test_what_stands_in_a_column_is_text_and_never_a_template_again():
    assert parse("{a}").fill({"a": "{b} [[x]] {0.__class__}", "b": "no"}) == "{b} [[x]] {0.__class__}"
    assert parse("{a.__class__}").fill({"a": "x"}) is None and parse("{a.__class__}").columns == ["a.__class__"]


@pytest.mark.parametrize(("template", "message"), [
    ("{title", 'at "{": { stands alone'), ("title}", "} stands alone"), ("{}", "{} names no column"),
    ("{title} [[ {body}", "a [[ has no ]]"), ("{title} ]]", "]] ends what no [[ began"),
    ("[[ a [[ {b} ]] ]]", "[[ stands in [[ ]] again"), ("{a} [[ b ]]", "holds no column"),
    ("the same for all", "names no column"), ("{a}" * 40_000, "too long"),
])
def test_what_is_wrong_with_a_template_is_said(template, message):
    with pytest.raises(DataError) as caught:
        parse(template)
    assert message in caught.value.message and caught.value.hint


def test_an_unknown_column_is_named_with_the_nearest():
    with pytest.raises(DataError) as caught:
        check("{tile}: {body}", ["title", "body"], "data.prompt_template")
    assert caught.value.message == 'There is no column "tile"; the columns are title, body. Did you mean "title"?'
    assert caught.value.field == "data.prompt_template"
    with pytest.raises(DataError, match=r'no column "x"; the columns are title, body\. Write'):
        check("{x}", ["title", "body"], "data.prompt_template")
    with pytest.raises(DataError, match="stands alone") as caught:
        check("{", ["title"], "data.completion_template")
    assert caught.value.field == "data.completion_template"


def test_hostile_templates_take_no_time():
    def parse_all():
        for template in ("[[" * 40_000, "{" * 90_000, "{a}[[" * 15_000, "]]]]" * 20_000, "{{" * 49_000 + "{a}"):
            with contextlib.suppress(DataError):
                parse(template)

    assert least_seconds(parse_all, below=2) < 2


@pytest.mark.parametrize(("values", "format", "wanted"), [
    ({"prompt_template": "{title}: {body}", "completion_column": "tag"}, "prompt_completion",
     {"prompt": "a: b", "completion": "c"}),
    ({"prompt_template": "{title}: {body}", "completion_template": "<{tag}>"}, "prompt_completion",
     {"prompt": "a: b", "completion": "<c>"}),
    ({"prompt_template": "# {title}\n\n{body}"}, "text", {"text": "# a\n\nb"}),
    ({"prompt_template": "{title}", "format": "text"}, "text", {"text": "a"}),
    ({"prompt_template": "{title}", "label_column": "tag"}, "text_label", {"prompt": "a", "completion": "c"}),
    ({"prompt_template": "{title}", "completion_column": "body", "rejected_column": "tag"}, "preference",
     {"prompt": "a", "chosen": "b", "rejected": "c"}),
    ({"prompt_column": "title", "completion_template": "{body} ({tag})"}, "prompt_completion",
     {"prompt": "a", "completion": "b (c)"}),
    ({"prompt_template": "{title}", "format": "prompt_only"}, "prompt_only", {"prompt": "a"}),
])
def test_templates_build_the_parts_of_every_shape(values, format, wanted):
    converted = convert([{"title": "a", "body": "b", "tag": "c"}], DataSection(**values))
    assert (converted.shape.format, converted.rows) == (format, [wanted])
    assert converted.shape.reason == "The preset names a template."


def test_a_template_uses_the_known_answer_column_it_does_not_name():
    row = {"title": "a", "answer": "b"}
    assert convert([row], DataSection(prompt_template="Q: {title}")).rows == [{"prompt": "Q: a", "completion": "b"}]
    assert convert([row], DataSection(prompt_template="{title} {answer}")).rows == [{"text": "a b"}]


def test_rows_that_lack_what_a_template_needs_are_refused():
    rows = [{"title": "a", "body": "b"}, {"title": "", "body": "b"}, {"title": "a"}]
    converted = convert(rows, DataSection(prompt_template="{title}[[: {body}]]"))
    assert (converted.rows, converted.refused) == ([{"text": "a: b"}, {"text": "a"}], [(2, "template_empty_column")])
    converted = convert(rows[1:2], DataSection(prompt_template="[[{title}]]"))
    assert converted.refused == [(1, "missing_text")]


def test_chats_have_nothing_for_a_template_to_build():
    rows = [{"messages": [{"role": "user", "content": "a"}]}]
    with pytest.raises(DataError, match="nothing to build: the rows are read as messages") as caught:
        convert(rows, DataSection(format="messages", prompt_template="{messages}"))
    assert caught.value.field == "data.prompt_template"
