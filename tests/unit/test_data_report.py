"""What the report says: one name for each problem, right grammar, what a run will do, and no secret in full."""

import json
import re
from dataclasses import fields

import pytest

from studio.data import account
from studio.data.account import Entry, reason_in_words, sentences
from studio.data.doctor import examine
from studio.data.mends import MENDS
from studio.data.prepare import look
from studio.data.report import OWN, Findings, Place, Tokens
from studio.data.shapes import PROBLEMS
from studio.errors import DataError
from studio.preset.schema import DataSection, Preset
from studio.settings import Settings
from studio.texts import table
from studio.ui.doctor_view import report_html

KEY = "sk-proj-" + "aB3" * 10


def chat(question, answer="fine", **more):
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]} | more


def write(path, rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


def of(path, tmp_path, **data):
    return examine(DataSection(dataset_name=path, **data), Settings(data_dir=tmp_path / "data"))


def finding(report, name):
    return next(one for one in report.findings if one.name == name)


@pytest.mark.parametrize("name", [*OWN, *PROBLEMS])
def test_sentences_are_right_for_one_and_for_many(name):
    said = {}
    for n in (1, 2):
        found = Findings()
        found.add(name, Place("rows.jsonl", 3, 3), n)
        (one,) = found.list(21, DataSection())
        said[n] = one.message
        assert one.message.endswith(".") and not re.search(r"[\[\]{}|]", one.message)
        assert one.fix.endswith(".") and "|" not in one.fix
        assert sentences([Entry("rows.jsonl", 3, 3, name)] * n, 21)[0][0]
    assert not re.search(r"\b1 (?:of 21 rows (?:have|are|lack|hold)\b|(?:held-out )?[a-z]+s\b(?! the))", said[1])
    assert not re.search(r"\b2 (?:of 21 rows (?:has|is|lacks)|rows? (?:has|is|holds))", said[2])


def test_every_reason_is_named_for_the_page_and_the_page_names_no_other():
    named = {name.removeprefix("problems.") for name in table("doctor") if name.startswith("problems.")}
    assert named == {*OWN, *PROBLEMS, *MENDS, *account.DONE}
    assert not {*OWN, *MENDS} & set(PROBLEMS) and not set(OWN) & set(MENDS)
    assert all(reason_in_words(name) for name in named)


BAD = ["{broken", {"messages": []}, {"messages": [{"role": "user", "content": "hi"}]}, "", {"text": 5}, "[1]",
       {"messages": [{"role": "poet", "content": "a"}, {"role": "assistant", "content": "b"}]},
       chat("a", tools="f"), chat("", ""), {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}]


@pytest.mark.parametrize("rows", [
    [*(chat(f"question {i}") for i in range(20)), *BAD],
    [*({"text": f"words {i}"} for i in range(20)), {"text": ""}, {"text": " "}, {"other": 1}],
    [*({"prompt": f"a {i}", "completion": "b"} for i in range(20)), {"prompt": ""},
     {"prompt": "x", "completion": None}],
    [*({"prompt": f"a {i}", "chosen": "b", "rejected": "c"} for i in range(20)),
     {"prompt": "x", "chosen": "b", "rejected": "b"}, {"prompt": "x", "chosen": "b"}],
])
def test_report_and_account_call_what_costs_a_row_by_the_same_names(tmp_path, rows):
    path = write(tmp_path / "rows.jsonl", rows)
    report = of(path, tmp_path, bad_rows="drop")
    prepared = look(Preset(data={"dataset_name": path, "bad_rows": "drop"}), Settings(data_dir=tmp_path / "data"))
    counted = {}
    for entry in prepared.left_out:
        counted[entry.reason] = counted.get(entry.reason, 0) + 1
    assert counted == {
        one.name: one.count for one in report.findings
        if (one.level == "error" and one.name != "not_trained_yet") or one.name == "empty_text"}
    assert len(counted) > 1


def test_rows_of_empty_text_are_no_loss(tmp_path):
    path = write(tmp_path / "rows.jsonl", [{"text": "" if i % 4 == 0 else f"words {i}"} for i in range(80)])
    report = of(path, tmp_path)
    assert report.verdict == "60 rows are a sensible start; 100 or more make the result dependable."
    assert report.may_start and finding(report, "empty_text").count == 20


def test_what_is_masked_is_said_to_be_masked(tmp_path):
    path = write(tmp_path / "rows.jsonl", [*(chat(f"question {i}") for i in range(60)), chat(f"my key is {KEY}"),
                                           chat("mail bob@firm.com")])
    open_, secrets, both = (of(path, tmp_path, mask=mask) for mask in ("none", "secrets", "all"))
    assert [finding(open_, name).outcome for name in ("secrets", "personal_data")] == ["", ""]
    assert finding(secrets, "secrets").outcome == "It will be masked, as data.mask says."
    assert finding(secrets, "personal_data").outcome == ""
    assert finding(both, "personal_data").outcome == "It will be masked, as data.mask says."
    assert [report.may_start for report in (open_, secrets, both)] == [True] * 3


@pytest.mark.parametrize(("data", "outcome", "verdict", "starts"), [
    ({}, "", "20 rows may teach a style or a format; 50 good ones are a sensible start, but 2 more cannot be used as "
             "they are.", False),
    ({"bad_rows": "drop"}, "Left out, as data.bad_rows says.",
     "20 rows may teach a style or a format; 50 good ones are a sensible start; 2 more will be left out.", True),
    ({"bad_rows": "fix"}, "Mended where that is safe and left out otherwise, as data.bad_rows says.",
     "21 rows may teach a style or a format; 50 good ones are a sensible start; 1 more will be left out.", True),
])
def test_the_verdict_follows_what_is_done_with_bad_rows(tmp_path, data, outcome, verdict, starts):
    mendable = {"messages": [{"role": "customer", "content": "hi"}, {"role": "agent", "content": "ho"}]}
    path = write(tmp_path / "rows.jsonl", [*(chat(f"question {i}") for i in range(20)), mendable, "{broken"])
    report = of(path, tmp_path, **data)
    assert (finding(report, "not_json").outcome, report.verdict, report.may_start) == (outcome, verdict, starts)
    assert report.as_json()["may_start"] is starts and not report.may_train
    if starts:
        assert len(look(Preset(data={"dataset_name": path} | data), Settings(data_dir=tmp_path)).source.rows) \
            == report.usable_rows
    else:
        with pytest.raises(DataError):
            raise look(Preset(data={"dataset_name": path}), Settings(data_dir=tmp_path)).errors[0]


def test_no_secret_and_no_long_text_stands_in_the_report(tmp_path):
    labels = ["jan@seznam.cz", KEY, "x" * 75]
    path = write(tmp_path / "rows.jsonl", [{"prompt": f"who is {i}", "completion": labels[i % 3 if i % 5 else 1]}
                                           for i in range(60)])
    report = of(path, tmp_path)
    assert set(report.labels) == {"[EMAIL]", "[SECRET]", "x" * 60 + "…"} and sum(report.labels.values()) == 60
    said = json.dumps(report.as_json())
    assert KEY not in said and "jan@seznam.cz" not in said and "x" * 75 not in said
    found = Findings()
    found.add("not_json", Place("a.jsonl", 0, 1, f"unexpected {KEY}"))
    assert found.list(1, DataSection())[0].places[0].detail == "unexpected [SECRET]"


PAIR = {"prompt": "which", "chosen": "this", "rejected": "that"}


@pytest.mark.parametrize(("row", "hint"), [
    (PAIR, "Set data.format to prompt_completion"),
    ({"input": {"messages": [{"role": "user", "content": "which"}]},
      "preferred_output": [{"role": "assistant", "content": "this"}],
      "non_preferred_output": [{"role": "assistant", "content": "that"}]}, "Set data.format to prompt_completion"),
    ({"prompt": "which"}, "if the rows do hold answers"),
])
@pytest.mark.parametrize("bad_rows", ["stop", "drop", "fix"])
def test_a_shape_that_no_run_takes_is_an_error_that_nothing_settles(tmp_path, row, hint, bad_rows):
    report = of(write(tmp_path / "rows.jsonl", [row] * 20), tmp_path, bad_rows=bad_rows)
    found = finding(report, "not_trained_yet")
    assert (found.level, found.count, found.outcome, found.places) == ("error", 20, "", [])
    assert "cannot train on yet" in found.message and hint in found.fix
    assert not report.may_train and not report.may_start and "problems must be mended first" in report.verdict
    shown = report_html(report.as_json(), Preset(data={"bad_rows": bad_rows}), False)
    assert shown.count("cannot train on yet") == 1 and "Not ready yet" in shown
    assert ("data.format" in shown.partition("data-fix")[2]) == ("chosen" in row or "preferred_output" in row)


def test_pairs_told_to_be_prompts_and_answers_may_be_trained(tmp_path):
    report = of(write(tmp_path / "rows.jsonl", [PAIR | {"prompt": f"which {i}"} for i in range(60)]), tmp_path,
                format="prompt_completion", prompt_column="prompt", completion_column="chosen")
    assert report.may_start and report.may_train


@pytest.mark.parametrize(("encoding", "shown"), [
    ("utf-8", None), ("utf-8-sig", "UTF-8 with byte-order mark"), ("utf-16", "UTF-16 with byte-order mark"),
    ("cp1252", "Windows-1252")])
def test_the_page_says_which_encoding_was_found(tmp_path, encoding, shown):
    path = tmp_path / "rows.jsonl"
    path.write_bytes("".join(json.dumps({"text": f"où est {i}"}, ensure_ascii=False) + "\n" for i in range(20))
                     .encode(encoding))
    page = report_html(of(str(path), tmp_path).as_json(), Preset(), False)
    assert f"<dt>Encoding</dt><dd>{shown}</dd>" in page if shown else "<dt>Encoding</dt>" not in page


@pytest.mark.parametrize(("bad_rows", "some_learn", "state", "buttons"), [
    ("stop", True, "Not ready yet", ["training.max_length", "data.bad_rows"]),
    ("drop", True, "Ready to train", ["data.bad_rows"]), ("drop", False, "Not ready yet", ["data.bad_rows"])])
def test_rows_with_nothing_to_learn_are_settled_as_other_bad_rows_are(tmp_path, bad_rows, some_learn, state, buttons):
    preset = Preset(data={"bad_rows": bad_rows}, training={"max_length": 60})
    report = of(write(tmp_path / "rows.jsonl", [chat(f"question {i}") for i in range(60)]), tmp_path, bad_rows=bad_rows)
    found = Findings()
    found.add("all_labels_masked", Place("rows.jsonl", 3, 3), 1)
    figures = dict.fromkeys(field.name for field in fields(Tokens)) | {
        "mean_trained": 2.0 * some_learn, "suggested_max_length": 128, "histogram": {"edges": [0, 1], "counts": [1]}}
    report.tokens = Tokens(**{name: 0 if value is None else value for name, value in figures.items()} | {
        "findings": found.list(60, preset.data)})
    assert report.may_start is (state == "Ready to train")
    page = report_html(report.as_json(), preset, False)
    assert state in page
    assert [name for name in ("training.max_length", "data.bad_rows") if f"{{&quot;{name}&quot;" in page] == buttons
