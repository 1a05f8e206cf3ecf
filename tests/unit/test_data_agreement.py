"""The doctor, the page of rows and the rows of a run say the same of one data set."""

import json
import zipfile
from collections import defaultdict
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from studio.data import overlay
from studio.data.account import stops
from studio.data.doctor import examine, heldout_of
from studio.data.prepare import look, prepare
from studio.data.rows import Query, find_rows
from studio.errors import DataError
from studio.preset.schema import DataSection, Preset
from studio.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path / "data")})


def chat(question, answer="fine", **more):
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]} | more


def lines(rows):
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def said(path, settings, **data):
    """What the three say: the report, the rows of a run, and the rows of the page that have problems."""
    section = DataSection(dataset_name=str(path), **data)
    report = examine(section, settings)
    prepared = look(Preset(data=section), settings)
    return report, prepared, find_rows(section, settings, Query(only="problem", limit=1000)).rows


def found(report):
    """Names with level, count and places (row, line)."""
    return {one.name: (one.level, one.count, [(place.row, place.line) for place in one.places])
            for one in report.findings if one.name != "few_rows"}


def errors_of_rows(report):
    """How many rows each problem costs; that a shape is not trained yet is no fault of any row."""
    return {one.name: one.count for one in report.findings if one.level == "error" and one.name != "not_trained_yet"}


def usable(prepared):
    return len(prepared.train) + len(prepared.heldout)


def test_with_a_limit_only_what_stands_before_its_last_row_counts(tmp_path, settings):
    path = tmp_path / "rows.jsonl"
    path.write_text(lines([chat("a"), "{broken", chat("b"), "", chat("c"), "nope", chat("d"), "xx", chat("e")]))
    report, prepared, page = said(path, settings, max_rows=3)
    assert found(report) == {"not_json": ("error", 1, [(0, 2)])}
    assert [(entry.reason, entry.line) for entry in prepared.left_out] == [("not_json", 2)]
    assert [(row.problems, row.line) for row in page] == [(["not_json"], 2)]


def agree(path, settings, **data):
    """The three say the same of every row that costs something; returns the names with the rows' numbers."""
    report, prepared, page = said(path, settings, bad_rows="drop", **data)
    lost = {}
    for entry in prepared.left_out:
        if stops(entry):
            lost.setdefault(entry.reason, []).append(entry.row)
    assert errors_of_rows(report) == {
        name: len(rows) for name, rows in lost.items()}
    assert report.usable_rows == usable(prepared)
    assert report.rows == usable(prepared) + sum(entry.reason != "excluded_by_hand" for entry in prepared.left_out)
    shown = {}
    for row in page:
        for name in row.problems:
            shown.setdefault(name, []).append(row.number)
    assert {name: rows for name, rows in shown.items() if name in lost} == lost
    assert report.shape["format"] == prepared.source.shape.format
    return lost


TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {}}}


def test_tools_that_cannot_be_read_cost_their_rows_alone(tmp_path, settings):
    path = tmp_path / "rows.jsonl"
    bad = ["not json", '"text"', 5, True, [5], ["[1"], {"name": "no list"}, {"tools": 5}, "[" * 300 + "]" * 300]
    good = [None, "", " ", [], {}, [TOOL], json.dumps([TOOL]), {"tools": [TOOL]}]
    path.write_text(lines([chat(f"q{i}", tools=tools) for i, tools in enumerate(bad + good)]))
    assert agree(path, settings) == {"unreadable_tools": list(range(1, len(bad) + 1))}
    prepared = said(path, settings, bad_rows="drop", test_size=0)[1]
    assert [row.get("tools") for row in prepared.train] == [None] * 5 + [[TOOL]] * 3


EARLY = [chat(f"q{i}") for i in range(120)]


def test_tools_and_system_prompts_that_come_late_are_used(tmp_path, settings):
    path = tmp_path / "rows.jsonl"
    path.write_text(lines([*EARLY, chat("late", tools=[TOOL], system="SYS"), chat("late", system_prompt="P", tools=5)]))
    assert agree(path, settings) == {"unreadable_tools": [122]}
    report, prepared, _ = said(path, settings, bad_rows="drop", test_size=0)
    assert prepared.train[-1]["tools"] == [TOOL]
    assert prepared.train[-1]["messages"][0] == {"role": "system", "content": "SYS"}
    assert set(found(report)) == {"unreadable_tools"} and report.turns["with_system"] > 0
    path.write_text(lines([{"instruction": f"do {i}", "output": "x"} for i in range(120)]
                          + [{"instruction": "do", "input": "this", "output": "x", "system": "SYS"}]))
    assert said(path, settings, test_size=0)[1].train[-1]["prompt"] == [
        {"role": "system", "content": "SYS"}, {"role": "user", "content": "do\n\nthis"}]


@pytest.mark.parametrize("late", ["rejected", "weight", "Tools", "label"])
def test_columns_that_come_late_and_are_not_used_are_told(tmp_path, settings, late):
    path = tmp_path / "rows.jsonl"
    rows = [*EARLY, chat("a", **{late: "b"}), chat("c", **{late: None, "id": 7}), chat("d", **{late: "e"})]
    path.write_text(lines(rows))
    report, prepared, page = said(path, settings)
    assert found(report) == {"late_column": ("warning", 2, [(121, 121), (123, 123)])}
    assert report.findings[0].places[0].detail == late
    assert prepared.source.late == {late: (121, 2)}
    assert [(row.number, row.problems) for row in page] == [(121, ["late_column"]), (123, ["late_column"])]


NO_OBJECTS = ["text", None, 5, [1], [chat("a")], True]


def test_the_shape_is_told_from_the_first_rows_that_are_objects(tmp_path, settings):
    path = tmp_path / "rows.jsonl"
    path.write_text(lines([json.dumps(NO_OBJECTS[i % 6]) for i in range(150)] + [chat(f"q{i}") for i in range(20)]))
    assert agree(path, settings) == {"data_type": list(range(1, 151))}
    path.write_text(lines([json.dumps(row) for row in NO_OBJECTS] * 20))
    for look_at in (lambda: examine(DataSection(dataset_name=str(path)), settings),
                    lambda: look(Preset(data=DataSection(dataset_name=str(path))), settings),
                    lambda: find_rows(DataSection(dataset_name=str(path)), settings, Query())):
        with pytest.raises(DataError, match="are not objects with named columns"):
            look_at()


def test_the_shape_is_told_from_the_rows_as_edits_leave_them(tmp_path, settings):
    path = tmp_path / "rows.jsonl"
    path.write_text(lines([{"text": f"words {i}"} for i in range(103)] + [chat(f"q{i}") for i in range(20)]))
    section = DataSection(dataset_name=str(path), edits="mine")
    for number in range(1, 101):
        overlay.exclude(section, settings, number)
    overlay.replace(section, settings, 101, json.dumps(chat("by hand")))
    assert agree(path, settings, edits="mine") == {"missing_messages_list": [102, 103]}
    shown = find_rows(section, settings, Query(offset=103, limit=1)).rows
    assert shown[0].normalised == chat("q0") and not shown[0].problems


def test_rows_left_out_by_hand_are_no_problem_and_are_found_to_be_restored(tmp_path, settings):
    path = tmp_path / "rows.jsonl"
    path.write_text(lines([{"messages": []}, chat("a")]))
    section = DataSection(dataset_name=str(path), edits="mine")
    overlay.exclude(section, settings, 1)
    assert agree(path, settings, edits="mine", test_size=0) == {}
    overlay.exclude(section, settings, 2)
    assert find_rows(section, settings, Query(only="excluded")).total == 2
    for look_at in (lambda: examine(section, settings), lambda: look(Preset(data=section), settings)):
        with pytest.raises(DataError, match="left out by hand"):
            look_at()


def test_rows_without_the_column_of_text_are_not_taken_for_separators(tmp_path, settings):
    path = tmp_path / "rows.jsonl"
    path.write_text(lines([{"text": f"words {i}"} for i in range(110)] + [{"text": " "}, chat("a"), {"text": None}]))
    assert agree(path, settings) == {"missing_text": [112]}
    report, prepared, _ = said(path, settings)
    assert found(report)["empty_text"] == ("info", 2, [(111, 111), (113, 113)])
    assert [entry.row for entry in prepared.left_out if entry.reason == "empty_text"] == [111, 113]
    path.write_text(lines([{"text": ""}] * 3))
    report = examine(DataSection(dataset_name=str(path)), settings)
    page = find_rows(DataSection(dataset_name=str(path)), settings, Query(only="problem"))
    assert [(one.name, one.count) for one in report.findings] == [("missing_text", 3)]
    assert [row.problems for row in page.rows] == [["missing_text"]] * 3
    with pytest.raises(DataError, match="have no text"):
        look(Preset(data=DataSection(dataset_name=str(path))), settings)


SAME_MASKED = {"prompt": "your mail", "chosen": "jan@seznam.cz", "rejected": "eva@seznam.cz"}
SAME_MENDED = {"prompt": "say", "chosen": "this<|im_end|>", "rejected": "this"}
SAME_ROLES = {"prompt": "say", "chosen": "this", "rejected": [{"role": "assistant", "content": "this"}]}


@pytest.mark.parametrize(("how", "numbers"), [
    ({}, [3]), ({"mask": "all"}, [1, 3]), ({"mask": "secrets"}, [3])])
def test_answers_that_masking_makes_equal_are_found(tmp_path, settings, how, numbers):
    path = tmp_path / "rows.jsonl"
    good = [{"prompt": f"p{i}", "chosen": "x", "rejected": "y"} for i in range(9)]
    path.write_text(lines([SAME_MASKED, SAME_MENDED, SAME_ROLES, *good]))
    assert agree(path, settings, **how) == {"chosen_equals_rejected": numbers}
    with pytest.raises(DataError, match="the same answer as chosen and as rejected"):
        prepare(Preset(data=DataSection(dataset_name=str(path), **how)), settings)


def test_answers_that_mending_makes_equal_are_found(tmp_path, settings):
    path = tmp_path / "rows.jsonl"
    path.write_text(lines([SAME_MASKED, SAME_MENDED, SAME_ROLES, *[SAME_MASKED] * 3]))
    report, prepared, page = said(path, settings, bad_rows="fix")
    assert errors_of_rows(report) == {"chosen_equals_rejected": 2}
    assert [(entry.reason, entry.row) for entry in prepared.left_out] == [
        ("chosen_equals_rejected", 2), ("chosen_equals_rejected", 3)]
    assert [(row.number, row.problems) for row in page] == [(n, ["chosen_equals_rejected"]) for n in (2, 3)]


def test_a_chat_of_which_mending_leaves_no_answer_is_found(tmp_path, settings):
    path = tmp_path / "rows.jsonl"
    path.write_text(lines([*[chat(f"q{i}") for i in range(4)], chat("a", "<|im_end|>"), chat("b", "c<|im_end|>")]))
    report, prepared, page = said(path, settings, bad_rows="fix")
    assert errors_of_rows(report) == {"example_missing_assistant_message": 1}
    assert [(entry.reason, entry.row) for entry in prepared.left_out] == [("example_missing_assistant_message", 5)]
    assert [(row.number, row.problems) for row in page] == [
        (5, ["example_missing_assistant_message"]), (6, ["special_token_in_content"])]


def test_held_out_rows_of_their_own_are_all_read_whatever_the_limit_and_the_edits(tmp_path, settings):
    path, other = tmp_path / "rows.jsonl", tmp_path / "other.jsonl"
    path.write_text(lines([chat(f"q{i}", "one") for i in range(9)]))
    rows = [chat("q0", "one"), chat("q1", "two"), {"messages": []}, *[chat(f"h{i}") for i in range(5)]]
    other.write_text(lines(rows))
    section = DataSection(dataset_name=str(path), dataset_test_split=str(other), max_rows=4, bad_rows="drop",
                          edits="mine")
    overlay.exclude(section, settings, 3)
    report = examine(section, settings, heldout=heldout_of(section, settings))
    prepared = look(Preset(data=section), settings)
    assert report.usable_rows == len(prepared.train) == 3
    assert report.overlap.heldout_rows == len(prepared.heldout) == 7
    assert (report.overlap.exact, report.overlap.same_question) == (1, 1)
    assert (prepared.leakage.exact, prepared.leakage.same_question) == ({0: 0}, {1: 1})
    assert found(report)["heldout_unusable"][1] == sum(stops(entry) for entry in prepared.own_heldout.left_out) == 1
    bundled = DataSection(dataset_name="bundled:recipes", test_size=0)
    assert heldout_of(bundled, settings) is None and not look(Preset(data=bundled), settings).heldout


PLAIN = ["a", "b", "a b", "x", "jan@seznam.cz", "eva@seznam.cz", "sk-" + "aB3" * 10, "x<|im_end|>"]
TEXTS = st.sampled_from(PLAIN)
ODD = st.sampled_from([None, 5, True, [], {}, ["a"], [{"role": "user"}], [{"role": "user", "content": "q"}],
                       [{"role": "assistant", "content": "x"}], "[1]", '{"a": 1}', "", " ", "z\0", "<|im_end|>"])
CELLS = st.one_of(TEXTS, TEXTS, ODD)
TURN = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": TEXTS})
MESSAGES = st.lists(st.one_of(TURN, TURN, TURN, st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "tool", "customer"])},
    optional={"content": CELLS, "weight": st.sampled_from([0, 1, "1", None]), "tool_calls": ODD})), max_size=4)


def rows_of(parts, **more):
    """Rows that have all parts, most of them as texts, and some with odd or missing ones."""
    odd = {name: st.one_of(cells, ODD) for name, cells in parts.items()}
    return st.one_of(*[st.fixed_dictionaries(parts, optional=more)] * 3, st.fixed_dictionaries(odd, optional=more),
                     st.fixed_dictionaries({}, optional=odd | more))


ROWS = {
    "chats": rows_of({"messages": st.one_of(MESSAGES, st.just(chat("a")["messages"]))}, tools=ODD, system=CELLS),
    "pairs": rows_of({"prompt": TEXTS, "completion": TEXTS}, system=CELLS, input=CELLS),
    "texts": rows_of({"text": TEXTS}, id=CELLS),
    "labels": rows_of({"text": TEXTS, "label": TEXTS}),
    "preferences": rows_of({"prompt": TEXTS, "chosen": TEXTS, "rejected": TEXTS}, tools=ODD),
    "answers": rows_of({"prompt": TEXTS, "completion": TEXTS, "label": st.booleans()}),
}
GOOD = {
    "chats": chat("good"), "pairs": {"prompt": "good", "completion": "x"}, "texts": {"text": "good"},
    "labels": {"text": "good", "label": "x"}, "preferences": {"prompt": "good", "chosen": "x", "rejected": "y"},
    "answers": {"prompt": "good", "completion": "x", "label": True}}
BROKEN = st.sampled_from(["{broken", "nope", "[1, 2]", '"text"', "null", "5", '{"prompt": 1, "prompt": 2}', "", "  ",
                          '{"text": "\\ud800"}', '{"text": "a\0"}', "[" * 400 + "]" * 400, '{"prompt": "a'])


@st.composite
def data_sets(draw):
    """Lines of a file with a good row first, options, and rows left out or put in place of others by hand."""
    shape = draw(st.sampled_from(sorted(ROWS)))
    others = st.sampled_from(sorted(ROWS)).flatmap(ROWS.get)
    rows = draw(st.lists(st.one_of(*[ROWS[shape]] * 4, BROKEN, others), min_size=4, max_size=12))
    options = draw(st.fixed_dictionaries({
        "mask": st.sampled_from(["none", "secrets", "all"]), "bad_rows": st.sampled_from(["drop", "drop", "fix"]),
        "max_rows": st.sampled_from([0, 0, 3, 8]), "drop_duplicates": st.booleans(),
        "test_size": st.sampled_from([0, 0.3])}))
    edits = draw(st.dictionaries(st.integers(2, 8), st.one_of(st.none(), ROWS[shape].filter(bool)), max_size=3))
    # in a file, or in two files of an archive, of which the first has so many lines
    return [GOOD[shape], *rows], draw(st.sampled_from([0, 0, 2])), options, edits


@settings_of_hypothesis(max_examples=100, deadline=None, derandomize=True,
                        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(case=data_sets())
def test_whatever_stands_in_a_file_the_three_agree(tmp_path, settings, case):
    rows, in_first, options, edits = case
    path = tmp_path / "rows.jsonl"
    if in_first:
        path = tmp_path / "rows.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.jsonl", lines(rows[:in_first]))
            archive.writestr("b.jsonl", lines(rows[in_first:]))
    else:
        path.write_text(lines(rows))
    (settings.data_dir / "edits" / "mine.jsonl").unlink(missing_ok=True)
    n = sum(file["rows"] for file in examine(DataSection(dataset_name=str(path)), settings, thorough=False).files)
    edits = {number: row for number, row in edits.items() if number <= n}
    for number, row in edits.items():
        plain = DataSection(dataset_name=str(path), edits="mine")
        if row is None:
            overlay.exclude(plain, settings, number)
        else:
            overlay.replace(plain, settings, number, json.dumps(row))
    options |= {"edits": "mine"} if edits else {}
    section = DataSection(dataset_name=str(path), **options)
    try:
        look(Preset(data=section), settings)
    except DataError:  # no row can be used, or nobody can tell the shape
        with suppress(DataError):
            assert examine(section, settings).usable_rows == 0
        return
    report, prepared, page = said(path, settings, **options)
    left_out = [entry for entry in prepared.left_out if entry.reason != "excluded_by_hand"]
    assert report.rows == usable(prepared) + len(left_out)
    if not options["max_rows"]:
        excluded = sum(row is None for row in edits.values())
        # blank lines are no rows
        assert report.rows + excluded == sum(not isinstance(row, str) or bool(row.strip()) for row in rows)
    repeated = sum(entry.reason == "duplicates" for entry in left_out)
    assert report.usable_rows == usable(prepared) + repeated
    if options["drop_duplicates"]:
        assert report.duplicates.exact == repeated
    lost, shown = defaultdict(list), defaultdict(list)
    for entry in left_out:
        lost[entry.reason].append((entry.row, entry.line))
    for row in page:
        for name in row.problems:
            shown[name].append((row.number, row.line))
    errors = errors_of_rows(report)
    lost = {name: places for name, places in lost.items() if name not in ("duplicates", "empty_text")}
    if options["bad_rows"] == "drop":
        assert errors == {name: len(places) for name, places in lost.items()}
        assert {name: places for name, places in shown.items() if name in errors} == lost
    else:
        assert all(errors.get(name, 0) >= len(places) for name, places in lost.items())
        assert all(set(places) <= set(shown[name]) for name, places in lost.items())
