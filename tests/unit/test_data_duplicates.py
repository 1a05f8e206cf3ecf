"""Equal rows are those that a run counts as equal, however they were read."""

import json

import msgspec
import pytest

from studio.data import duplicates
from studio.data.doctor import examine, heldout_of
from studio.data.plain_chats import Message
from studio.data.prepare import look
from studio.preset.schema import DataSection, Preset
from studio.settings import Settings

KEY = "sk-proj-" + "aB3" * 10


def chat(question, answer="fine", **more):
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]} | more


@pytest.mark.parametrize("text", ["".join(map(chr, range(0x20))) + '"\\/\x7f\x80\u2028\uffff😀ěš', "", "plain"])
def test_the_quick_digest_of_a_chat_is_the_digest_of_its_row(text):
    row = chat(text)
    plain = msgspec.json.encode(msgspec.convert(row["messages"], list[Message]))
    assert duplicates.digest_of_json(b'{"messages":%b}' % plain) == duplicates.digest(row)


ROWS = [
    *(chat(f"question {i}") for i in range(20)), chat("question 3"), chat("question  3"),
    {"messages": chat("question 4")["messages"], "tools": [{"name": "f"}]},
    {"messages": [{"role": "system", "content": "be kind"}, *chat("question 5")["messages"]]},
    {"messages": [{"content": "question 6", "role": "user"}, {"role": "assistant", "content": "fine"}]},
    chat(f"the key is {KEY}"), chat("the key is ghp_" + "a1" * 18), chat("the key is [SECRET]"),
    {"messages": [*chat("question 7")["messages"], {"role": "user", "content": "and more"}]},
    {"messages": [{"role": "user", "content": "question 8", "name": "ana"}, {"role": "assistant", "content": "fine"}]},
    {"messages": [{"role": "customer", "content": "question 9"}, {"role": "agent", "content": "fine"}]},
]


@pytest.mark.parametrize("data", [
    {}, {"mask": "secrets"}, {"mask": "all", "bad_rows": "fix"}, {"bad_rows": "fix"}, {"bad_rows": "drop"}])
def test_as_many_rows_repeat_as_are_dropped(tmp_path, data):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    settings = Settings(data_dir=tmp_path / "data")
    section = DataSection(dataset_name=str(path), **data)
    report = examine(section, settings)
    prepared = look(Preset(data=section.model_copy(update={"drop_duplicates": True})), settings)
    repeated = [entry.row for entry in prepared.left_out if entry.reason == "duplicates"]
    assert report.duplicates.exact == len(repeated) > 1
    assert [place.row for finding in report.findings if finding.name == "duplicates"
            for place in finding.places] == repeated
    assert report.usable_rows - len(repeated) == len(prepared.train) + len(prepared.heldout)
    assert sum(finding.count for finding in report.findings if finding.name == "secrets") == 2


def test_what_held_out_rows_share_with_training_rows_is_reported(tmp_path):
    said = "the quick brown fox jumps over the lazy dog while seven wise owls watch from an old oak tree at dusk"
    train = [*(chat(f"question {i}") for i in range(20)), chat(f"tell me: {said}", said)]
    heldout = [chat("question 3"), chat("QUESTION  4", "another answer"), chat(f"tell me: {said}", f"{said} again"),
               chat("nobody asked this", "ever")]
    paths = {}
    for name, rows in (("train", train), ("heldout", heldout)):
        paths[name] = tmp_path / f"{name}.jsonl"
        paths[name].write_text("".join(json.dumps(row) + "\n" for row in rows))
    section = DataSection(dataset_name=str(paths["train"]), dataset_test_split=str(paths["heldout"]))
    settings = Settings(data_dir=tmp_path / "data")
    report = examine(section, settings, heldout=heldout_of(section, settings))
    assert {finding.name: [place.line for place in finding.places] for finding in report.findings} == {
        "heldout_overlap": [1], "heldout_near_overlap": [3], "heldout_same_question": [2]}
    assert (report.overlap.exact, report.overlap.near, report.overlap.same_question) == (1, 1, 1)
    leaks = look(Preset(data=section), settings).leakage
    assert (len(leaks.exact), len(leaks.near), len(leaks.same_question)) == (1, 1, 1)


CHINESE = "春天的早晨，我们沿着河边慢慢地走，看见许多白色的小花开在石头之间，远处的山还盖着一层薄薄的雪。"
THAI = "เช้าวันหนึ่งในฤดูใบไม้ผลิ เราเดินเล่นริมแม่น้ำอย่างช้าๆ เห็นดอกไม้สีขาวเล็กๆ บานอยู่ระหว่างก้อนหิน"


@pytest.mark.parametrize("text", [CHINESE, THAI, "Translate: " + CHINESE + CHINESE])
def test_near_rows_are_found_in_scripts_without_spaces(tmp_path, text):
    other = "".join(sorted(text))
    rows = [chat("q1", text), chat("q2", text + "吗"), chat("q3", other), chat("q4", "好的"), chat("q5", "short")]
    held = tmp_path / "held.jsonl"
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    held.write_text(json.dumps(chat("q6", "是" + text)) + "\n")
    settings = Settings(data_dir=tmp_path / "data")
    section = DataSection(dataset_name=str(path), dataset_test_split=str(held))
    report = examine(section, settings, heldout=heldout_of(section, settings))
    found = {one.name: [(place.line, place.detail) for place in one.places] for one in report.findings}
    assert found["near_duplicates"] == [(2, "as row 1")]
    assert (report.duplicates.near, report.duplicates.compared, report.overlap.near) == (1, 3, 1)
    assert look(Preset(data=section), settings).leakage.near == {0: 0}


def test_text_with_long_words_and_spaces_is_compared_by_words():
    long = "Donaudampfschifffahrtsgesellschaftskapitän Rindfleischetikettierungsüberwachungsaufgabe " * 3
    assert duplicates.words_of(long) == [] and len(duplicates.words_of(long * 2)) == 12
    assert duplicates.words_of("é https://example.com/" + "a/b" * 50) == []


def test_no_more_rows_are_compared_than_memory_allows_and_parts_are_as_the_whole(monkeypatch):
    monkeypatch.setattr(duplicates, "NEAR_ROWS", 5)
    said = "one two three four five six seven eight nine ten eleven twelve "
    rows = [said + f"number {i} and {i * i} of {i + 7}" if i % 2 else "short" for i in range(16)]
    whole, first, second = (duplicates.Duplicates() for _ in range(3))
    for i, text in enumerate(rows):
        for one in (whole, first if i < 7 else second):
            one.add("", text, i)
    first.join(second)
    assert whole.compared == first.compared == 5
    assert (whole._signed_rows()[0] == first._signed_rows()[0]).all()
    assert (whole._signed_rows()[1] == first._signed_rows()[1]).all()
