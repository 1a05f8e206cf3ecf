"""The data doctor: each problem with its line and count, files of every kind, archives, duplicates and the verdict."""

import gzip
import io
import json
import pickle
import random
import stat
import time
import zipfile

import pyarrow
import pyarrow.parquet
import pytest

from studio.data import overlay
from studio.data.doctor import examine
from studio.data.encoding import guess_code_page
from studio.data.report import automatic_epochs
from studio.data.sources import read_rows
from studio.errors import DataError
from studio.preset.schema import DataSection, Preset
from studio.settings import Settings
from studio.terminal.doctor import print_report
from studio.ui.doctor_view import report_html


@pytest.fixture
def look(tmp_path):
    """Examine bytes, text or rows under a file name."""
    settings = Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path / "data")})

    def look(content, name="rows.jsonl", **options):
        heldout = options.pop("heldout", None)
        if heldout is not None:
            options["heldout"] = DataSection(dataset_name=str(write(tmp_path / "heldout.jsonl", heldout)))
        more = [str(write(tmp_path / f"more-{i}.jsonl", rows)) for i, rows in enumerate(options.pop("more", []))]
        control = {key: options.pop(key) for key in ("progress", "stopped", "heldout", "first") if key in options}
        section = DataSection(dataset_name=str(write(tmp_path / name, content)), **options)
        return examine(section, settings, more=more, **control)

    return look


def write(path, content):
    if isinstance(content, list):
        content = json_lines(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def json_lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def chat(*turns, roles=("user", "assistant")):
    return {"messages": [{"role": roles[i % 2], "content": text} for i, text in enumerate(turns)]}


CHATS = [chat(f"question {i} about {chr(97 + i)}", f"answer {i}") for i in range(20)]
PAIRS = [{"prompt": f"question {i} – é", "completion": f"answer {i}"} for i in range(20)]
LINES = [json.dumps(row) for row in CHATS]


def counts(report):
    return {finding.name: finding.count for finding in report.findings}


def places(report, name):
    return [(place.line, place.row) for finding in report.findings if finding.name == name for place in finding.places]


def test_a_good_set_has_nothing_to_tell(look):
    report = look(CHATS)
    assert (report.findings, report.may_train, report.rows, report.usable_rows) == ([], True, 20, 20)
    assert report.verdict == "20 rows may teach a style or a format; 50 good ones are a sensible start."
    assert report.shape["format"] == "messages" and report.turns["mean"] == 2
    assert report.files == [{"name": "rows.jsonl", "kind": "jsonl", "size_bytes": len(json_lines(CHATS)),
                             "encoding": "UTF-8", "rows": 20, "rows_before": 0}]
    assert json.loads(json.dumps(report.as_json()))["dropped_rows"] == 0


@pytest.mark.parametrize(("line", "name", "costs_row"), [
    ("rubbish", "not_json", True),
    ('{"messages": [}', "not_json", True),
    (f'{{"messages": {"9" * 5000}}}', "not_json", True),
    ('{"messages": [{"role": "user", "content": "a\0b"}]}', "nul_bytes", True),
    ("[" * 100_000, "too_deep", True),
    ('{"messages": ' + "[" * 500 + "]" * 500 + "}", "too_deep", True),
    (LINES[0].replace("answer 0", "\\ud800"), "broken_text", True),
    ("[1, 2]", "data_type", True),
    ('{"messages": []}', "missing_messages_list", True),
    ('{"other": 1}', "missing_messages_list", True),
    ('{"messages": [{"content": "a"}]}', "message_missing_key", True),
    ('{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', "message_unrecognized_key", True),
    (LINES[0].replace("assistant", "poet"), "unrecognized_role", True),
    (LINES[0].replace("answer 0", " "), "missing_content", True),
    (json.dumps(chat("only a question")), "example_missing_assistant_message", True),
    (LINES[0].replace('"user",', '"user", "role": "user",'), "duplicate_key", False),
    (LINES[0].replace('"user",', '"user", "\\u0072ole": "user",'), "duplicate_key", False),
    (json.dumps(chat("a " * 600_000, "b")), "long_line", False),
    ('{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, {"role": "assistant", '
     '"content": "c"}]}', "role_order", False),
    (json.dumps(chat("b", roles=("assistant", ""))), "missing_user_message", False),
    (json.dumps(chat("a", "b", "c")), "unlearned_end", False),
    (json.dumps(chat(" ", "b")), "empty_content", False),
    (json.dumps(chat("say <|im_end|>", "b")), "special_token_in_content", False),
    (json.dumps(chat("zero \0", "b")), "nul_characters", False),
    (LINES[0].replace('"answer 0"', '"answer x", "weight": 2'), "weight_not_zero_or_one", False),
    (LINES[0].replace('"answer 0"', '"answer x", "thinking": "so"'), "unused_message_key", False),
    (json.dumps(chat("my key", "sk-proj-abcdefghijklmnopqrstuvwx")), "secrets", False),
    (json.dumps(chat("pay", "with 4111 1111 1111 1111")), "personal_data", False),
    (json.dumps(CHATS[3]), "duplicates", False),
])
def test_each_problem_has_its_name_line_and_count(look, line, name, costs_row):
    report = look("\n".join([*LINES, "", line, *LINES[:0], line.replace("answer 0", "answer y")]) + "\n")
    assert counts(report)[name] == 2
    assert [spot[0] for spot in places(report, name)] == [22, 23]
    assert (report.rows, report.usable_rows) == (22, 20 if costs_row else 22)
    finding = next(finding for finding in report.findings if finding.name == name)
    assert finding.message.startswith("2 ") and finding.fix
    assert (finding.level == "error") is costs_row
    assert report.may_train is not costs_row


def test_the_places_are_the_first_thousand_and_the_count_is_whole(look):
    report = look("\n".join(LINES + ["rubbish"] * 1030))
    assert counts(report)["not_json"] == 1030
    assert places(report, "not_json") == [(line, 0) for line in range(21, 1021)]
    page = report_html(report.as_json(), Preset(), False)
    assert "line 30:" in page and "line 31:" not in page and "The first 10 of 1,030." in page


def test_a_cut_last_line_is_told_from_other_rubbish(look):
    assert counts(look("\n".join([*LINES, LINES[0][:30]]))) == {"truncated_last_line": 1}
    assert counts(look("\n".join([*LINES, LINES[0][:30]]) + "\n")) == {"not_json": 1}


CSV = "prompt,completion\n" + "".join(f'{row["prompt"]},"{row["completion"]}"\n' for row in PAIRS)


def table_bytes(kind):
    table, buffer = pyarrow.Table.from_pylist(PAIRS), io.BytesIO()
    if kind == "parquet":
        pyarrow.parquet.write_table(table, buffer)
    else:
        new = pyarrow.ipc.new_file if kind == "file" else pyarrow.ipc.new_stream
        with new(buffer, table.schema) as writer:
            writer.write_table(table)
    return buffer.getvalue()


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(("name", "content", "encoding"), [
    ("rows.jsonl", json_lines(PAIRS), "UTF-8"),
    ("rows.jsonl", "\ufeff" + json_lines(PAIRS).replace("\n", "\r\n\r\n"), "UTF-8 with byte-order mark"),
    ("rows.jsonl", json_lines(PAIRS).encode("utf-16"), "UTF-16 with byte-order mark"),
    ("rows.jsonl", json_lines(PAIRS).encode("utf-16-be"), "UTF-16"),
    ("rows.csv", CSV.encode("utf-16"), "UTF-16 with byte-order mark"),
    ("rows.json", json.dumps(PAIRS), "UTF-8"),
    ("rows.json", json.dumps(PAIRS, indent=2, ensure_ascii=False), "UTF-8"),
    ("rows.json", json.dumps({"version": 1, "data": PAIRS}), "UTF-8"),
    ("rows.json", "\n".join(json.dumps(row, indent=1) for row in PAIRS), "UTF-8"),
    ("rows.csv", CSV, "UTF-8"),
    ("rows.csv", CSV.replace(",", ";").replace("\n", "\r\n"), "UTF-8"),
    ("rows.csv", CSV.replace("\n", "\r"), "UTF-8"),
    ("rows.csv", CSV.replace("\n", "\r").encode("utf-16"), "UTF-16 with byte-order mark"),
    ("rows.csv", CSV.replace("\n", "\r\r\n"), "UTF-8"),
    ("rows.csv", "sep=,\r\n" + CSV.replace("\n", "\r\n"), "UTF-8"),
    ("rows.csv", '\ufeff"sep=|"\n' + CSV.replace(",", "|"), "UTF-8 with byte-order mark"),
    ("rows.tsv", CSV.replace(",", "\t"), "UTF-8"),
    ("rows.parquet", table_bytes("parquet"), ""),
    ("rows.arrow", table_bytes("file"), ""),
    ("rows.arrow", table_bytes("stream"), ""),
    ("rows.jsonl.gz", gzip.compress(json_lines(PAIRS).encode()), "UTF-8"),
    ("rows.parquet.gz", gzip.compress(table_bytes("parquet")), ""),
    ("rows.zip", zipped([("a/rows.jsonl", json_lines(PAIRS))]), "UTF-8"),
    ("rows.zip", zipped([("rows.parquet", table_bytes("parquet"))]), ""),
])
def test_every_kind_of_file_gives_all_its_rows(look, name, content, encoding):
    report = look(content, name)
    assert (report.rows, report.usable_rows, report.findings) == (20, 20, [])
    assert report.files[0]["encoding"] == encoding


@pytest.mark.parametrize(("page", "text"), [
    ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy"), ("cp1250", "Zażółć gęślą jaźń, który będzie"),
    ("cp1250", "árvíztűrő tükörfúrógép"), ("cp1250", "která je dobrá věc"), ("cp1250", "Łódź jest pięknym miastem"),
    ("cp1252", "où est la bibliothèque, très élégant, ça va"), ("cp1252", "señor mañana ¿qué tal?"),
    ("cp1252", "smørrebrød på dansk"), ("cp1252", "não é uma informação"), ("cp1252", "Müller, schöne Größe – 20 €")])
def test_windows_code_pages_are_told_apart_and_told(look, page, text):
    assert text.encode(page).decode(guess_code_page(text.encode(page))) == text
    rows = [{"text": f"{text} {i}"} for i in range(12)]
    report = look(json_lines(rows).encode(page))
    assert (report.usable_rows, counts(report)) == (12, {"encoding": 12})
    assert places(report, "encoding") == [(1, 0)]


FOREIGN = {name: text.encode("cp1252").replace(b"question 3 ", b"question \x813 ") for name, text in (
    ("rows.jsonl", json_lines(PAIRS)), ("rows.json", json.dumps(PAIRS, ensure_ascii=False, indent=1)))}


@pytest.mark.parametrize(("name", "content", "line"), [
    ("rows.jsonl", FOREIGN["rows.jsonl"], 4), ("rows.json", FOREIGN["rows.json"], 14),
    ("rows.jsonl", json_lines(PAIRS).encode("utf-16").replace(b"3\0", b"\x00\xd8", 1), 4)])
def test_bytes_that_are_no_text_cost_their_row_and_are_not_replaced(look, name, content, line):
    report = look(content, name)
    assert (report.usable_rows, counts(report)["broken_text"]) == (19, 1)
    assert places(report, "broken_text") == [(line, 0)]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_damage_in_a_table_or_a_text_costs_its_row(look, encoding):
    damage = {"cp1252": b"\x81", "utf-16": "\ud800".encode("utf-16-le", "surrogatepass")}[encoding]
    sharp = "ß".encode(encoding)[-len(damage):]
    table = CSV.replace("question 3", "question ß").encode(encoding)
    report = look(table.replace(sharp, damage), "rows.csv")
    assert (report.usable_rows, counts(report)["broken_text"]) == (19, 1)
    assert "bytes that are no" in next(one for one in report.findings if one.name == "broken_text").places[0].detail
    text = ("\n\n".join(f"Paragraph {i} – " + "word " * 900 for i in range(20)) + "\n\nß").encode(encoding)
    report = look(text.replace(sharp, damage), "rows.txt")
    assert counts(report)["broken_text"] == 1 and report.usable_rows > 10
    assert places(report, "broken_text")[0][0] > 1


def test_a_replacement_character_of_the_source_is_kept(look):
    for encoding in ("utf-8", "utf-16"):
        assert look(json_lines([{"text": f"caf\ufffd {i}"} for i in range(12)]).encode(encoding)).findings == []


def test_lines_in_utf8_stay_so_beside_lines_that_are_not(look):
    report = look(json_lines([{"text": "žluť"}] * 2).encode() + '{"text": "été"}\n'.encode("cp1252"))
    assert (report.usable_rows, counts(report)["encoding"]) == (3, 1)


@pytest.mark.parametrize(("line", "cells"), [("a,b,c", "3 cells"), ("a", "1 cell,"), ('"a,b', "expected after"),
                                             ('"a"x,b', "expected after")])
def test_a_bad_line_of_a_table_costs_only_itself(look, line, cells):
    lines = CSV.splitlines()
    report = look("\n".join([*lines[:8], line, *lines[8:]]) + "\n", "rows.csv")
    assert (report.rows, report.usable_rows, counts(report)) == (21, 20, {"ragged_csv": 1})
    assert places(report, "ragged_csv") == [(9, 0)]
    assert cells in report.findings[0].places[0].detail


def test_cells_may_hold_line_ends_and_lines_are_counted_right(look):
    report = look('prompt,completion\n"a\nb",c\nd\n"e, ""f""",g\n', "rows.csv")
    assert (report.usable_rows, places(report, "ragged_csv")) == (2, [(4, 0)])


@pytest.mark.parametrize(("before", "after", "column"), [("7,", "", 1), ("", ",", 3), ("7,", ",,", 1)])
def test_columns_without_name_are_left_out_and_told(look, before, after, column):
    header, *lines = CSV.splitlines()
    header = "," * before.count(",") + header + after
    report = look("\n".join([header, *(before + line + after for line in lines)]), "rows.csv")
    assert (report.usable_rows, report.may_train) == (20, True)
    assert counts(report) == {"unnamed_column": (before + after).count(",")}
    assert report.findings[0].places[0].detail == f"column {column}" and report.findings[0].places[0].line == 1
    assert set(report.shape["columns"].values()) == {"prompt", "completion"}


def test_a_cell_in_a_later_column_without_name_costs_its_row_and_no_other(look):
    table = CSV.replace("completion\n", "completion,\n").replace('"\n', '",\n')
    report = look(table.replace('3",', '3",x'), "rows.csv")
    assert counts(report) == {"unnamed_column": 1, "ragged_csv": 2} and report.usable_rows == 18
    assert report.findings[1].places[0].detail == "column 3 has no name"


def test_carriage_returns_and_line_feeds_within_cells_stay(look, tmp_path):
    text = 'prompt,completion\r"a\nb",c\rd,e\r'
    assert look(text, "rows.csv").usable_rows == 2
    section = DataSection(dataset_name=str(tmp_path / "rows.csv"))
    assert read_rows(section, Settings(data_dir=tmp_path)).rows[0] == {"prompt": "a\nb", "completion": "c"}
    write(tmp_path / "rows.csv", 'prompt,completion\n"a\rb",c\n')
    assert read_rows(section, Settings(data_dir=tmp_path)).rows == [{"prompt": "a\rb", "completion": "c"}]


def test_a_broken_array_says_where_and_goes_on_where_it_can(look):
    text = json.dumps(PAIRS, indent=1).replace('"question 3', '"question 3" "')
    report = look(text, "rows.json")
    assert counts(report)["not_json"] == 1 and report.usable_rows >= 18
    cut = look(json.dumps(PAIRS)[:-40], "rows.json")
    assert cut.usable_rows == 19 and "truncated_file" in counts(cut)


def test_a_value_in_pieces_larger_than_the_window_is_read(look):
    rows = [{"text": "word " * 60_000 + str(i)} for i in range(12)]
    assert look(json.dumps(rows), "rows.json").usable_rows == 12


@pytest.mark.parametrize(("name", "content", "message"), [
    ("rows.jsonl", b"", "is empty"),
    ("rows.jsonl", b"\n \n", "holds no rows"),
    ("rows.jsonl", b"rubbish\n", "no row that can be read at line 1: Expecting value at column 1"),
    ("rows.jsonl", b"1\n2\n", "not objects with named columns"),
    ("rows.jsonl", b'{"a": 1, "b": 2}\n', "No columns were found"),
    ("rows.csv", b"prompt,completion\n", "holds no rows"),
    ("rows.json", b'{"rows": 3}', "No columns were found"),
    ("rows.json", b"3", "holds no list of rows"),
    ("rows.json", b"[" * 100_000, "nests too deeply"),
    ("rows.xlsx", b"x", "not a kind of file"),
    ("rows.xlsx", zipped([("[Content_Types].xml", "<x/>")]), "is an Office document"),
    ("rows.jsonl", pickle.dumps([1]), "is a Python pickle"),
    ("rows.pkl", b"x", "may run code"),
    ("model.pt", zipped([("data.pkl", "x")]), "may run code"),
    ("rows.jsonl", b"%PDF-1.7", "is not a readable PDF"),
    ("rows.parquet", b"PAR1 nonsense", "not a readable Parquet file"),
    ("rows.arrow", b"ARROW1\0\0 nonsense", "not a readable Arrow file"),
    ("rows.zip", b"PK\x03\x04 nonsense", "not a readable ZIP archive"),
    ("rows.jsonl.gz", b"\x1f\x8b nonsense", "broken archive|ends in the middle"),
    ("rows.gz", gzip.compress(zipped([("a", "b")])), "an archive in an archive"),
])
def test_what_cannot_be_examined_is_one_sentence(look, name, content, message):
    with pytest.raises(DataError, match=message) as caught:
        look(content, name)
    assert caught.value.hint and caught.value.message.isprintable()


def test_no_file_and_a_folder_are_named(look, tmp_path):
    settings = Settings(data_dir=tmp_path)
    (tmp_path / "folder.jsonl").mkdir()
    for name, message in (("gone.jsonl", "There is no file"), ("folder.jsonl", "is a folder")):
        with pytest.raises(DataError, match=message):
            examine(DataSection(dataset_name=str(tmp_path / name)), settings)


def test_a_name_that_means_nothing_is_said_and_costs_no_other_source(look, tmp_path):
    settings, nothing = Settings(data_dir=tmp_path), DataSection(dataset_name="squad")
    file = DataSection(dataset_name=str(write(tmp_path / "rows.jsonl", CHATS)))
    said = '"squad" is neither a file here nor a data set of the Hub'
    for section, options in ((nothing, {}), (file, {"heldout": nothing})):
        with pytest.raises(DataError, match=said) as caught:
            examine(section, settings, **options)
        assert "owner/name" in caught.value.hint
    report = examine(file, settings, more=["squad"])
    assert report.rows == 20 and counts(report) == {"unreadable_file": 1}
    assert report.findings[0].places[0].detail.startswith(said) and not report.may_start


def test_two_columns_of_one_name_are_refused(look):
    table = pyarrow.Table.from_arrays([pyarrow.array(["a"]), pyarrow.array(["b"])], names=["text", "text"])
    pyarrow.parquet.write_table(table, packed := io.BytesIO())
    with pyarrow.ipc.new_stream(streamed := io.BytesIO(), table.schema) as writer:
        writer.write_table(table)
    for name, buffer in (("rows.parquet", packed), ("rows.arrow", streamed)):
        with pytest.raises(DataError, match=f'{name} has two columns called "text"'):
            look(buffer.getvalue(), name)


def test_an_archive_cannot_lead_out_nor_link(look, tmp_path):
    link = zipfile.ZipInfo("link.jsonl")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    rows = json_lines(PAIRS)
    report = look(zipped([("../evil.jsonl", rows), ("/evil.jsonl", rows), ("c:\\evil.jsonl", rows),
                          (link, "/etc/passwd"), ("inner.zip", zipped([("a.jsonl", rows)])), ("notes.docx", "x"),
                          ("good.jsonl", rows), ("broken.parquet", "PAR1"), ("last.csv", CSV)]), "rows.zip")
    assert report.usable_rows == 40
    assert counts(report)["archive_member"] == 6
    assert [file["name"] for file in report.files] == ["rows.zip/good.jsonl", "rows.zip/broken.parquet",
                                                       "rows.zip/last.csv"]
    assert counts(report)["unreadable_file"] == 1
    assert not list(tmp_path.rglob("evil*"))


def test_a_bomb_is_refused_in_bounded_time(look):
    line = json.dumps(PAIRS[0]).encode() + b" " * 4_000_000 + b"\n"
    bomb = gzip.compress(line * 30, 9)
    began = time.process_time()
    report = look(bomb, "rows.jsonl.gz")
    assert time.process_time() - began < 20
    assert "unreadable_file" in counts(report) and any(
        "may be a bomb" in place.detail for finding in report.findings for place in finding.places)
    assert 0 < report.usable_rows < 20


def test_a_line_without_end_is_left_out_and_the_others_stay(look):
    report = look(LINES[0].encode() + b"\n" + b"x" * 33_000_000 + b"\n" + LINES[1].encode() + b"\n")
    assert (report.usable_rows, counts(report)["line_too_long"]) == (2, 1)
    assert places(report, "line_too_long") == [(2, 0)]


def test_content_wins_over_a_wrong_name(look):
    report = look(table_bytes("parquet"), "rows.jsonl")
    assert (report.usable_rows, counts(report)) == (20, {"wrong_extension": 1})


def test_duplicates_and_near_duplicates_name_the_earlier_row(look):
    words = ("the quick brown fox jumps over the lazy dog while seven wizards brew a strange green potion at night"
             " in the tower of the old castle by the river") * 2
    near = chat(words, "yes it is so in each and every case we saw")
    nearly = chat(words + " ok", "yes it is so in each and every case we saw")
    report = look([*CHATS, CHATS[4], near, nearly, CHATS[4]])
    assert (report.duplicates.exact, report.duplicates.near) == (2, 1)
    assert places(report, "duplicates") == [(21, 21), (24, 24)]
    details = {finding.name: finding.places[0].detail for finding in report.findings}
    assert details == {"duplicates": "as row 5", "near_duplicates": "as row 22"}
    assert places(report, "near_duplicates") == [(23, 23)]
    apart = look([*CHATS, near], heldout=[nearly])
    assert (apart.overlap.near, apart.overlap.exact) == (1, 0)


def test_near_rows_are_found_as_comparing_all_pairs_would(look):
    rng = random.Random(1)
    vocabulary = [f"w{i}" for i in range(500)]
    rows = []
    for i in range(300):
        words = rng.choices(vocabulary, k=60) if i % 3 else rows[rng.randrange(i)]["text"].split() if i else ["a"] * 60
        for _ in range(rng.choice((0, 1, 1, 20)) if i % 3 == 0 else 0):
            words[rng.randrange(60)] = rng.choice(vocabulary)
        rows.append({"text": " ".join(words)})
    near = set()
    sets = [set(zip(words, words[1:], words[2:], strict=False)) for words in (row["text"].split() for row in rows)]
    for i, mine in enumerate(sets):
        alike = [len(mine & other) / len(mine | other) for other in sets[:i]]
        if alike and 0.9 <= max(alike) < 1:
            near.add(i + 1)
    found = {place.row for finding in look(rows).findings if finding.name == "near_duplicates"
             for place in finding.places}
    assert len(near) > 5 and len(found & near) >= min(10, len(near)) - 2


def test_rows_that_differ_only_in_a_shared_system_prompt_are_not_near(look):
    prompt = {"role": "system", "content": "You are a helpful assistant who answers every question shortly. " * 10}
    rows = [{"messages": [prompt, *row["messages"]]} for row in CHATS]
    assert counts(look(rows)) == {}


def test_heldout_rows_that_are_trained_on_are_found(look):
    report = look(CHATS, heldout=[CHATS[2], chat("question 3 about d", "other"), chat("new", "new"), {"messages": []}])
    assert report.overlap == type(report.overlap)(heldout_rows=3, exact=1, near=0, same_question=1)
    assert places(report, "heldout_overlap") == [(1, 1)]
    assert counts(report)["heldout_unusable"] == 1


def test_several_files_are_one_set_and_places_name_their_file(look):
    report = look(CHATS[:5], more=[CHATS[5:12], [CHATS[0]]])
    assert report.rows == 13 and [file["rows"] for file in report.files] == [5, 7, 1]
    (place,) = next(finding.places for finding in report.findings if finding.name == "duplicates")
    assert (place.file, place.row, place.line, place.in_file) == ("more-1.jsonl", 13, 1, 1)


@pytest.mark.parametrize(("rows", "found"), [
    ([{"prompt": "a", "chosen": "x", "rejected": "x"}], "chosen_equals_rejected"),
    ([{"prompt": "a", "chosen": "x", "rejected": ""}], "missing_rejected"),
    ([{"prompt": "a", "completion": "b", "label": "maybe"}, {"prompt": "a", "completion": "c", "label": True}],
     "label_not_boolean"),
])
def test_preferences_and_labels_of_answers_are_checked(look, rows, found):
    assert counts(look(rows))[found] == 1


def test_labels_are_counted_and_imbalance_is_told(look):
    rows = [{"text": f"text {i}", "label": "spam" if i % 20 == 0 else "fine"} for i in range(60)]
    report = look(rows)
    assert report.labels == {"spam": 3, "fine": 57}
    assert counts(report) == {"label_imbalance": 57}
    assert look(PAIRS).labels == {}


def test_the_terminal_counts_the_places_it_does_not_show(look, capsys):
    print_report(look([{"text": f"text {i}", "label": "spam" if i % 20 == 0 else "fine"} for i in range(60)]))
    assert "more\n" not in capsys.readouterr().out  # of a label there is one place
    print_report(look("".join(json.dumps({"prompt": f"otázka {i}", "completion": "žluťoučký kůň úpěl ďábelské ódy"},
                                         ensure_ascii=False) + "\n" for i in range(60)).encode("cp1250")))
    shown = capsys.readouterr().out
    assert "line 1, Windows-1250\n    and 59 more\n" in shown and "data.bad_rows to fix" in shown


def test_preferences_that_begin_otherwise_are_told_what_they_lack(look):
    rows = [{name: [{"role": "user", "content": f"{name} {i}"}, {"role": "assistant", "content": name}]
             for name in ("chosen", "rejected")} for i in range(12)]
    missing = next(finding for finding in look(rows).findings if finding.name == "missing_prompt")
    assert missing.count == 12 and "begin with the same question" in missing.fix


def test_empty_texts_are_no_error(look):
    report = look([{"text": "a"}, {"text": " "}] * 10)
    assert (report.usable_rows, report.may_train) == (10, True)
    assert counts(report)["empty_text"] == 10


def test_progress_is_told_and_the_person_can_stop(look):
    seen = []
    rows = [{"text": f"text {i}"} for i in range(5000)]
    assert look(rows, progress=lambda share, n: seen.append((share, n))).complete
    assert seen[-1] == (1.0, 5000) and len(seen) >= 3
    report = look(rows, stopped=lambda: True)
    assert not report.complete and 0 < report.rows < 5000


def test_epochs_follow_the_known_rule():
    assert [automatic_epochs(n) for n in (0, 1, 10, 33, 34, 1000, 8333, 8334, 12_501, 1_000_000)] == [
        0, 25, 10, 3, 3, 3, 3, 2, 1, 1]


def test_columns_that_unpack_without_end_are_refused_in_bounded_time(look):
    buffer = io.BytesIO()
    table = pyarrow.table({"text": pyarrow.repeat("x" * 1000, 200_000)})
    pyarrow.parquet.write_table(table, buffer, compression="zstd")
    assert len(buffer.getvalue()) < 100_000
    began = time.process_time()
    report = look(buffer.getvalue(), "rows.parquet")
    assert "may be a bomb" in str(report.findings) and 0 < report.usable_rows < 200_000
    assert time.process_time() - began < 60


def test_rows_are_examined_as_edits_by_hand_leave_them(look, tmp_path):
    path = write(tmp_path / "rows.jsonl", [*CHATS, {"messages": []}, chat("say <|im_end|>", "b"), chat("x", "y")])
    settings = Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path / "data")})
    section = DataSection(dataset_name=str(path), edits="mine")
    overlay.exclude(section, settings, 21)
    overlay.replace(section, settings, 22, json.dumps(chat("mended", "b")))
    report = examine(section, settings)
    assert (report.rows, report.usable_rows, report.may_train) == (22, 22, True)
    assert counts(report) == {"excluded_by_hand": 1} and places(report, "excluded_by_hand") == [(21, 21)]
    assert {finding.name for finding in examine(section.model_copy(update={"edits": ""}), settings).findings} == {
        "missing_messages_list", "special_token_in_content"}


def test_no_more_rows_are_examined_than_will_be_used(look):
    report = look([*CHATS, {"messages": []}], max_rows=7)
    assert (report.rows, report.usable_rows, report.findings[0].name) == (7, 7, "few_rows")
